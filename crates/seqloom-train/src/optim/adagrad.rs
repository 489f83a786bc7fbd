//! Adagrad: the gradient over the root of the sum of its squares.

use seqloom_graph::{BadSetting, Initial, Kept, Optimizer, Step, Tensor};

use super::settings::{checked, from_zero, positive};
use super::sgd::penalised;

/// Adagrad (Duchi, Hazan & Singer 2011; PyTorch's `Adagrad`).
///
/// ```text
/// g ← g + weight_decay·p
/// s ← s + g²
/// p ← p − lr/(1 + (t−1)·lr_decay)·g/(√s + eps)
/// ```
///
/// State: `sum`, s, which begins with `initial_accumulator_value`. t counts the parameter's updates from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    /// Learning rate, before the schedule's factor.
    pub lr: f64,
    /// Decay of the learning rate; at least 0.
    pub lr_decay: f64,
    /// Weight decay that is added to the gradient (L2).
    pub weight_decay: f64,
    /// The sum of squares before the first update; at least 0.
    pub initial_accumulator_value: f64,
    /// Added to the denominator; above 0.
    pub eps: f64,
}

impl Default for Adagrad {
    /// PyTorch's.
    fn default() -> Self {
        Self { lr: 1e-2, lr_decay: 0.0, weight_decay: 0.0, initial_accumulator_value: 0.0, eps: 1e-10 }
    }
}

impl Optimizer for Adagrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        let first = Initial::Number(self.initial_accumulator_value as f32);
        vec![Kept::new("sum", shape).starting(first)]
    }

    fn check(&self) -> Result<(), BadSetting> {
        checked(&[
            ("Adagrad.lr", self.lr, from_zero),
            ("Adagrad.lr_decay", self.lr_decay, from_zero),
            ("Adagrad.weight_decay", self.weight_decay, from_zero),
            ("Adagrad.initial_accumulator_value", self.initial_accumulator_value, from_zero),
            ("Adagrad.eps", self.eps, positive),
        ])
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let g = penalised(step, self.weight_decay);
        let sum = step.state("sum") + g * g;
        step.keep("sum", sum);
        let lr = match self.lr_decay {
            0.0 => step.lr(),
            decay => step.lr() / ((step.count() - 1.0) * decay as f32 + 1.0),
        };
        step.param() - lr * g / (sum.sqrt() + self.eps as f32)
    }
}
