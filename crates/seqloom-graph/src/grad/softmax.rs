//! Gradients of softmax and its logarithm, from just the result.

use crate::ir::error::Location;
use crate::ir::shape::Shape;
use crate::record::tensor::Tensor;

/// y∘(dy − Σ dy∘y), and of the logarithm dy − eʸ·Σ dy.
pub(super) fn backward<'g>(log: bool, y: Tensor<'g>, dy: Tensor<'g>, at: Location) -> Tensor<'g> {
    let row = Shape::new(&[y.dim(0), 1]).unwrap_or_default();
    let spread = |t: Tensor<'g>| t.reshape(&row).stretched(y.shape(), at);
    if log { dy - y.exp() * spread(dy.sum(-1)) } else { y * (dy - spread((dy * y).sum(-1))) }
}
