//! Cross-entropy of logits against class numbers: the loss of language models and classifiers.
//!
//! It is an operation with its own kernel, not log-softmax and a choice of columns, because logits are the largest
//! tensor of a language model: forward keeps two numbers per row, and backward writes the gradient over the logits if
//! nothing else reads them.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::shape::Shape;
use crate::record::tensor::{Tensor, here};

/// What a cross-entropy is besides the mean over targets of −log_softmax(logits)\[target\]. An `Option<u32>` stands for an
/// `ignore_index` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropyOptions {
    /// Target that counts neither in the sum nor in the mean.
    pub ignore_index: Option<u32>,
    /// The share s of the target's weight that all V classes divide among them, 0 ≤ s ≤ 1: the weight of class v is
    /// (1 − s)·\[v = target\] + s/V (Szegedy et al. 2016; PyTorch's `label_smoothing`).
    pub label_smoothing: f32,
}

impl From<Option<u32>> for CrossEntropyOptions {
    fn from(ignore_index: Option<u32>) -> Self {
        Self { ignore_index, ..Self::default() }
    }
}

impl<'g> Tensor<'g> {
    /// Mean over the targets that count of −Σ_v w_v·log_softmax(logits)_v, with w the one-hot target, smoothed where the
    /// options say so: logits [.., V], targets [..] of u32 → scalar. If no target counts, the loss and
    /// its gradients are 0, so that a batch of padding alone moves nothing; PyTorch gives NaN there, the mean of nothing.
    ///
    /// Targets of another shape than the logits' without the last axis, or a smoothing outside 0 to 1, poison the result.
    #[track_caller]
    #[must_use]
    pub fn cross_entropy(self, targets: Self, options: impl Into<CrossEntropyOptions>) -> Self {
        let at = here();
        let name = "cross_entropy";
        let CrossEntropyOptions { ignore_index, label_smoothing } = options.into();
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32), (targets, DType::U32)], at) {
            return poisoned;
        }
        let logits = match self.rows(name, at) {
            Ok(logits) => logits,
            Err(poisoned) => return poisoned,
        };
        let rows = logits.dim(0);
        if logits.dim(1) == 0 {
            return self.shape_error(name, &[targets], "logits need a class", at);
        }
        if targets.shape()[..] != self.shape()[..self.rank() - 1] {
            return self.shape_error(
                name,
                &[targets],
                "targets need the logits' shape without the last axis",
                at,
            );
        }
        if !(0.0..=1.0).contains(&label_smoothing) {
            let detail = format!("label_smoothing = {label_smoothing} is not in 0 <= s <= 1");
            return self.argument_error(name, detail, at);
        }
        let targets = targets.reshape(&[rows]);
        let per_row = (Shape::new(&[rows]).unwrap_or_default(), DType::F32);
        let what = Op::CrossEntropy { ignore_index, smoothing: label_smoothing.to_bits() };
        let losses = self.graph.push_outputs(what, &[logits, targets], &[per_row; 3], at);
        let total = losses[0].sum(0);
        match ignore_index {
            None => total / self.graph.count(rows.max(1), at),
            Some(ignored) => {
                let ignored = targets.to_f32().equal(self.graph.constant(ignored as f32, at)).sum(0);
                let counted = self.graph.count(rows, at) - ignored;
                total / counted.maximum(self.graph.constant(1.0, at))
            }
        }
    }
}
