//! Stochastic gradient descent, with momentum if asked for.

use seqloom_graph::{BadSetting, Kept, Optimizer, Step, Tensor};

use super::settings::{checked, decay, from_zero};

/// Stochastic gradient descent (PyTorch's `SGD`).
///
/// ```text
/// g ← g + weight_decay·p
/// b ← g at the first update, then momentum·b + (1−dampening)·g
/// p ← p − lr·(g + momentum·b if nesterov, else b)
/// ```
///
/// State: `momentum_buffer`, b; none without momentum, where p ← p − lr·g.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate, before the schedule's factor.
    pub lr: f64,
    /// Decay of the running sum of gradients, from 0 to below 1; 0 keeps none.
    pub momentum: f64,
    /// Part of a gradient that the running sum leaves out, 0 to 1.
    pub dampening: f64,
    /// Nesterov's form; it needs a momentum and no dampening.
    pub nesterov: bool,
    /// Weight decay that is added to the gradient (L2).
    pub weight_decay: f64,
}

impl Default for Sgd {
    /// A learning rate of 0.001 and nothing else, as in PyTorch.
    fn default() -> Self {
        Self { lr: 1e-3, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        if self.momentum == 0.0 { Vec::new() } else { vec![Kept::new("momentum_buffer", shape)] }
    }

    fn check(&self) -> Result<(), BadSetting> {
        let part = |value| (!(0.0..=1.0).contains(&value)).then_some("at least 0 and at most 1");
        checked(&[
            ("Sgd.lr", self.lr, from_zero),
            ("Sgd.momentum", self.momentum, decay),
            ("Sgd.dampening", self.dampening, part),
            ("Sgd.weight_decay", self.weight_decay, from_zero),
        ])?;
        let (value, needs) = (self.dampening, "0 with nesterov, which also needs a momentum above 0");
        if self.nesterov && (self.dampening != 0.0 || self.momentum == 0.0) {
            return Err(BadSetting { setting: "Sgd.dampening", value, needs });
        }
        Ok(())
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let g = penalised(step, self.weight_decay);
        if self.momentum == 0.0 {
            return step.param() - step.lr() * g;
        }
        let momentum = self.momentum as f32;
        let later = step.state("momentum_buffer") * momentum + g * (1.0 - self.dampening as f32);
        // Before the first update the buffer is 0, so only dampening makes that update different.
        let buffer = match self.dampening {
            0.0 => later,
            _ => (step.count() - 1.0).select(later, g),
        };
        step.keep("momentum_buffer", buffer);
        let direction = if self.nesterov { g + buffer * momentum } else { buffer };
        step.param() - step.lr() * direction
    }
}

/// The gradient with the parameter's decay in it: g + decay·p.
pub(super) fn penalised<'g>(step: &Step<'g>, decay: f64) -> Tensor<'g> {
    let decay = step.weight_decay(decay);
    if decay == 0.0 { step.grad() } else { step.grad() + step.param() * decay as f32 }
}
