//! Pairs of appends that one dispatch does: keys and values go into two caches of one shape at the same places.
//!
//! For a generated token a launch costs more than the rows that it moves.

use crate::compile::place::{base, memory, part};
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;

/// By node, for appending in place, the one that is done by the same dispatch: as keys and values are, which go into two caches
/// of one shape at the same places. Nothing runs between the two, and neither reads what the other writes.
pub(crate) fn pairs(nodes: &[Node]) -> Vec<Option<NodeId>> {
    let mut partners = vec![None; nodes.len()];
    let mut open: Option<NodeId> = None;
    for (id, node) in nodes.iter().enumerate() {
        if node.op == (Op::Append { in_place: true }) {
            let first = open.filter(|&first| alike(nodes, first, id));
            if let Some(first) = first {
                (partners[first], partners[id]) = (Some(id), Some(first));
            }
            open = if first.is_some() { None } else { Some(id) };
        } else if !matches!(node.op, Op::Reshape | Op::State(_)) && part(nodes, id).is_none() {
            open = None;
        }
    }
    partners
}

/// Whether both append as many rows at the same places of caches of one shape, and could do it in any order.
fn alike(nodes: &[Node], first: NodeId, second: NodeId) -> bool {
    let [a, b] = [first, second].map(|id| nodes[id].inputs.as_slice());
    let shapes = |inputs: &[NodeId]| [0, 1].map(|operand| nodes[inputs[operand]].shape);
    let reads = |rows: NodeId, append: NodeId| {
        let from = memory(nodes, rows);
        from == append || from == base(nodes, nodes[append].inputs[0])
    };
    shapes(a) == shapes(b)
        && base(nodes, a[2]) == base(nodes, b[2])
        && !reads(a[1], second)
        && !reads(b[1], first)
}
