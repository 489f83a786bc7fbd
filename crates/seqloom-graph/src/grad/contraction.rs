//! Gradients of products and reductions: other products, and spreading.

use crate::ir::error::Location;
use crate::ir::op::ReduceOp;
use crate::record::tensor::Tensor;

/// Of both operands: products of the result's gradient with the other one.
pub(super) fn matmul<'g>(
    trans_a: bool,
    trans_b: bool,
    a: Tensor<'g>,
    b: Tensor<'g>,
    dy: Tensor<'g>,
) -> Vec<Option<Tensor<'g>>> {
    let name = "gradient of matmul";
    let da = if trans_a { b.product(name, dy, trans_b, true) } else { dy.product(name, b, false, !trans_b) };
    let db = if trans_b { dy.product(name, a, true, trans_a) } else { a.product(name, dy, !trans_a, false) };
    vec![Some(da), Some(db)]
}

/// Spread again over the axis that was reduced; of a maximum to where it was, in equal shares.
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
        ReduceOp::Max => {
            let greatest = x.equal(back(y));
            let ties = greatest.reduce_axis(ReduceOp::Sum, axis, at);
            greatest * back(dy / ties)
        }
    }
}
