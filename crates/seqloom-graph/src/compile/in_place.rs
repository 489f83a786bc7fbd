//! Appends in place: new rows of a cache are written into the state that keeps the result.
//!
//! That costs as much as the rows; a copy would cost as much as the cache. It is decided over units, because only their
//! order tells who still reads the state when the rows are written.

use crate::compile::unit::{Schedule, Unit, Work};
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::roots::Roots;
use crate::ir::specs::NodeId;

/// Lets an append write over the state that keeps its result, if the result is no other root and all other readers of
/// the state run earlier. No keep is needed then. Returns the number of appends.
pub(crate) fn in_place(nodes: &Nodes, schedule: &mut Schedule, roots: &Roots) -> usize {
    let mut done = Vec::new();
    for &(_, keep) in &roots.kept {
        let [id, state] = [0, 1].map(|operand| nodes.base(nodes[keep].inputs[operand]));
        let Some(at) = schedule.writer[id].filter(|&at| appends(nodes, &schedule.units[at]) == Some(id))
        else {
            continue;
        };
        let reads = |reads: &[NodeId]| reads.iter().any(|&node| nodes.owner(node) == state);
        let unit = &schedule.units[at];
        let onto = unit.reads[0] == state && !reads(&unit.reads[1..]);
        let later = schedule.units[at + 1..].iter().any(|unit| reads(&unit.reads));
        let other =
            |&&(_, other): &&(usize, NodeId)| other != keep && nodes.base(nodes[other].inputs[0]) == id;
        let asked = roots.outputs.iter().any(|(_, output)| nodes.base(*output) == id);
        if onto && !later && !asked && roots.kept.iter().find(other).is_none() {
            schedule.units[at].over.push((id, state));
            done.push(keep);
        }
    }
    let left = std::mem::take(&mut schedule.units).into_iter().filter(|unit| !done.contains(&unit.at));
    *schedule = Schedule::of(nodes, left.collect());
    done.len()
}

/// The append that a unit does, if it does one.
pub(crate) fn appends(nodes: &Nodes, unit: &Unit) -> Option<NodeId> {
    match &unit.work {
        Work::Kernel(kernel) if nodes[kernel.of].op == Op::Append => Some(kernel.of),
        _ => None,
    }
}
