//! The schedule: units in the order in which they run, with what each reads and writes.
//!
//! Units are in the order of their nodes. A unit's operands are given or written by an earlier unit, because operands
//! have lower numbers and fusion only moves work to a later node: a product to its tail's root, a head to its norm, a
//! norm to the products after it. (A norm with a head reads, as its operand, what it writes itself.)

use crate::compile::unit::{Fate, Kernel, Schedule, Unit, Work};
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;

/// The units of all nodes that run.
pub(crate) fn schedule(nodes: &Nodes, fates: Vec<Fate>) -> Schedule {
    let units = fates.into_iter().enumerate().filter_map(|(at, fate)| match fate {
        Fate::Runs(work) => Some(unit(nodes, at, work)),
        Fate::Given | Fate::Alias | Fate::Inline | Fate::Along(_) => None,
    });
    Schedule::of(nodes, units.collect())
}

fn unit(nodes: &Nodes, at: NodeId, work: Work) -> Unit {
    let (mut reads, writes, own_control) = match &work {
        Work::Group(_) => (Vec::new(), vec![at], false),
        Work::Kernel(kernel) => {
            let traits = nodes[kernel.of].op.traits();
            let mut writes: Vec<_> = match kernel.tail {
                Some(_) => vec![at],
                None if traits.outputs => nodes.outputs(kernel.of).collect(),
                None => vec![kernel.of],
            };
            writes.extend(kernel.head.as_ref().map(|(operand, _)| *operand));
            (operands(nodes, kernel), writes, traits.reads_control)
        }
    };
    let operands = reads.len();
    let mut reads_control = own_control;
    if let Some(group) = work.group() {
        reads.extend(group.leaves.iter().map(|leaf| leaf.node));
        reads_control |= group.reads_control;
    }
    let mut unit = Unit { at, work, reads, operands, reads_control, writes, over: Vec::new() };
    // A kept tensor is written into its state, whatever that held.
    if nodes[at].op == Op::Keep {
        unit.operands = 1;
        unit.over = unit.reads.drain(1..).map(|state| (at, state)).collect();
    }
    unit
}

/// A kernel's operands, without leaves. For a product with a fused norm: the norm's operand, B, and then the norm's
/// weight and bias.
fn operands(nodes: &Nodes, kernel: &Kernel) -> Vec<NodeId> {
    let mut operands = nodes.operands(kernel.of);
    if let Some(norm) = kernel.norm {
        let normed = nodes.operands(norm);
        operands[0] = normed[0];
        operands.extend(&normed[1..]);
    }
    operands
}

impl Schedule {
    /// Which units touch which memory, for units in order.
    pub(crate) fn of(nodes: &Nodes, units: Vec<Unit>) -> Self {
        let (mut writer, mut last_reader) = (vec![None; nodes.len()], vec![None; nodes.len()]);
        for (index, unit) in units.iter().enumerate() {
            unit.writes.iter().for_each(|&node| writer[node] = Some(index));
            let over = unit.over.iter().map(|(_, operand)| operand);
            unit.reads.iter().chain(over).for_each(|&node| last_reader[nodes.owner(node)] = Some(index));
        }
        Self { units, writer, last_reader }
    }

    /// The last unit that touches a node's memory; the node is an owner.
    pub(crate) fn last_use(&self, owner: NodeId) -> Option<usize> {
        self.writer[owner].max(self.last_reader[owner])
    }

    /// The node whose memory a result takes, if it takes any.
    pub(crate) fn over(&self, result: NodeId) -> Option<NodeId> {
        let unit = &self.units[self.writer[result]?];
        unit.over.iter().find(|(node, _)| *node == result).map(|(_, operand)| *operand)
    }
}
