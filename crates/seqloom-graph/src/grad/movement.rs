//! Gradients of operations that move elements: the inverse moves.

use crate::ir::error::Location;
use crate::ir::op::Op;
use crate::record::tensor::Tensor;

/// A permutation made by `transpose` exchanges two axes and is its own inverse.
pub(super) fn permute<'g>(op: &Op, x: Tensor<'g>, dy: Tensor<'g>, at: Location) -> Tensor<'g> {
    dy.unary_node(op.clone(), x.shape(), at)
}

/// What was taken goes back to where it came from. A window is its axis, start, number of indices, and their place.
pub(super) fn window<'g>(
    (axis, start, take, before): (usize, usize, usize, usize),
    x: Tensor<'g>,
    dy: Tensor<'g>,
    at: Location,
) -> Tensor<'g> {
    dy.window(axis, before, take, start, x.shape(), at)
}
