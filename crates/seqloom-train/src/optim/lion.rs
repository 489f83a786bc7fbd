//! Lion: the sign of a running mean of the gradient.

use seqloom_graph::{BadSetting, Kept, Optimizer, Step, Tensor};

use super::adam::decayed;
use super::settings::{checked, decay, from_zero};

/// Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2).
///
/// ```text
/// u ← sign(β1·m + (1−β1)·g)
/// p ← p − lr·(u + weight_decay·p)
/// m ← β2·m + (1−β2)·g
/// ```
///
/// State: `exp_avg`, m. It wants a learning rate some 3 to 10 times smaller than AdamW's, and a weight decay as much larger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// Learning rate, before the schedule's factor.
    pub lr: f64,
    /// Part of the running mean in the direction of a step, from 0 to below 1.
    pub beta1: f64,
    /// Decay of the running mean, from 0 to below 1.
    pub beta2: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for Lion {
    /// The paper's decays, a learning rate of 1e-4, no weight decay.
    fn default() -> Self {
        Self { lr: 1e-4, beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

impl Optimizer for Lion {
    fn name(&self) -> &'static str {
        "lion"
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        vec![Kept::new("exp_avg", shape)]
    }

    fn check(&self) -> Result<(), BadSetting> {
        checked(&[
            ("Lion.lr", self.lr, from_zero),
            ("Lion.beta1", self.beta1, decay),
            ("Lion.beta2", self.beta2, decay),
            ("Lion.weight_decay", self.weight_decay, from_zero),
        ])
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let [beta1, beta2] = [self.beta1, self.beta2].map(|beta| beta as f32);
        let (g, m) = (step.grad(), step.state("exp_avg"));
        let direction = (m * beta1 + g * (1.0 - beta1)).sign();
        step.keep("exp_avg", m * beta2 + g * (1.0 - beta2));
        decayed(step, self.weight_decay) - step.lr() * direction
    }
}
