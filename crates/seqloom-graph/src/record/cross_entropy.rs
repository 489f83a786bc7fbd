//! Cross-entropy of logits against class numbers: the loss of language models and classifiers.
//!
//! It is an operation with its own kernel, not log-softmax and a choice of columns, because logits are the largest
//! tensor of a language model: forward keeps two numbers per row, and backward writes the gradient over the logits if
//! nothing else reads them.

use crate::ir::error::Location;
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
    /// Mean over the targets that count of [`Tensor::cross_entropy_each`], a scalar. If no target counts, the loss and its
    /// gradients are 0, so that a batch of padding alone moves nothing; PyTorch gives NaN there, the mean of nothing.
    ///
    /// Errors are those of [`Tensor::cross_entropy_each`].
    #[track_caller]
    #[must_use]
    pub fn cross_entropy(self, targets: Self, options: impl Into<CrossEntropyOptions>) -> Self {
        let at = here();
        let options = options.into();
        let losses = match self.losses(targets, options, at) {
            Ok(losses) => losses,
            Err(poisoned) => return poisoned,
        };
        let (total, rows) = (losses.sum(0), losses.dim(0));
        match options.ignore_index {
            None => total / self.graph.count(rows.max(1), at),
            Some(ignored) => {
                let ignored =
                    targets.reshape(&[rows]).to_f32().equal(self.graph.constant(ignored as f32, at));
                let counted = self.graph.count(rows, at) - ignored.sum(0);
                total / counted.maximum(self.graph.constant(1.0, at))
            }
        }
    }

    /// −Σ_v w_v·log_softmax(logits)_v of each target, with w the one-hot target, smoothed where the options say so: logits
    /// [.., V], targets [..] of u32 → [..]; 0 where the target does not count (PyTorch's `reduction="none"`).
    ///
    /// Targets of another shape than the logits' without the last axis, or a smoothing outside 0 to 1, poison the result.
    #[track_caller]
    #[must_use]
    pub fn cross_entropy_each(self, targets: Self, options: impl Into<CrossEntropyOptions>) -> Self {
        match self.losses(targets, options.into(), here()) {
            Ok(losses) => losses.reshape(&targets.shape()),
            Err(poisoned) => poisoned,
        }
    }

    /// The loss of each target in a row, [N], or the poisoned tensor.
    #[track_caller]
    fn losses(self, targets: Self, options: CrossEntropyOptions, at: Location) -> Result<Self, Self> {
        let name = "cross_entropy";
        let CrossEntropyOptions { ignore_index, label_smoothing } = options;
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32), (targets, DType::U32)], at) {
            return Err(poisoned);
        }
        let logits = self.rows(name, at)?;
        let rows = logits.dim(0);
        let misshapen = if logits.dim(1) == 0 {
            Some("logits need a class")
        } else if targets.shape()[..] != self.shape()[..self.rank() - 1] {
            Some("targets need the logits' shape without the last axis")
        } else {
            None
        };
        if let Some(needs) = misshapen {
            return Err(self.shape_error(name, &[targets], needs, at));
        }
        if !(0.0..=1.0).contains(&label_smoothing) {
            let detail = format!("label_smoothing = {label_smoothing} is not in 0 <= s <= 1");
            return Err(self.argument_error(name, detail, at));
        }
        let per_row = (Shape::new(&[rows]).unwrap_or_default(), DType::F32);
        let what = Op::CrossEntropy { ignore_index, smoothing: label_smoothing.to_bits() };
        let outputs = self.graph.push_outputs(what, &[logits, targets.reshape(&[rows])], &[per_row; 3], at);
        Ok(outputs[0])
    }
}
