//! Ranges of settings, and the numbers that the host writes before a step.

use seqloom_graph::{BadSetting, Control};

/// Whether a number is in a range, and the range in words.
pub(crate) type Range = fn(f64) -> Option<&'static str>;

/// The first setting outside its range. Each is looked at as the f32 that the device gets.
pub(crate) fn checked(settings: &[(&'static str, f64, Range)]) -> Result<(), BadSetting> {
    let bad = settings
        .iter()
        .find_map(|&(setting, value, range)| range(value).map(|needs| BadSetting { setting, value, needs }));
    bad.map_or(Ok(()), Err)
}

/// Finite and at least 0.
pub(super) fn from_zero(value: f64) -> Option<&'static str> {
    let fits = value >= 0.0 && (value as f32).is_finite();
    (!fits).then_some("finite and at least 0")
}

/// Finite and above 0.
pub(crate) fn positive(value: f64) -> Option<&'static str> {
    let fits = value as f32 > 0.0 && (value as f32).is_finite();
    (!fits).then_some("finite and above 0")
}

/// At least 0 and below 1.
pub(crate) fn decay(value: f64) -> Option<&'static str> {
    let fits = (0.0..1.0).contains(&(value as f32));
    (!fits).then_some("at least 0 and below 1")
}

/// The control values of a step, when `applied` updates are known. `rate` gives the learning rate of an update by its number, from 1;
/// `seed` is dropout's. A program that updates writes the decays of its optimizer itself.
pub(crate) fn control(applied: u64, rate: impl Fn(u64) -> f64, clip_norm: Option<f64>, seed: u32) -> Control {
    Control {
        clip_norm: clip_norm.unwrap_or(0.0) as f32,
        seed,
        applied: u32::try_from(applied).unwrap_or(u32::MAX),
        lr: std::array::from_fn(|next| rate(applied.saturating_add(1 + next as u64)) as f32),
        ..Control::default()
    }
}

#[cfg(test)]
mod tests {
    use seqloom_graph::Optimizer;

    use super::*;
    use crate::optim::adam::AdamW;

    #[test]
    fn rates_are_those_of_the_next_updates() {
        let numbers = control(7, |update| 0.5 * update as f64, None, 9);
        assert_eq!((numbers.applied, numbers.seed, numbers.clip_norm), (7, 9, 0.0));
        assert_eq!(numbers.lr, [4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5]);
        let clipped = control(0, |_| 0.5, Some(0.5), 0);
        assert_eq!((clipped.clip_norm, clipped.lr), (0.5, [0.5; 8]));
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let bad = AdamW { beta2: 1.0, ..AdamW::default() }.check().unwrap_err();
        assert_eq!((bad.setting, bad.value, bad.needs), ("AdamW.beta2", 1.0, "at least 0 and below 1"));
        assert!(AdamW { lr: f64::NAN, ..AdamW::default() }.check().is_err());
        assert!(AdamW { eps: 1e-300, ..AdamW::default() }.check().is_err());
        assert!(AdamW { clip_norm: Some(0.0), ..AdamW::default() }.check().is_err());
        AdamW::default().check().unwrap();
    }
}
