//! Parts of parameters that need no copy: a window of leading indices lies in one piece, so it is bound where it lies.
//!
//! A layer that keeps several matrices in one (the joint projection of attention) reads each of them so. Only where the part
//! begins at an offset that every adapter can bind; elsewhere the window is copied, as windows of all other tensors are:
//! their slots are planned as a whole.

use crate::fuse::base;
use crate::graph::{Node, NodeId};
use crate::op::Op;
use crate::store::ALIGNMENT;

/// The parameter that this node is a part of, and the byte at which it begins there.
pub(crate) fn part(nodes: &[Node], id: NodeId) -> Option<(NodeId, u64)> {
    let Op::Window { axis, start, take, before } = nodes[id].op else { return None };
    let whole = nodes[id].inputs[0];
    let leading = nodes[whole].shape[..axis].iter().all(|&size| size == 1);
    let cut_only = before == 0 && take == nodes[id].shape[axis];
    let inner: usize = nodes[whole].shape[axis + 1..].iter().product();
    let offset = 4 * (start * inner) as u64;
    let owner = base(nodes, whole);
    let bound = matches!(nodes[owner].op, Op::Param(_)) && offset.is_multiple_of(ALIGNMENT);
    (leading && cut_only && bound).then_some((owner, offset))
}
