//! Gradients of CTC: by its kernels, from the forward variables that it kept.

use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::Alignment;
use crate::record::tensor::Tensor;

/// Gradients of log_probs, targets and lengths from those of the losses.
pub(super) fn backward<'g>(
    how: Alignment,
    x: &[Tensor<'g>],
    outputs: &[Tensor<'g>],
    dlosses: Option<Tensor<'g>>,
    at: Location,
) -> Vec<Option<Tensor<'g>>> {
    let (Some(dlosses), [_, alphas]) = (dlosses, outputs) else { return vec![None; x.len()] };
    let operands = [x, &[*alphas, dlosses]].concat();
    let gradient = x[0].graph.push(Op::CtcGrad(how), &operands, x[0].shape(), DType::F32, at);
    vec![Some(gradient), None, None, None]
}
