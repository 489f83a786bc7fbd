//! Gradients of products: other products.

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
