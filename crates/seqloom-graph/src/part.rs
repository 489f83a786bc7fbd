//! Windows that need no copy: leading indices of a tensor lie in one piece, so they are bound where they lie.
//!
//! A layer that keeps several matrices in one parameter reads each of them so, and one that computes several things by one
//! product (the joint projection of attention, for a single row) reads them out of its result. Only where the window begins
//! at an offset that every adapter can bind; elsewhere it is copied.
//!
//! Such a window has no memory of its own: whatever asks who reads a tensor, or how long it is needed, asks for the node that
//! [`memory`] gives, since a buffer is bound, and tracked, as a whole. Reading several parts of one buffer in one
//! dispatch is allowed; reading one part and writing another is not ([`crate::reuse`], `following.rs`).

use crate::fuse::base;
use crate::ir::layout::ALIGNMENT;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
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
