//! Where nodes lie: under which other node's name, or in which other node's memory; who uses them; and copies of roots that
//! cannot be computed where they must lie.
//!
//! Windows need no copy where leading indices of a tensor lie in one piece: they are bound where they lie. A layer that keeps
//! several matrices in one parameter reads each of them so, and one that computes several things by one
//! product (the joint projection of attention, for a single row) reads them out of its result. Only where the window begins
//! at an offset that every adapter can bind; elsewhere it is copied.
//!
//! Such a window has no memory of its own: whatever asks who reads a tensor, or how long it is needed, asks for the node that
//! [`memory`] gives, since a buffer is bound, and tracked, as a whole. Reading several parts of one buffer in one
//! dispatch is allowed; reading one part and writing another is not ([`super::reuse`], [`super::in_place`]).

use crate::ir::layout::ALIGNMENT;
use crate::ir::nodes::Node;
use crate::ir::op::{Op, Unary};
use crate::ir::specs::NodeId;

/// The node in whose memory this one lies as a part, and the byte at which it begins there.
pub(crate) fn part(nodes: &[Node], id: NodeId) -> Option<(NodeId, u64)> {
    // Windows of windows, this one first.
    let mut windows = Vec::new();
    let mut whole = id;
    while let Some((operand, offset)) = cut(nodes, whole) {
        windows.push((whole, offset));
        whole = operand;
    }
    // From the inmost on, each lies where its operand does, or is copied.
    let mut place = (whole, 0);
    for (window, offset) in windows.into_iter().rev() {
        let (owner, begins) = place;
        let at = begins + offset;
        place = if at.is_multiple_of(ALIGNMENT) { (owner, at) } else { (window, 0) };
    }
    (place.0 != id).then_some(place)
}

/// The node whose memory holds this one's elements: through reshapes, and windows that are bound in place.
pub(crate) fn memory(nodes: &[Node], id: NodeId) -> NodeId {
    let id = base(nodes, id);
    part(nodes, id).map_or(id, |(owner, _)| owner)
}

/// What a window that lies in one piece is cut out of, and the bytes before it there.
fn cut(nodes: &[Node], id: NodeId) -> Option<(NodeId, u64)> {
    let Op::Window { axis, start, take, before } = nodes[id].op else { return None };
    let whole = nodes[id].inputs[0];
    let leading = nodes[whole].shape[..axis].iter().all(|&size| size == 1);
    let cut_only = before == 0 && take == nodes[id].shape[axis];
    let inner: usize = nodes[whole].shape[axis + 1..].iter().product();
    // Nothing can be bound of no length.
    let some = !nodes[id].shape.is_empty();
    (leading && cut_only && some).then(|| (base(nodes, whole), 4 * (start * inner) as u64))
}

/// The node whose memory a chain of reshapes names.
pub(crate) fn base(nodes: &[Node], mut id: NodeId) -> NodeId {
    while nodes[id].op == Op::Reshape {
        id = nodes[id].inputs[0];
    }
    id
}

/// Output nodes of an operation that has several; they follow it directly.
pub(crate) fn outputs(nodes: &[Node], id: NodeId) -> Vec<NodeId> {
    (id + 1..nodes.len())
        .take_while(|&o| matches!(nodes[o].op, Op::Output(_)) && nodes[o].inputs[0] == id)
        .collect()
}

/// What a node reads, seen through reshapes.
pub(crate) fn operands(nodes: &[Node], id: NodeId) -> Vec<NodeId> {
    nodes[id].inputs.iter().map(|&input| base(nodes, input)).collect()
}

/// Users of each node's memory, seen through reshapes; roots count as a user of their own.
pub(crate) fn users(nodes: &[Node], roots: &[NodeId]) -> Vec<Vec<NodeId>> {
    let mut users = vec![Vec::new(); nodes.len()];
    let outside = nodes.len();
    for (id, node) in nodes.iter().enumerate().filter(|(_, n)| n.op != Op::Reshape) {
        for &input in &node.inputs {
            let of: &mut Vec<NodeId> = &mut users[base(nodes, input)];
            if of.last() != Some(&id) {
                of.push(id);
            }
        }
    }
    for &root in roots {
        users[base(nodes, root)].push(outside);
    }
    users
}

/// Puts a copy behind each root that cannot be computed where it must lie: one that is there already, one that other
/// nodes read (a kernel may not read and write one arena), one that serves twice. The first `grads` roots are gradients.
pub(crate) fn place_roots(nodes: &mut Vec<Node>, roots: &mut [NodeId], grads: usize) {
    let mut uses = vec![0; nodes.len()];
    for node in nodes.iter().filter(|n| n.op != Op::Reshape) {
        for &input in &node.inputs {
            uses[base(nodes, input)] += 1;
        }
    }
    for &root in roots.iter() {
        uses[base(nodes, root)] += 1;
    }
    for (index, root) in roots.iter_mut().enumerate() {
        let id = base(nodes, *root);
        let fixed = matches!(nodes[id].op, Op::Param(_) | Op::Input(_) | Op::State(_) | Op::Literal(_));
        let fixed = fixed || part(nodes, id).is_some();
        if fixed || (index < grads && uses[id] > 1) {
            let node = Node { op: Op::Unary(Unary::Copy), inputs: vec![*root], ..nodes[*root].clone() };
            nodes.push(node);
            *root = nodes.len() - 1;
        }
    }
}
