//! The learning rate over time, as a pure function of the number of updates.
//!
//! A schedule keeps no count, so resuming needs nothing from it. Skipped steps, whose gradient was not finite, are not
//! updates: the rate waits for the next applied one.

use crate::error::{Error, Result};

/// Factor that the learning rate is multiplied by, as a function of the update t from 1; skipped steps do not count.
///
/// ```
/// # use seqloom_train::Schedule;
/// let cosine = Schedule::Cosine { warmup: 10, total: 110, floor: 0.1 };
/// assert_eq!(cosine.factor(5), 0.5);
/// assert_eq!(cosine.factor(10), 1.0);
/// assert!((cosine.factor(60) - 0.55).abs() < 1e-12);
/// assert_eq!(cosine.factor(110), 0.1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// 1 throughout.
    #[default]
    Constant,
    /// min(1, t / steps): rises in a straight line, then stays.
    Warmup {
        /// Steps until the full rate; 0 starts with it.
        steps: u64,
    },
    /// t / warmup up to `warmup`; then floor + (1 − floor)·(1 + cos(π·(t − warmup)/(total − warmup)))/2; `floor` after
    /// `total` (Loshchilov & Hutter 2017, without restarts).
    Cosine {
        /// Steps until the full rate; 0 starts with it.
        warmup: u64,
        /// The step that reaches the floor; above `warmup`.
        total: u64,
        /// Factor at the end, 0 to 1.
        floor: f64,
    },
}

impl Schedule {
    /// The factor of update `step`, counted from 1.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        let rise = |steps: u64| if step < steps { step as f64 / steps as f64 } else { 1.0 };
        match *self {
            Self::Constant => 1.0,
            Self::Warmup { steps } => rise(steps),
            Self::Cosine { warmup, .. } if step < warmup => rise(warmup),
            Self::Cosine { total, floor, .. } if step >= total => floor,
            Self::Cosine { warmup, total, floor } => {
                let done = (step - warmup) as f64 / (total - warmup) as f64;
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one outside its range.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Cosine { floor, .. } if !(0.0..=1.0).contains(&floor) => {
                Err(Error::Setting { setting: "Schedule::Cosine.floor", value: floor, needs: "from 0 to 1" })
            }
            Self::Cosine { warmup, total, .. } if total <= warmup => Err(Error::Setting {
                setting: "Schedule::Cosine.total",
                value: total as f64,
                needs: "above warmup",
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_and_stays() {
        let warmup = Schedule::Warmup { steps: 4 };
        assert_eq!([1, 2, 4, 9].map(|t| warmup.factor(t)), [0.25, 0.5, 1.0, 1.0]);
        assert_eq!(Schedule::Warmup { steps: 0 }.factor(1), 1.0);
        assert_eq!(Schedule::Constant.factor(77), 1.0);
    }

    #[test]
    fn cosine_falls_monotonically_to_its_floor_and_stays() {
        let cosine = Schedule::Cosine { warmup: 3, total: 50, floor: 0.05 };
        for t in 3..60 {
            assert!(cosine.factor(t + 1) <= cosine.factor(t));
        }
        assert_eq!(cosine.factor(1000), 0.05);
        // One step before the end, 46 of 47 of the way: the floor and 0.95 · (1 + cos(46π/47)) / 2.
        let wanted = 0.05 + 0.475 * (1.0 + (46.0 * std::f64::consts::PI / 47.0).cos());
        assert!((cosine.factor(49) - wanted).abs() < 1e-12, "{}", cosine.factor(49));
    }

    #[test]
    fn senseless_settings_are_named() {
        assert!(Schedule::Cosine { warmup: 5, total: 5, floor: 0.0 }.check().is_err());
        assert!(Schedule::Cosine { warmup: 5, total: 6, floor: f64::NAN }.check().is_err());
        Schedule::Cosine { warmup: 0, total: 1, floor: 0.0 }.check().unwrap();
    }
}
