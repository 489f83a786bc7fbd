//! RMSProp: the gradient over the root of its running mean square.

use seqloom_graph::{BadSetting, Kept, Optimizer, Step, Tensor};

use super::settings::{checked, decay, from_zero, positive};
use super::sgd::penalised;

/// RMSProp (Tieleman & Hinton 2012; PyTorch's `RMSprop`).
///
/// ```text
/// g ← g + weight_decay·p
/// v ← alpha·v + (1−alpha)·g²
/// a ← alpha·a + (1−alpha)·g, if centered
/// d ← √v + eps, or √(v − a²) + eps if centered
/// b ← momentum·b + g/d        p ← p − lr·b
/// ```
///
/// States: `square_avg`, v; `grad_avg`, a, if centered; `momentum_buffer`, b, with a momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Learning rate, before the schedule's factor.
    pub lr: f64,
    /// Decay of the running means, from 0 to below 1.
    pub alpha: f64,
    /// Added to the denominator; above 0.
    pub eps: f64,
    /// Weight decay that is added to the gradient (L2).
    pub weight_decay: f64,
    /// Decay of the running sum of steps, from 0 to below 1; 0 keeps none.
    pub momentum: f64,
    /// Divide by the standard deviation of the gradient.
    pub centered: bool,
}

impl Default for RmsProp {
    /// PyTorch's.
    fn default() -> Self {
        Self { lr: 1e-2, alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum: 0.0, centered: false }
    }
}

impl Optimizer for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        let average = self.centered.then_some("grad_avg");
        let momentum = (self.momentum > 0.0).then_some("momentum_buffer");
        let names = ["square_avg"].into_iter().chain(average).chain(momentum);
        names.map(|name| Kept::new(name, shape)).collect()
    }

    fn check(&self) -> Result<(), BadSetting> {
        checked(&[
            ("RmsProp.lr", self.lr, from_zero),
            ("RmsProp.alpha", self.alpha, decay),
            ("RmsProp.eps", self.eps, positive),
            ("RmsProp.weight_decay", self.weight_decay, from_zero),
            ("RmsProp.momentum", self.momentum, decay),
        ])
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let alpha = self.alpha as f32;
        let g = penalised(step, self.weight_decay);
        let square = step.state("square_avg") * alpha + g * g * (1.0 - alpha);
        step.keep("square_avg", square);
        let variance = if self.centered {
            let average = step.state("grad_avg") * alpha + g * (1.0 - alpha);
            step.keep("grad_avg", average);
            square - average * average
        } else {
            square
        };
        let change = g / (variance.sqrt() + self.eps as f32);
        if self.momentum == 0.0 {
            return step.param() - step.lr() * change;
        }
        let buffer = step.state("momentum_buffer") * self.momentum as f32 + change;
        step.keep("momentum_buffer", buffer);
        step.param() - step.lr() * buffer
    }
}
