//! Appending in place: new rows of a cache are written where the state lies that keeps the result.
//!
//! That costs as much as the rows; a copy would cost as much as the cache. It is decided over units, because only their order
//! tells who still reads the state when the rows are written.

use crate::compile::unit::{Schedule, Unit, Work};
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::roots::Roots;
use crate::ir::specs::NodeId;

/// Lets an append write over the state that keeps its result, if the result is nothing else that was asked for, and if whatever
/// else reads the state has done so before. Gives the number of them.
pub(crate) fn in_place(nodes: &Nodes, schedule: &mut Schedule, roots: &Roots) -> usize {
    let mut found = 0;
    for &(state, root) in &roots.kept {
        let id = nodes.base(root);
        let Some(at) = schedule.writer[id].filter(|&at| appends(nodes, &schedule.units[at]) == Some(id))
        else {
            continue;
        };
        let cache = nodes.base(nodes[id].inputs[0]);
        let reads = |reads: &[NodeId]| reads.iter().any(|&node| nodes.owner(node) == cache);
        let itself = reads(&schedule.units[at].reads[1..]);
        let later = schedule.units[at + 1..].iter().any(|unit| reads(&unit.reads));
        let once = roots.iter().filter(|&other| nodes.base(other) == id).count() == 1;
        if nodes[cache].op == Op::State(state) && once && !itself && !later {
            schedule.units[at].over.push((id, cache));
            found += 1;
        }
    }
    found
}

/// The append that a unit does, if that is what it does.
pub(crate) fn appends(nodes: &Nodes, unit: &Unit) -> Option<NodeId> {
    match &unit.work {
        Work::Kernel(kernel) if nodes[kernel.of].op == Op::Append => Some(kernel.of),
        _ => None,
    }
}
