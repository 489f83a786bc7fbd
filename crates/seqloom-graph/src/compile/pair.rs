//! Pairs of appends that one dispatch does: keys and values go into two caches of one shape at the same positions.
//!
//! For a generated token a launch costs more than the rows that it moves.

use crate::compile::in_place::appends;
use crate::compile::unit::{Schedule, Unit, Work};
use crate::ir::nodes::Nodes;
use crate::ir::specs::NodeId;

/// Makes one unit of two consecutive appends in place, if they match. Returns the number of pairs.
pub(crate) fn pair(nodes: &Nodes, schedule: &mut Schedule) -> usize {
    let mut units: Vec<Unit> = Vec::with_capacity(schedule.units.len());
    let mut pairs = 0;
    for unit in schedule.units.drain(..) {
        match units.last_mut().map(|first| joined(nodes, first, &unit)) {
            Some(Some(both)) => {
                units.pop();
                units.push(both);
                pairs += 1;
            }
            _ => units.push(unit),
        }
    }
    *schedule = Schedule::of(nodes, units);
    pairs
}

/// Both as one unit, at the position of the second: if each appends in place the same number of rows, at the same
/// positions of caches of one shape, and neither reads what the other writes.
fn joined(nodes: &Nodes, first: &Unit, second: &Unit) -> Option<Unit> {
    let single = |unit: &Unit| match &unit.work {
        Work::Kernel(kernel) if kernel.also.is_none() && !unit.over.is_empty() => appends(nodes, unit),
        _ => None,
    };
    let (a, b) = (single(first)?, single(second)?);
    let shapes = |id: NodeId| [0, 1].map(|operand| nodes[nodes[id].inputs[operand]].shape);
    let places = |id: NodeId| nodes.base(nodes[id].inputs[2]);
    let reads = |id: NodeId, other: &Unit| {
        let from = nodes.owner(nodes[id].inputs[1]);
        other.over.iter().any(|&(result, cache)| from == result || from == cache)
    };
    if shapes(a) != shapes(b) || places(a) != places(b) || reads(a, second) || reads(b, first) {
        return None;
    }
    let mut both = first.clone();
    both.at = second.at;
    both.reads.extend(&second.reads);
    both.operands = both.reads.len();
    both.writes.extend(&second.writes);
    both.over.extend(&second.over);
    if let Work::Kernel(kernel) = &mut both.work {
        kernel.also = Some(b);
    }
    Some(both)
}
