//! AdamW's settings, and the numbers of one step.
//!
//! The update itself is one kernel over all parameters. Numbers that change from step to step are written to the
//! control buffer before the step, so a replayed program holds no old number. The exception is what depends on the
//! number of updates, because only the device knows that at once.

use seqloom_graph::Control;

use crate::error::{Error, Result};

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
/// A step whose gradient is not finite changes nothing and is not counted. The defaults are PyTorch's.
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

impl AdamW {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one outside its range.
    pub fn check(&self) -> Result<()> {
        let positive = |v: f64| v > 0.0 && (v as f32).is_finite() && v as f32 > 0.0;
        let from_zero = |v: f64| v >= 0.0 && (v as f32).is_finite();
        let decay = |v: f64| (0.0..1.0).contains(&(v as f32));
        let rules = [
            ("AdamW.lr", self.lr, from_zero(self.lr), "finite and at least 0"),
            ("AdamW.beta1", self.beta1, decay(self.beta1), "at least 0 and below 1"),
            ("AdamW.beta2", self.beta2, decay(self.beta2), "at least 0 and below 1"),
            ("AdamW.eps", self.eps, positive(self.eps), "finite and above 0"),
            ("AdamW.weight_decay", self.weight_decay, from_zero(self.weight_decay), "finite and at least 0"),
            (
                "AdamW.clip_norm",
                self.clip_norm.unwrap_or(1.0),
                positive(self.clip_norm.unwrap_or(1.0)),
                "finite and above 0",
            ),
        ];
        match rules.iter().find(|rule| !rule.2) {
            Some(&(setting, value, _, needs)) => Err(Error::Setting { setting, value, needs }),
            None => Ok(()),
        }
    }

    /// The control values of a step, when `applied` updates are known. `factor` gives the factor of the learning rate
    /// for an update's number (from 1); `seed` is dropout's.
    #[must_use]
    pub fn control(&self, applied: u64, factor: impl Fn(u64) -> f64, seed: u32) -> Control {
        let rate = |next: usize| (self.lr * factor(applied.saturating_add(1 + next as u64))) as f32;
        Control {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            eps: self.eps as f32,
            weight_decay: self.weight_decay as f32,
            clip_norm: self.clip_norm.unwrap_or(0.0) as f32,
            loss_scale: 1.0,
            seed,
            applied: u32::try_from(applied).unwrap_or(u32::MAX),
            lr: std::array::from_fn(rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_next_updates() {
        let adam = AdamW { lr: 0.5, ..AdamW::default() };
        let control = adam.control(7, |update| update as f64, 9);
        assert_eq!((control.applied, control.seed, control.clip_norm), (7, 9, 0.0));
        assert_eq!(control.lr, [4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5]);
        let settings = AdamW { clip_norm: Some(0.5), ..adam }.control(0, |_| 1.0, 0);
        assert_eq!((settings.clip_norm, settings.beta2, settings.lr), (0.5, 0.999, [0.5; 8]));
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let error = AdamW { beta2: 1.0, ..AdamW::default() }.check().unwrap_err();
        assert!(error.to_string().starts_with("AdamW.beta2 is 1"), "{error}");
        assert!(AdamW { lr: f64::NAN, ..AdamW::default() }.check().is_err());
        assert!(AdamW { clip_norm: Some(0.0), ..AdamW::default() }.check().is_err());
        AdamW::default().check().unwrap();
    }
}
