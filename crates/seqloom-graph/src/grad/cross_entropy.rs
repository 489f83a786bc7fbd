//! Gradients of cross-entropy: one kernel, which writes over the logits where nothing else reads them.

use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::record::tensor::Tensor;

/// Gradients of logits and targets from that of each row's loss.
pub(super) fn backward<'g>(
    (ignore_index, smoothing): (Option<u32>, u32),
    x: &[Tensor<'g>],
    outputs: &[Tensor<'g>],
    dlosses: Option<Tensor<'g>>,
    at: Location,
) -> Vec<Option<Tensor<'g>>> {
    let (Some(dlosses), [_, tops, totals]) = (dlosses, outputs) else { return vec![None, None] };
    let operands = [x[0], x[1], *tops, *totals, dlosses];
    let what = Op::CrossEntropyGrad { ignore_index, smoothing };
    vec![Some(x[0].graph.push(what, &operands, x[0].shape(), DType::F32, at)), None]
}
