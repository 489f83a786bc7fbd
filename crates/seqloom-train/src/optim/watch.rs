//! What follows a measured value: a learning rate that falls when it stays, and a training that stops.
//!
//! Both are fed a value after each evaluation, and count how often it did not improve. They hold no trainer: what they say is done
//! by [`crate::Trainer::set_lr`], [`crate::Trainer::save`] or the end of the loop. All that they remember is public, so that a run
//! that is resumed can go on from it.

use crate::error::{Error, Result};

/// Which values are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Better {
    /// Lower ones: a loss.
    #[default]
    Lower,
    /// Higher ones: an accuracy.
    Higher,
}

impl Better {
    /// Whether `value` beats `best` by more than `margin`. NaN beats nothing.
    fn beats(self, value: f64, best: f64, margin: f64) -> bool {
        match self {
            Self::Lower => value < best - margin,
            Self::Higher => value > best + margin,
        }
    }

    /// What every value beats.
    fn worst(self) -> f64 {
        match self {
            Self::Lower => f64::INFINITY,
            Self::Higher => f64::NEG_INFINITY,
        }
    }
}

/// Cuts the learning rate when a value has not improved for a while (PyTorch's `ReduceLROnPlateau`, with a relative
/// threshold, which also holds for values below 0).
///
/// ```
/// # use seqloom_train::ReduceOnPlateau;
/// let mut plateau = ReduceOnPlateau { patience: 1, ..ReduceOnPlateau::new(0.1) };
/// let rates = [5.0, 4.0, 4.0, 4.0, 3.0].map(|loss| plateau.observe(loss));
/// assert_eq!(rates, [0.1, 0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceOnPlateau {
    /// What is better; lower unless said otherwise.
    pub better: Better,
    /// What the rate is multiplied by, 0 to 1; 0.1 unless said otherwise.
    pub factor: f64,
    /// Values in a row that may bring nothing; the next one cuts. 10 unless said otherwise.
    pub patience: u64,
    /// By which share of the best value another has to be better; 1e-4 unless said otherwise.
    pub threshold: f64,
    /// Values after a cut that are not counted.
    pub cooldown: u64,
    /// Least rate.
    pub min_lr: f64,
    /// The rate now.
    pub lr: f64,
    /// The best value so far.
    pub best: Option<f64>,
    /// Values since then, or since a cut.
    pub idle: u64,
    /// Values of the cooldown that are left.
    pub cooling: u64,
}

impl ReduceOnPlateau {
    /// PyTorch's defaults, beginning with the rate `lr`.
    #[must_use]
    pub fn new(lr: f64) -> Self {
        Self {
            better: Better::Lower,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            cooldown: 0,
            min_lr: 0.0,
            lr,
            best: None,
            idle: 0,
            cooling: 0,
        }
    }

    /// The rate to go on with after this value. Cuts of less than 1e-8 are not made.
    pub fn observe(&mut self, value: f64) -> f64 {
        let best = self.best.unwrap_or(self.better.worst());
        let margin = if best.is_finite() { best.abs() * self.threshold } else { 0.0 };
        if self.better.beats(value, best, margin) {
            (self.best, self.idle) = (Some(value), 0);
        } else {
            self.idle += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.idle = 0;
        }
        if self.idle > self.patience {
            let cut = (self.lr * self.factor).max(self.min_lr);
            if self.lr - cut > 1e-8 {
                self.lr = cut;
            }
            (self.cooling, self.idle) = (self.cooldown, 0);
        }
        self.lr
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one outside its range.
    pub fn check(&self) -> Result<()> {
        let from_zero = |value: f64| value.is_finite() && value >= 0.0;
        let rules = [
            ("ReduceOnPlateau.lr", self.lr, from_zero(self.lr), "finite and at least 0"),
            (
                "ReduceOnPlateau.factor",
                self.factor,
                (0.0..1.0).contains(&self.factor),
                "at least 0 and below 1",
            ),
            ("ReduceOnPlateau.threshold", self.threshold, from_zero(self.threshold), "finite and at least 0"),
            ("ReduceOnPlateau.min_lr", self.min_lr, from_zero(self.min_lr), "finite and at least 0"),
        ];
        match rules.iter().find(|rule| !rule.2) {
            Some(&(setting, value, _, needs)) => Err(Error::Setting { setting, value, needs }),
            None => Ok(()),
        }
    }
}

/// What [`EarlyStopping::observe`] says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The best so far: the time to save.
    Best,
    /// Not the best, but there is patience left.
    Wait,
    /// Patience is over.
    Stop,
}

/// Stops a training whose measured value has not improved for a while (Prechelt 1998, "Early stopping, but when?").
///
/// ```
/// # use seqloom_train::{EarlyStopping, Verdict};
/// let mut stopping = EarlyStopping::new(2);
/// let verdicts = [3.0, 2.0, 2.5, 2.1].map(|loss| stopping.observe(loss));
/// assert_eq!(verdicts, [Verdict::Best, Verdict::Best, Verdict::Wait, Verdict::Stop]);
/// assert_eq!(stopping.best, Some(2.0));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    /// What is better; lower unless said otherwise.
    pub better: Better,
    /// Values in a row that are not the best, the last of which stops; 1 at least counts.
    pub patience: u64,
    /// By how much a value has to be better than the best; 0 unless said otherwise.
    pub min_delta: f64,
    /// The best value so far.
    pub best: Option<f64>,
    /// Values since then.
    pub idle: u64,
}

impl EarlyStopping {
    /// Stops at the `patience`th value in a row that is no new best.
    #[must_use]
    pub fn new(patience: u64) -> Self {
        Self { better: Better::Lower, patience, min_delta: 0.0, best: None, idle: 0 }
    }

    /// Takes the value of one evaluation. NaN is never the best.
    pub fn observe(&mut self, value: f64) -> Verdict {
        if self.better.beats(value, self.best.unwrap_or(self.better.worst()), self.min_delta) {
            (self.best, self.idle) = (Some(value), 0);
            return Verdict::Best;
        }
        self.idle += 1;
        if self.idle >= self.patience { Verdict::Stop } else { Verdict::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plateau_has_cooldown_and_a_floor() {
        let mut plateau = ReduceOnPlateau {
            patience: 0,
            cooldown: 1,
            min_lr: 0.3,
            factor: 0.5,
            ..ReduceOnPlateau::new(1.0)
        };
        let rates = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0].map(|value| plateau.observe(value));
        // The value after a cut is not counted.
        assert_eq!(rates, [1.0, 0.5, 0.5, 0.3, 0.3, 0.3]);
        let mut higher = ReduceOnPlateau { better: Better::Higher, patience: 0, ..ReduceOnPlateau::new(1.0) };
        assert_eq!([0.5, 0.6, f64::NAN].map(|value| higher.observe(value)), [1.0, 1.0, 0.1]);
    }

    #[test]
    fn senseless_settings_are_named() {
        let error = ReduceOnPlateau { factor: 1.0, ..ReduceOnPlateau::new(0.1) }.check().unwrap_err();
        assert!(error.to_string().starts_with("ReduceOnPlateau.factor"), "{error}");
        assert!(ReduceOnPlateau::new(f64::NAN).check().is_err());
        ReduceOnPlateau::new(0.1).check().unwrap();
    }

    #[test]
    fn a_small_gain_is_none_and_nan_is_never_the_best() {
        let mut stopping = EarlyStopping { min_delta: 0.1, better: Better::Higher, ..EarlyStopping::new(3) };
        let verdicts = [f64::NAN, 0.5, 0.55, 0.7].map(|value| stopping.observe(value));
        assert_eq!(verdicts, [Verdict::Wait, Verdict::Best, Verdict::Wait, Verdict::Best]);
    }
}
