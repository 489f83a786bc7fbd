//! Adam and AdamW: running means of the gradient and of its square, whose ratio is the step.

use seqloom_graph::{BadSetting, Kept, Optimizer, Step, Tensor};

use super::settings::{checked, decay, from_zero, positive};
use super::sgd::penalised;

/// Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019), and clipping by the global norm.
///
/// Formula, for the gradient g of all parameters together, and t the number of updates of a parameter, this one
/// included: at a parameter's first gradient t is 1, as in PyTorch.
///
/// ```text
/// g ← g·min(1, clip_norm / (‖g‖ + 1e-6))
/// m ← β1·m + (1−β1)·g          v ← β2·v + (1−β2)·g²
/// p ← p − lr·weight_decay·p
/// p ← p − lr·(m/(1−β1^t)) / (√(v/(1−β2^t)) + eps)
/// ```
///
/// States: `m` and `v`. A step whose gradient is not finite changes nothing and is not counted. The defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate, before the schedule's factor.
    pub lr: f64,
    /// Decay of the first moment, 0 ≤ β1 < 1.
    pub beta1: f64,
    /// Decay of the second moment, 0 ≤ β2 < 1.
    pub beta2: f64,
    /// Added to the denominator; above 0.
    pub eps: f64,
    /// Decoupled weight decay; 0 gives Adam.
    pub weight_decay: f64,
    /// Largest norm of the gradient of all parameters together; `None` does not clip.
    pub clip_norm: Option<f64>,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, clip_norm: None }
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        moments(shape)
    }

    fn decays(&self) -> [f64; 2] {
        [self.beta1, self.beta2]
    }

    fn clip_norm(&self) -> Option<f64> {
        self.clip_norm
    }

    fn check(&self) -> Result<(), BadSetting> {
        let clip_norm = self.clip_norm.unwrap_or(1.0);
        checked(&[
            ("AdamW.lr", self.lr, from_zero),
            ("AdamW.beta1", self.beta1, decay),
            ("AdamW.beta2", self.beta2, decay),
            ("AdamW.eps", self.eps, positive),
            ("AdamW.weight_decay", self.weight_decay, from_zero),
            ("AdamW.clip_norm", clip_norm, positive),
        ])
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let change = ratio(step, step.grad(), [self.beta1, self.beta2, self.eps]);
        decayed(step, self.weight_decay) - change
    }
}

/// Adam with the weight decay in the gradient (Kingma & Ba 2015; PyTorch's `Adam`).
///
/// ```text
/// g ← g + weight_decay·p
/// m ← β1·m + (1−β1)·g          v ← β2·v + (1−β2)·g²
/// p ← p − lr·(m/(1−β1^t)) / (√(v/(1−β2^t)) + eps)
/// ```
///
/// States: `m` and `v`. With a weight decay [`AdamW`] is nearly always what is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate, before the schedule's factor.
    pub lr: f64,
    /// Decay of the first moment, 0 ≤ β1 < 1.
    pub beta1: f64,
    /// Decay of the second moment, 0 ≤ β2 < 1.
    pub beta2: f64,
    /// Added to the denominator; above 0.
    pub eps: f64,
    /// Weight decay that is added to the gradient (L2).
    pub weight_decay: f64,
}

impl Default for Adam {
    /// PyTorch's.
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        moments(shape)
    }

    fn decays(&self) -> [f64; 2] {
        [self.beta1, self.beta2]
    }

    fn check(&self) -> Result<(), BadSetting> {
        checked(&[
            ("Adam.lr", self.lr, from_zero),
            ("Adam.beta1", self.beta1, decay),
            ("Adam.beta2", self.beta2, decay),
            ("Adam.eps", self.eps, positive),
            ("Adam.weight_decay", self.weight_decay, from_zero),
        ])
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let g = penalised(step, self.weight_decay);
        step.param() - ratio(step, g, [self.beta1, self.beta2, self.eps])
    }
}

/// The states of [`ratio`].
pub(super) fn moments(shape: &[usize]) -> Vec<Kept> {
    vec![Kept::new("m", shape), Kept::new("v", shape)]
}

/// The parameter after decoupled weight decay: p − lr·decay·p.
pub(super) fn decayed<'g>(step: &Step<'g>, decay: f64) -> Tensor<'g> {
    let decay = step.weight_decay(decay);
    if decay == 0.0 { step.param() } else { step.param() * (1.0 - step.lr() * decay as f32) }
}

/// lr·(m/(1−β1^t)) / (√(v/(1−β2^t)) + eps), after the moments took the gradient in.
pub(super) fn ratio<'g>(step: &Step<'g>, g: Tensor<'g>, settings: [f64; 3]) -> Tensor<'g> {
    let [beta1, beta2, eps] = settings.map(|setting| setting as f32);
    let [correction1, correction2] = step.corrections();
    let m = step.state("m") * beta1 + g * (1.0 - beta1);
    let v = step.state("v") * beta2 + g * (1.0 - beta2) * g;
    step.keep("m", m);
    step.keep("v", v);
    step.lr() * correction1 * m / ((v * correction2).sqrt() + eps)
}
