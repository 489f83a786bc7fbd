//! Gradients of reductions and running sums: spreading.

use crate::ir::error::Location;
use crate::ir::op::{Op, ReduceOp};
use crate::record::tensor::Tensor;

/// Spread again over the axis that was reduced: of an extreme element to where it was, in equal shares; of a product by the
/// product of the others.
pub(super) fn reduce<'g>(
    op: ReduceOp,
    axis: usize,
    x: Tensor<'g>,
    y: Tensor<'g>,
    dy: Tensor<'g>,
    at: Location,
) -> Tensor<'g> {
    let kept = x.shape().with(axis, 1);
    let back = |t: Tensor<'g>| t.reshape(&kept).stretched(x.shape(), at);
    match op {
        ReduceOp::Sum => back(dy),
        ReduceOp::Max | ReduceOp::Min => {
            let extreme = x.equal(back(y));
            let ties = extreme.reduce_axis(ReduceOp::Sum, axis, at);
            extreme * back(dy / ties)
        }
        ReduceOp::Prod => {
            // With 1 in place of each 0 there is a product to divide. The others' product is 0 unless an element is the only 0, or
            // none is.
            let zero = x.equal(x.graph.constant(0.0, at));
            let filled = x + zero;
            let product = filled.reduce_axis(ReduceOp::Prod, axis, at);
            let zeros = zero.reduce_axis(ReduceOp::Sum, axis, at);
            zero.equal(back(zeros)) * back(dy * product) / filled
        }
    }
}

/// Running sums the other way: an element is in the sums of all behind it.
pub(super) fn scan<'g>(axis: usize, reverse: bool, dy: Tensor<'g>, at: Location) -> Tensor<'g> {
    dy.unary_node(Op::Scan { axis, reverse: !reverse }, dy.shape(), at)
}
