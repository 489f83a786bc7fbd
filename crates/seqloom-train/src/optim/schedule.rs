//! The learning rate over time, as a pure function of the number of updates.
//!
//! A schedule keeps no count of its own, so resuming needs nothing from it. A skipped step, whose gradient was not finite, is no
//! update: the rate waits for the next one that is applied. What follows a measured value is no function of the number
//! alone: see [`super::watch`].

use std::f64::consts::PI;

use crate::error::{Error, Result};

/// Factor that the learning rate is multiplied by, as a function of the number of the update.
///
/// A closure is a schedule too:
///
/// ```
/// # use seqloom_train::{Cosine, Schedule};
/// let halves = |update: u64| 0.5f64.powi(update as i32 - 1);
/// assert_eq!(halves.factor(3), 0.25);
/// assert_eq!(halves.after_warmup(4).factor(2), 0.5);
/// ```
pub trait Schedule: Send + Sync {
    /// The factor of update `update`, counted from 1; skipped steps do not count. It must be finite and not below 0.
    fn factor(&self, update: u64) -> f64;

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one outside its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// This schedule after `updates` updates in which the rate rises in a straight line to its first factor: update t has
    /// t/`updates` of that, and the schedule counts from 1 once they are over.
    fn after_warmup(self, updates: u64) -> AfterWarmup<Self>
    where
        Self: Sized,
    {
        AfterWarmup { updates, then: self }
    }
}

impl<F: Fn(u64) -> f64 + Send + Sync> Schedule for F {
    fn factor(&self, update: u64) -> f64 {
        self(update)
    }
}

/// 1 throughout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constant;

impl Schedule for Constant {
    fn factor(&self, _: u64) -> f64 {
        1.0
    }
}

/// What [`Schedule::after_warmup`] gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AfterWarmup<S> {
    updates: u64,
    then: S,
}

impl<S: Schedule> Schedule for AfterWarmup<S> {
    fn factor(&self, update: u64) -> f64 {
        match update.checked_sub(self.updates) {
            None | Some(0) => self.then.factor(1) * rise(update, self.updates),
            Some(after) => self.then.factor(after),
        }
    }

    fn check(&self) -> Result<()> {
        self.then.check()
    }
}

/// min(1, t / steps): rises in a straight line, then stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// Updates until the full rate; 0 starts with it.
    pub steps: u64,
}

impl Schedule for Warmup {
    fn factor(&self, update: u64) -> f64 {
        rise(update, self.steps)
    }
}

/// start + (end − start)·min(t − 1, steps)/steps (PyTorch's `LinearLR`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearSchedule {
    /// Factor of the first update.
    pub start: f64,
    /// Factor after `steps` updates, and from then on.
    pub end: f64,
    /// Updates from one to the other; at least 1.
    pub steps: u64,
}

impl Schedule for LinearSchedule {
    fn factor(&self, update: u64) -> f64 {
        self.start + (self.end - self.start) * (before(update).min(self.steps) as f64 / self.steps as f64)
    }

    fn check(&self) -> Result<()> {
        not_negative("LinearSchedule.start", self.start)?;
        not_negative("LinearSchedule.end", self.end)?;
        at_least_one("LinearSchedule.steps", self.steps)
    }
}

/// gamma^⌊(t − 1)/every⌋ (PyTorch's `StepLR`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepDecay {
    /// Updates between two changes; at least 1.
    pub every: u64,
    /// What each change multiplies the rate by.
    pub gamma: f64,
}

impl Schedule for StepDecay {
    fn factor(&self, update: u64) -> f64 {
        power(self.gamma, before(update) / self.every)
    }

    fn check(&self) -> Result<()> {
        not_negative("StepDecay.gamma", self.gamma)?;
        at_least_one("StepDecay.every", self.every)
    }
}

/// gamma^(t − 1) (PyTorch's `ExponentialLR`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exponential {
    /// What each update multiplies the rate by.
    pub gamma: f64,
}

impl Schedule for Exponential {
    fn factor(&self, update: u64) -> f64 {
        power(self.gamma, before(update))
    }

    fn check(&self) -> Result<()> {
        not_negative("Exponential.gamma", self.gamma)
    }
}

/// t / warmup up to `warmup`; then floor + (1 − floor)·(1 + cos(π·(t − warmup)/(total − warmup)))/2; `floor` after `total`
/// (Loshchilov & Hutter 2017, without restarts).
///
/// ```
/// # use seqloom_train::{Cosine, Schedule};
/// let cosine = Cosine { warmup: 10, total: 110, floor: 0.1 };
/// assert_eq!(cosine.factor(5), 0.5);
/// assert_eq!(cosine.factor(10), 1.0);
/// assert!((cosine.factor(60) - 0.55).abs() < 1e-12);
/// assert_eq!(cosine.factor(110), 0.1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    /// Updates until the full rate; 0 starts with it.
    pub warmup: u64,
    /// The update that reaches the floor; above `warmup`.
    pub total: u64,
    /// Factor at the end, 0 to 1.
    pub floor: f64,
}

impl Schedule for Cosine {
    fn factor(&self, update: u64) -> f64 {
        if update < self.warmup {
            rise(update, self.warmup)
        } else if update >= self.total {
            self.floor
        } else {
            descent(1.0, self.floor, (update - self.warmup) as f64 / (self.total - self.warmup) as f64)
        }
    }

    fn check(&self) -> Result<()> {
        share("Cosine.floor", self.floor)?;
        above("Cosine.total", self.total, self.warmup, "above warmup")
    }
}

/// Cosines that begin anew (Loshchilov & Hutter 2017; PyTorch's `CosineAnnealingWarmRestarts`): within a period of P
/// updates, c of which are over, floor + (1 − floor)·(1 + cos(π·c/P))/2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineRestarts {
    /// Updates of the first period; at least 1.
    pub period: u64,
    /// How many times longer each period is than the one before; at least 1.
    pub growth: u64,
    /// Factor at the end of each period, 0 to 1.
    pub floor: f64,
}

impl Schedule for CosineRestarts {
    fn factor(&self, update: u64) -> f64 {
        let (mut over, mut period) = (before(update), self.period);
        if self.growth == 1 {
            over %= period;
        } else {
            while over >= period {
                over -= period;
                period = period.saturating_mul(self.growth);
            }
        }
        descent(1.0, self.floor, over as f64 / period as f64)
    }

    fn check(&self) -> Result<()> {
        at_least_one("CosineRestarts.period", self.period)?;
        at_least_one("CosineRestarts.growth", self.growth)?;
        share("CosineRestarts.floor", self.floor)
    }
}

/// min(t / warmup, √(warmup / t)) (Vaswani et al. 2017, with the rate at the peak as the learning rate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InverseSqrt {
    /// The update at the peak; at least 1.
    pub warmup: u64,
}

impl Schedule for InverseSqrt {
    fn factor(&self, update: u64) -> f64 {
        let ratio = update as f64 / self.warmup as f64;
        ratio.min(ratio.recip().sqrt())
    }

    fn check(&self) -> Result<()> {
        at_least_one("InverseSqrt.warmup", self.warmup)
    }
}

/// One rise and one fall, each by half a cosine (Smith & Topin 2018; PyTorch's `OneCycleLR`): from 1/div to 1 in the first
/// `rise` of all updates, then to 1/(div·final_div) at the last one, and from then on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    /// All updates; at least 2.
    pub total: u64,
    /// Share of them in which the rate rises, above 0 and below 1.
    pub rise: f64,
    /// What the first factor is 1 over; at least 1.
    pub div: f64,
    /// What the last factor is smaller by than the first; at least 1.
    pub final_div: f64,
}

impl OneCycle {
    /// PyTorch's defaults: a rise over 30 % of `total` updates, from 1/25, and an end at 1/250,000.
    #[must_use]
    pub fn new(total: u64) -> Self {
        Self { total, rise: 0.3, div: 25.0, final_div: 1e4 }
    }
}

impl Schedule for OneCycle {
    fn factor(&self, update: u64) -> f64 {
        let (at, last) = (before(update) as f64, self.total as f64 - 1.0);
        let (peak, first) = (self.rise * self.total as f64 - 1.0, 1.0 / self.div);
        if at <= peak {
            descent(first, 1.0, at / peak)
        } else {
            descent(1.0, first / self.final_div, ((at - peak) / (last - peak)).min(1.0))
        }
    }

    fn check(&self) -> Result<()> {
        let least_two = || above("OneCycle.total", self.total, 1, "at least 2");
        let inside = self.rise > 0.0 && self.rise < 1.0;
        least_two()?;
        setting("OneCycle.rise", self.rise, inside, "above 0 and below 1")?;
        for (name, value) in [("OneCycle.div", self.div), ("OneCycle.final_div", self.final_div)] {
            setting(name, value, value.is_finite() && value >= 1.0, "finite and at least 1")?;
        }
        Ok(())
    }
}

/// t / warmup up to `warmup`, 1 until `decay_from`, then a straight line to `floor` at `total` (Hu et al. 2024, MiniCPM; with the
/// linear decay of Hägele et al. 2024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmupStableDecay {
    /// Updates until the full rate; 0 starts with it.
    pub warmup: u64,
    /// The last update at the full rate; not below `warmup`.
    pub decay_from: u64,
    /// The update that reaches the floor; above `decay_from`.
    pub total: u64,
    /// Factor at the end, 0 to 1.
    pub floor: f64,
}

impl Schedule for WarmupStableDecay {
    fn factor(&self, update: u64) -> f64 {
        let length = (self.total - self.decay_from) as f64;
        let done = update.saturating_sub(self.decay_from) as f64 / length;
        rise(update, self.warmup) * (1.0 - (1.0 - self.floor) * done.min(1.0))
    }

    fn check(&self) -> Result<()> {
        share("WarmupStableDecay.floor", self.floor)?;
        let from = self.decay_from;
        setting("WarmupStableDecay.decay_from", from as f64, from >= self.warmup, "at least warmup")?;
        above("WarmupStableDecay.total", self.total, from, "above decay_from")
    }
}

/// Updates before this one.
fn before(update: u64) -> u64 {
    update.saturating_sub(1)
}

/// min(1, t / steps).
fn rise(update: u64, steps: u64) -> f64 {
    if update < steps { update as f64 / steps as f64 } else { 1.0 }
}

/// From `from` to `to` by half a cosine, of which the share `done` is over.
fn descent(from: f64, to: f64, done: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * done).cos())
}

fn power(base: f64, exponent: u64) -> f64 {
    base.powf(exponent as f64)
}

fn setting(setting: &'static str, value: f64, holds: bool, needs: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Setting { setting, value, needs }) }
}

fn share(name: &'static str, value: f64) -> Result<()> {
    setting(name, value, (0.0..=1.0).contains(&value), "from 0 to 1")
}

fn not_negative(name: &'static str, value: f64) -> Result<()> {
    setting(name, value, value.is_finite() && value >= 0.0, "finite and at least 0")
}

fn at_least_one(name: &'static str, value: u64) -> Result<()> {
    setting(name, value as f64, value >= 1, "at least 1")
}

fn above(name: &'static str, value: u64, bound: u64, needs: &'static str) -> Result<()> {
    setting(name, value as f64, value > bound, needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_and_stays() {
        let warmup = Warmup { steps: 4 };
        assert_eq!([1, 2, 4, 9].map(|t| warmup.factor(t)), [0.25, 0.5, 1.0, 1.0]);
        assert_eq!(Warmup { steps: 0 }.factor(1), 1.0);
        assert_eq!(Constant.factor(77), 1.0);
        let then = Exponential { gamma: 0.5 }.after_warmup(2);
        assert_eq!([1, 2, 3, 4].map(|t| then.factor(t)), [0.5, 1.0, 1.0, 0.5]);
        assert_eq!(Exponential { gamma: 0.5 }.after_warmup(0).factor(1), 1.0);
    }

    #[test]
    fn cosine_falls_monotonically_to_its_floor_and_stays() {
        let cosine = Cosine { warmup: 3, total: 50, floor: 0.05 };
        for t in 3..60 {
            assert!(cosine.factor(t + 1) <= cosine.factor(t));
        }
        assert_eq!(cosine.factor(1000), 0.05);
        // One step before the end, 46 of 47 of the way: the floor and 0.95 · (1 + cos(46π/47)) / 2.
        let wanted = 0.05 + 0.475 * (1.0 + (46.0 * PI / 47.0).cos());
        assert!((cosine.factor(49) - wanted).abs() < 1e-12, "{}", cosine.factor(49));
    }

    #[test]
    fn inverse_square_root_and_stable_have_their_corners() {
        let inverse = InverseSqrt { warmup: 4 };
        assert_eq!([1, 4, 16].map(|t| inverse.factor(t)), [0.25, 1.0, 0.5]);
        let stable = WarmupStableDecay { warmup: 2, decay_from: 10, total: 20, floor: 0.2 };
        let wanted = [0.5, 1.0, 1.0, 0.6, 0.2, 0.2];
        for (update, wanted) in [1, 2, 10, 15, 20, 99].into_iter().zip(wanted) {
            assert!((stable.factor(update) - wanted).abs() < 1e-12, "{update}");
        }
    }

    #[test]
    fn senseless_settings_are_named() {
        let named = |schedule: &dyn Schedule, name: &str| {
            let error = schedule.check().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        };
        named(&Cosine { warmup: 5, total: 5, floor: 0.0 }, "Cosine.total");
        named(&Cosine { warmup: 5, total: 6, floor: f64::NAN }, "Cosine.floor");
        named(&Cosine { warmup: 5, total: 6, floor: f64::NAN }.after_warmup(1), "Cosine.floor");
        named(&LinearSchedule { start: 1.0, end: -1.0, steps: 3 }, "LinearSchedule.end");
        named(&LinearSchedule { start: 1.0, end: 0.0, steps: 0 }, "LinearSchedule.steps");
        named(&StepDecay { every: 0, gamma: 0.1 }, "StepDecay.every");
        named(&Exponential { gamma: f64::INFINITY }, "Exponential.gamma");
        named(&CosineRestarts { period: 3, growth: 0, floor: 0.0 }, "CosineRestarts.growth");
        named(&InverseSqrt { warmup: 0 }, "InverseSqrt.warmup");
        named(&OneCycle { rise: 1.0, ..OneCycle::new(9) }, "OneCycle.rise");
        named(&OneCycle { div: 0.5, ..OneCycle::new(9) }, "OneCycle.div");
        named(&OneCycle::new(1), "OneCycle.total");
        named(
            &WarmupStableDecay { warmup: 5, decay_from: 4, total: 9, floor: 0.0 },
            "WarmupStableDecay.decay_from",
        );
        Cosine { warmup: 0, total: 1, floor: 0.0 }.check().unwrap();
    }
}
