//! Gradients of normalisation: a kernel for the operand, and sums over rows for weight and bias, with the normalised
//! row computed in the reduction's head. Sums that nobody trains are dropped as dead code.

use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::{Op, ReduceOp};
use crate::ir::shape::Shape;
use crate::record::tensor::Tensor;

/// Gradients of x, weight and bias from that of y.
pub(super) fn backward<'g>(
    centred: bool,
    x: &[Tensor<'g>],
    outputs: &[Tensor<'g>],
    dy: Option<Tensor<'g>>,
    at: Location,
) -> Vec<Option<Tensor<'g>>> {
    let (Some(dy), [_, first, mean, rstd]) = (dy, outputs) else { return vec![None; x.len()] };
    let rows = x[0];
    let operands = [rows, dy, x[1], *mean, *rstd];
    let dx = rows.graph.push(Op::NormGrad { centred }, &operands, rows.shape(), DType::F32, at);
    let row = Shape::new(&[rows.dim(0), 1]).unwrap_or_default();
    let spread = |t: &Tensor<'g>| t.reshape(&row).stretched(rows.shape(), at);
    // The first element is subtracted first, as in the kernels; with a large mean nothing else keeps the digits.
    let apart = if centred { rows - spread(first) - spread(mean) } else { rows };
    let over_rows = |t: Tensor<'g>| Some(t.reduce_axis(ReduceOp::Sum, 0, at));
    let mut gradients = vec![Some(dx), over_rows(dy * (apart * spread(rstd)))];
    if centred {
        gradients.push(over_rows(dy));
    }
    gradients
}
