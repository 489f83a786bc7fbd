//! What a program is asked for: outputs by name, and a loss with its gradients and update.

use crate::record::tensor::Tensor;

/// What a program computes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a, 'g> {
    /// Tensors to read after a run, by name; ids and lengths cannot be read back.
    pub outputs: &'a [(&'a str, Tensor<'g>)],
    /// The scalar to differentiate. Its value becomes the output `loss`.
    pub objective: Option<Objective<'g>>,
}

/// A loss whose gradients a program computes.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'g> {
    /// A tensor of one element.
    pub loss: Tensor<'g>,
    /// Whether a step of AdamW follows, over the parameters that the loss depends on; others are left alone, as PyTorch
    /// leaves those without a gradient. It adds the outputs `grad_norm` (L2 norm of all gradients before the clip)
    /// and `skipped`: 1 where that norm, or an element that a state was to carry on, was not finite. Then parameters, moments,
    /// counts of updates and states are as they were.
    pub update: bool,
}

impl<'g> Objective<'g> {
    /// The gradients of `loss`, without an update.
    #[must_use]
    pub fn new(loss: Tensor<'g>) -> Self {
        Self { loss, update: false }
    }
}
