//! The loss of labels whose places in a sequence nobody knows.

use seqloom_graph::{CtcOptions, Tensor};

use super::reduction::{LossOptions, Reduction};

/// What [`ctc_loss`] does besides; the default is PyTorch's.
#[derive(Clone, Copy, Debug, Default)]
pub struct CtcLossOptions<'g> {
    /// Which class is the blank, and whether infinite losses count as 0.
    pub ctc: CtcOptions,
    /// How the losses are joined, and the weight of each sequence. A weight of 0 does not hide an infinite loss.
    pub loss: LossOptions<'g>,
}

/// Connectionist temporal classification (Graves et al. 2006; PyTorch's `ctc_loss`, batch first).
///
/// Formula: l_b = −ln of the chance that an alignment drawn from the chances of each step gives the target
/// ([`Tensor::ctc`]); the mean is that of l_b / max(1, `target_lengths[b]`).
///
/// Shapes: log_probs [B, T, V], the output of [`Tensor::log_softmax`]; targets [B, S] of u32, filled up with any class;
/// both lengths \[B\] of u32, of steps and labels → scalar, or \[B\] without a reduction.
///
/// Errors: those of [`Tensor::ctc`].
#[track_caller]
#[must_use]
pub fn ctc_loss<'g>(
    log_probs: Tensor<'g>,
    targets: Tensor<'g>,
    input_lengths: Tensor<'g>,
    target_lengths: Tensor<'g>,
    options: CtcLossOptions<'g>,
) -> Tensor<'g> {
    let losses = log_probs.ctc(targets, input_lengths, target_lengths, options.ctc);
    let losses = match options.loss.reduction {
        Reduction::Mean => losses / target_lengths.to_f32().maximum(losses.graph().full(&[], 1.0)),
        Reduction::Sum | Reduction::None => losses,
    };
    options.loss.reduce(losses)
}
