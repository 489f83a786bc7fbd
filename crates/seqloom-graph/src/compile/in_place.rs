//! Appending in place: new rows of a cache are written where the state lies that keeps the result.
//!
//! That costs as much as the rows; a copy would cost as much as the cache.

use crate::compile::place::{base, memory};
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::specs::{NodeId, StateSpec};

/// Marks the appending that can write where its state lies: the state keeps the result, the result is nothing else that was
/// asked for, and whatever else reads the state has done so before. The last of `roots` are what the states keep.
pub(crate) fn mark_in_place(nodes: &mut [Node], roots: &[NodeId], states: &[StateSpec]) {
    let kept: Vec<_> = (0..states.len()).filter(|&state| states[state].kept.is_some()).collect();
    let first = roots.len().saturating_sub(kept.len());
    for (state, &root) in kept.into_iter().zip(&roots[first..]) {
        let id = base(nodes, root);
        if !matches!(nodes[id].op, Op::Append { .. }) {
            continue;
        }
        let own = base(nodes, nodes[id].inputs[0]);
        let reads =
            |node: &Node| node.op != Op::Reshape && node.inputs.iter().any(|&i| memory(nodes, i) == own);
        // Kernels run in the order of nodes; one that is written from several runs with the last of them.
        let alone = |at: NodeId| !nodes[at].op.is_group_root() && !may_have_tail(nodes, at);
        let before = |at: NodeId| at < id && alone(at);
        let free = (0..nodes.len()).filter(|&at| at != id && reads(&nodes[at])).all(before);
        let once = roots.iter().filter(|&&other| base(nodes, other) == id).count() == 1;
        let asked = roots.iter().any(|&other| base(nodes, other) == own);
        let itself = nodes[id].inputs[1..].iter().any(|&input| memory(nodes, input) == own);
        if nodes[own].op == Op::State(state) && free && once && !asked && !itself {
            nodes[id].op = Op::Append { in_place: true };
        }
    }
}

/// Whether the node's kernel may run later than the node stands, with what is computed of it pointwise.
fn may_have_tail(nodes: &[Node], id: NodeId) -> bool {
    let follows =
        |node: &Node| node.op.is_pointwise() && node.inputs.iter().any(|&input| base(nodes, input) == id);
    nodes[id].op.takes_tail() && nodes.iter().any(follows)
}
