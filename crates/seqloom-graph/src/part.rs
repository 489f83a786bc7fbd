//! Parts of parameters that need no copy: what lies in one piece within its arena is bound where it lies.
//!
//! So the joint projection of attention costs three products and no copies of its weights, which counts where a step is a
//! single token. Parts of what a program computes are copied all the same: their memory ends with its last reader, and a
//! kernel may not read and write one buffer.

use crate::fuse::base;
use crate::graph::{Node, NodeId};
use crate::op::Op;
use crate::params::ParamId;
use crate::store::ALIGNMENT;

/// The parameter of which the node is a part in one piece, and the byte where that begins.
pub(crate) fn part_of_param(nodes: &[Node], id: NodeId) -> Option<(ParamId, u64)> {
    let Op::Window { axis, start, take, before: 0 } = nodes[id].op else { return None };
    let whole = nodes[id].inputs[0];
    let Op::Param(param) = nodes[base(nodes, whole)].op else { return None };
    let shape = nodes[id].shape;
    let offset = 4 * (start * nodes[whole].shape.strides()[axis]) as u64;
    let one_piece =
        shape[..axis].iter().all(|&extent| extent == 1) && shape[axis] == take && !shape.is_empty();
    (one_piece && offset.is_multiple_of(ALIGNMENT)).then_some((param, offset))
}
