//! Gradient of windows along an axis: what all windows say of one element is added up.
//!
//! Windows that overlap bring several contributions to an element, which lie on a diagonal of the gradient: window and place in it
//! change against each other. With zeros around, all diagonals have one length, and a reduction reads them where they lie
//! ([`Op::Skew`]): one padding and one reduction, for windows of any length. A slice and a padding per place in the window, added
//! up, would take that many launches, each of the size of the operand.

use crate::ir::error::Location;
use crate::ir::op::{Op, ReduceOp};
use crate::record::tensor::Tensor;

/// dx[.., i, ..] = Σ dy[.., w, .., k] over all w·step + k·dilation = i.
pub(super) fn backward<'g>(
    axis: usize,
    step: usize,
    dilation: usize,
    x: Tensor<'g>,
    dy: Tensor<'g>,
    at: Location,
) -> Tensor<'g> {
    let from = x.shape();
    let [outer, inner]: [usize; 2] = [&from[..axis], &from[axis + 1..]].map(|dims| dims.iter().product());
    let (count, size) = (dy.dim(axis), dy.dim(from.rank()));
    let reach = (size - 1) * dilation;
    // Windows apart from each other: [outer, count, inner, step] is in the order of elements but for two axes. Else each element of
    // a window a window's step behind the other, so that windows begin everywhere.
    let along = if reach < step {
        let spread = dy.reshape(&[outer * count * inner, size, 1]).pad(2, 0, dilation - 1);
        let rows = spread.reshape(&[outer * count * inner, size * dilation]);
        let taken = step.min(size * dilation);
        let rows = rows.slice(1, 0, taken).pad(1, 0, step - taken);
        rows.reshape(&[outer * count, inner, step]).transpose(1, 2)
    } else {
        let spread = dy.reshape(&[outer, count, 1, inner * size]).pad(2, 0, step - 1);
        let around = spread.reshape(&[outer, count * step, inner, size]).pad(1, reach, reach);
        let diagonals = around.shape().with(1, count * step + reach);
        if around.is_poisoned() {
            return around;
        }
        let skewed = around.unary_node(Op::Skew { axis: 1, by: dilation }, diagonals, at);
        skewed.reduce_axis(ReduceOp::Sum, 3, at)
    };
    let has = if reach < step { count * step } else { count * step + reach };
    let all = along.reshape(&[outer, has, inner]);
    let taken = has.min(from[axis]);
    all.slice(1, 0, taken).pad(1, 0, from[axis] - taken).reshape(&from)
}
