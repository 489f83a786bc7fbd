//! The choice of a symbol by the model's logits.
//!
//! It is made on the host. It needs V numbers per row, and there the random number generator is seeded, portable and
//! exact.

use crate::error::NnError;

/// How a symbol is drawn: from softmax(logits / temperature), restricted to the `top_k` likeliest symbols, then to the
/// likeliest of those that together reach the probability `top_p` (nucleus sampling, Holtzman et al. 2020), and
/// normalised again. A symbol with a logit of −∞ has probability 0 and is never drawn, even if fewer than `top_k`
/// others are left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampling {
    pub temperature: f32,
    pub top_k: Option<usize>,
    pub top_p: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: 1.0 }
    }
}

impl Sampling {
    /// Whether the numbers make sense.
    pub fn check(&self) -> Result<(), NnError> {
        let Self { temperature, top_k, top_p } = *self;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(NnError::Temperature { value: temperature });
        }
        if top_k == Some(0) {
            return Err(NnError::TopK);
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(NnError::TopP { value: top_p });
        }
        Ok(())
    }

    /// Draws by inverting the distribution function at `at` in [0, 1). The logits have passed [`possible`].
    pub fn draw(&self, logits: &[f32], at: f64) -> usize {
        let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let weight = |logit: f32| ((f64::from(logit) - top) / f64::from(self.temperature)).exp();
        let all = logits.iter().enumerate().map(|(id, &logit)| (id, weight(logit)));
        if self.top_k.is_none_or(|k| k >= logits.len()) && self.top_p >= 1.0 {
            return pick(&all.collect::<Vec<_>>(), at);
        }
        // Likeliest first, and of equal ones the lowest.
        let mut ranked: Vec<_> = all.collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(self.top_k.unwrap_or(usize::MAX));
        let nucleus = f64::from(self.top_p) * ranked.iter().map(|(_, weight)| weight).sum::<f64>();
        let mut sum = 0.0;
        let below = ranked.iter().take_while(|(_, weight)| {
            let wanted = sum < nucleus;
            sum += weight;
            wanted
        });
        let kept = below.count().max(1);
        pick(&ranked[..kept.min(ranked.len())], at)
    }
}

/// Checks that a symbol can be chosen by a row's logits. NaN and +∞ mean that the parameters have gone bad; −∞ bans a
/// symbol, and at least one must be left.
pub(crate) fn possible(logits: &[f32], row: usize) -> Result<(), NnError> {
    match logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY) {
        Some(id) => Err(NnError::NotFinite { id }),
        None if logits.iter().all(|&logit| logit == f32::NEG_INFINITY) => Err(NnError::NoneAllowed { row }),
        None => Ok(()),
    }
}

/// Index of the greatest logit, the first of equals.
pub(crate) fn likeliest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best
}

/// The id at which the weights before reach `at` of their sum.
fn pick(weights: &[(usize, f64)], at: f64) -> usize {
    let mut left = at * weights.iter().map(|(_, weight)| weight).sum::<f64>();
    for &(id, weight) in weights {
        left -= weight;
        if left < 0.0 {
            return id;
        }
    }
    // Rounding can leave a remainder after the last symbol; the likeliest one takes it.
    let best = weights.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(id, _)| id)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::random::uniform;

    /// How often each of the symbols is drawn in 4000 draws.
    fn counts(sampling: Sampling, logits: &[f32]) -> Vec<usize> {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut counts = vec![0; logits.len()];
        (0..4000).for_each(|_| counts[sampling.draw(logits, uniform(&mut random))] += 1);
        counts
    }

    /// Whether counts of 4000 draws are those of these probabilities, up to four standard deviations.
    fn assert_follow(counts: &[usize], probabilities: &[f64]) {
        for (&count, p) in counts.iter().zip(probabilities) {
            let (mean, deviation) = (4000.0 * p, (4000.0 * p * (1.0 - p)).sqrt());
            assert!((count as f64 - mean).abs() <= 4.0 * deviation, "{counts:?} of {probabilities:?}");
        }
    }

    /// Probabilities 0.1, 0.4, 0.2, 0.3.
    fn logits() -> [f32; 4] {
        [1.0f32, 4.0, 2.0, 3.0].map(f32::ln)
    }

    #[test]
    fn draws_follow_the_softmax() {
        let plain = Sampling::default();
        assert_follow(&counts(plain, &logits()), &[0.1, 0.4, 0.2, 0.3]);
        let sharp = Sampling { temperature: 0.5, ..plain };
        assert_follow(&counts(sharp, &logits()), &[1.0 / 30.0, 16.0 / 30.0, 4.0 / 30.0, 9.0 / 30.0]);
        let certain = [0.0, 3f32.ln(), f32::MIN];
        assert_eq!((plain.draw(&certain, 0.0), plain.draw(&certain, 0.999_999)), (0, 1));
    }

    #[test]
    fn the_likeliest_k_share_all_probability() {
        for (k, expected) in [
            (1, [0.0, 1.0, 0.0, 0.0]),
            (2, [0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]),
            (3, [0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0]),
            (4, [0.1, 0.4, 0.2, 0.3]),
            (9, [0.1, 0.4, 0.2, 0.3]),
        ] {
            let sampling = Sampling { top_k: Some(k), ..Sampling::default() };
            assert_follow(&counts(sampling, &logits()), &expected);
        }
        // Of equal ones the lowest.
        let two = Sampling { top_k: Some(2), ..Sampling::default() };
        assert_follow(&counts(two, &[1.0; 4]), &[0.5, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn the_nucleus_is_the_fewest_that_reach_p() {
        for (p, expected) in [
            (1e-6, [0.0, 1.0, 0.0, 0.0]),
            (0.39, [0.0, 1.0, 0.0, 0.0]),
            (0.41, [0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]),
            (0.69, [0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]),
            (0.75, [0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0]),
            (0.95, [0.1, 0.4, 0.2, 0.3]),
        ] {
            let sampling = Sampling { top_p: p, ..Sampling::default() };
            assert_follow(&counts(sampling, &logits()), &expected);
        }
        // Of the k likeliest: 4/7 and 3/7 of what is left.
        let both = Sampling { top_k: Some(2), top_p: 0.5, ..Sampling::default() };
        assert_follow(&counts(both, &logits()), &[0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_low_temperature_is_greedy_and_never_overflows() {
        let logits = [1.0, 90.0, -90.0, 89.9];
        for at in [0.0, 0.5, 0.999_999_9] {
            for top_k in [None, Some(3)] {
                let cold = Sampling { temperature: 1e-6, top_k, ..Sampling::default() };
                assert_eq!(cold.draw(&logits, at), likeliest(&logits));
            }
        }
        assert_eq!(likeliest(&[2.0, 5.0, 5.0]), 1);
    }

    #[test]
    fn what_is_banned_is_never_drawn() {
        // Probabilities 0, 0.25, 0, 0.75.
        let logits = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, 3f32.ln()];
        let plain = Sampling::default();
        for sampling in [
            plain,
            Sampling { top_k: Some(3), ..plain },
            Sampling { top_k: Some(4), top_p: 1.0, ..plain },
            Sampling { top_p: 0.99, ..plain },
        ] {
            assert_follow(&counts(sampling, &logits), &[0.0, 0.25, 0.0, 0.75]);
            for at in [0.0, 1.0 - f64::EPSILON] {
                assert!([1, 3].contains(&sampling.draw(&logits, at)), "{sampling:?} at {at}");
            }
        }
        assert_eq!(likeliest(&logits), 3);
        assert_eq!(likeliest(&[f32::NEG_INFINITY, -1e30]), 1);
    }

    #[test]
    fn logits_that_leave_no_choice_are_refused() {
        const NO: f32 = f32::NEG_INFINITY;
        assert!(possible(&[NO, 0.0, NO], 3).is_ok() && possible(&[f32::MIN], 3).is_ok());
        assert!(matches!(possible(&[NO, NO], 3), Err(NnError::NoneAllowed { row: 3 })));
        assert!(matches!(possible(&[NO, f32::NAN], 3), Err(NnError::NotFinite { id: 1 })));
        assert!(matches!(possible(&[f32::INFINITY, 0.0], 3), Err(NnError::NotFinite { id: 0 })));
    }

    #[test]
    fn numbers_without_a_meaning_are_refused() {
        let plain = Sampling::default();
        for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let refused = Sampling { temperature, ..plain }.check();
            assert!(matches!(refused, Err(NnError::Temperature { .. })));
        }
        assert!(matches!(Sampling { top_k: Some(0), ..plain }.check(), Err(NnError::TopK)));
        for top_p in [0.0, -0.5, 1.1, f32::NAN] {
            assert!(matches!(Sampling { top_p, ..plain }.check(), Err(NnError::TopP { .. })));
        }
        assert!(plain.check().is_ok());
    }
}
