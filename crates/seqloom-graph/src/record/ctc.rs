//! Connectionist temporal classification: the loss of sequences whose labels are known, and not where they stand.
//!
//! It is an operation with its own kernels and not composed of others, because a recursion over T steps would be T times a dozen
//! operations, and their gradients again.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::Alignment;
use crate::ir::shape::Shape;
use crate::record::tensor::{Tensor, here};

/// What [`Tensor::ctc`] needs besides its tensors; the default is PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtcOptions {
    /// The class that stands for no label. Targets do not hold it.
    pub blank: u32,
    /// Makes infinite losses, of targets too long for their sequence, 0 and their gradients too.
    pub zero_infinity: bool,
}

impl<'g> Tensor<'g> {
    /// Connectionist temporal classification (Graves et al. 2006), as PyTorch's `ctc_loss` with `reduction="none"`, batch first:
    /// −ln Σ_π Π_t e^(log_probs\[b, t, π_t\]), summed over the alignments π of the first `input_lengths[b]` steps that give the target:
    /// those that are its first `target_lengths[b]` labels once steps of one class in a row are one, and then blanks are left out.
    ///
    /// Shapes: log_probs [B, T, V], the output of [`Tensor::log_softmax`]; targets [B, S] of u32, of which what lies past the
    /// length is not read; both lengths \[B\] of u32 → \[B\]. Lengths may be 0: of an empty sequence an empty target has the loss 0.
    ///
    /// A target that no alignment gives, because it has more labels (and blanks between equal neighbours) than there are steps,
    /// has an infinite loss and a gradient of NaN, or 0 with `zero_infinity`.
    ///
    /// The gradient is the derivative of the formula, −P(π_t = v | target). PyTorch's for log_probs themselves has e^log_probs added,
    /// which is the same once it has gone through the log-softmax.
    ///
    /// Other ranks or sizes, no classes, and a blank that is no class poison the result. A target of V or more, and lengths beyond T
    /// and S, are errors when the program is run.
    #[track_caller]
    #[must_use]
    pub fn ctc(
        self,
        targets: Self,
        input_lengths: Self,
        target_lengths: Self,
        options: impl Into<CtcOptions>,
    ) -> Self {
        let (at, name) = (here(), "ctc");
        let CtcOptions { blank, zero_infinity } = options.into();
        let others = [targets, input_lengths, target_lengths];
        let typed = [(targets, DType::U32), (input_lengths, DType::U32), (target_lengths, DType::U32)];
        if let Some(poisoned) = self.refuse(name, &[&[(self, DType::F32)], &typed[..]].concat(), at) {
            return poisoned;
        }
        let batch = self.dim(0);
        let lengths_fit = others[1..].iter().all(|lengths| lengths.shape()[..] == [batch]);
        let misshapen = if self.rank() != 3 {
            Some("needs log_probs [B, T, V]")
        } else if targets.rank() != 2 || targets.dim(0) != batch {
            Some("needs targets [B, S]")
        } else if !lengths_fit {
            Some("needs lengths [B]")
        } else {
            None
        };
        if let Some(needs) = misshapen {
            return self.shape_error(name, &others, needs, at);
        }
        if blank as usize >= self.dim(2) {
            let detail = format!("blank = {blank} is none of {} classes", self.dim(2));
            return self.argument_error(name, detail, at);
        }
        let most = [self.dim(1), targets.dim(1)];
        // Kernels read a step and a label at least; no length reaches an added one.
        let log_probs = if self.dim(1) == 0 { self.pad(1, 0, 1) } else { self };
        let no_label = || self.graph.literal_u32(&[batch, 1], vec![0; batch]);
        let targets = if targets.dim(1) == 0 { no_label() } else { targets };
        let shape = |dims: &[usize]| (Shape::new(dims).unwrap_or_default(), DType::F32);
        let alphas = shape(&[batch, log_probs.dim(1), targets.dim(1).saturating_mul(2).saturating_add(1)]);
        let what = Op::Ctc(Alignment { blank, zero_infinity, most });
        let operands = [log_probs, targets, input_lengths, target_lengths];
        let outputs = self.graph.push_outputs(what, &operands, &[shape(&[batch]), alphas], at);
        outputs[0]
    }
}
