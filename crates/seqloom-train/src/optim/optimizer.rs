//! AdamW's settings, and the numbers of one step.
//!
//! The update itself is one kernel over all parameters. Whatever changes from step to step is computed here, in f64, and
//! written to the control buffer before the step: β^t underflows no sooner and rounds no worse than it must, and a replayed
//! program holds no old number.

use seqloom_graph::Control;

use crate::error::{Error, Result};

/// Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019), and clipping by the global norm.
///
/// Formula, for step t from 1 with gradient g of all parameters together:
///
/// ```text
/// g ← g·min(1, clip_norm / (‖g‖ + 1e-6))
/// m ← β1·m + (1−β1)·g          v ← β2·v + (1−β2)·g²
/// p ← p − lr·weight_decay·p
/// p ← p − lr·(m/(1−β1^t)) / (√(v/(1−β2^t)) + eps)
/// ```
///
/// A step whose gradient is not finite changes nothing. The defaults are PyTorch's.
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

    /// The control values of step `step` (from 1), with the learning rate times `factor` and this seed for dropout.
    #[must_use]
    pub fn control(&self, step: u64, factor: f64, seed: u32) -> Control {
        // 1 − β^t loses digits to cancellation while β^t is near 1: expm1 keeps them. At β = 0 it is 1 from the first step.
        let correction = |beta: f64| -1.0 / (step.max(1) as f64 * beta.ln()).exp_m1();
        Control {
            lr: (self.lr * factor) as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            eps: self.eps as f32,
            weight_decay: self.weight_decay as f32,
            correction1: correction(self.beta1) as f32,
            correction2: correction(self.beta2) as f32,
            clip_norm: self.clip_norm.unwrap_or(0.0) as f32,
            loss_scale: 1.0,
            seed,
            step: step as u32,
            reserved: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_are_those_of_the_paper() {
        let adam = AdamW::default();
        let first = adam.control(1, 0.5, 9);
        assert!((first.correction1 - 10.0).abs() < 1e-5 && (first.correction2 - 1000.0).abs() < 1e-3);
        assert_eq!((first.lr, first.seed, first.clip_norm), (0.5e-3, 9, 0.0));
        let late = adam.control(1_000_000, 1.0, 0);
        assert_eq!((late.correction1, late.correction2), (1.0, 1.0));
        let none = AdamW { beta1: 0.0, ..adam }.control(1, 1.0, 0);
        assert_eq!(none.correction1, 1.0);
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
