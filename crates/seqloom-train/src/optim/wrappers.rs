//! Optimizers around optimizers: one that clips each element of a gradient, one that keeps a running mean of the parameters.
//!
//! A trainer puts them around its own. So they need no kernel and no pass of the gradients: what they do is code of the same update.

use std::sync::Arc;

use seqloom_graph::{BadSetting, Initial, Kept, Optimizer, Step, Tensor};

/// The state that holds the running mean of a parameter.
pub(crate) const AVERAGE: &str = "ema";

/// Passes everything but `states` and `update` on.
macro_rules! around {
    () => {
        fn name(&self) -> &'static str {
            self.inner.name()
        }

        fn lr(&self) -> f64 {
            self.inner.lr()
        }

        fn decays(&self) -> [f64; 2] {
            self.inner.decays()
        }

        fn clip_norm(&self) -> Option<f64> {
            self.inner.clip_norm()
        }

        fn check(&self) -> Result<(), BadSetting> {
            self.inner.check()
        }
    };
}

/// g ← min(max(g, −most), most), element by element, after the clip by norm.
#[derive(Debug)]
pub(crate) struct Clipped {
    pub inner: Arc<dyn Optimizer>,
    pub most: f64,
}

impl Optimizer for Clipped {
    around!();

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        self.inner.states(shape)
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let most = self.most as f32;
        self.inner.update(&step.with_grad(step.grad().clamp(-most, most)))
    }
}

/// e ← decay·e + (1−decay)·p, after the update of p. e begins as the parameter.
#[derive(Debug)]
pub(crate) struct Averaged {
    pub inner: Arc<dyn Optimizer>,
    pub decay: f64,
}

impl Optimizer for Averaged {
    around!();

    fn states(&self, shape: &[usize]) -> Vec<Kept> {
        let mut states = self.inner.states(shape);
        states.push(Kept::new(AVERAGE, shape).starting(Initial::Parameter));
        states
    }

    fn update<'g>(&self, step: &Step<'g>) -> Tensor<'g> {
        let decay = self.decay as f32;
        let value = self.inner.update(step);
        step.keep(AVERAGE, step.state(AVERAGE) * decay + value * (1.0 - decay));
        value
    }
}
