//! Connectionist temporal classification of one sequence: by the recursion over states, and by trying every alignment.

use super::softmax::log_sum_exp;

/// −ln of the chance of `target` over all alignments of the rows `log_probs`, each of `classes`; infinite where there is none.
pub fn loss(classes: usize, blank: usize, log_probs: &[f64], target: &[usize]) -> f64 {
    match chances(blank, log_probs.chunks(classes), target).last() {
        None if target.is_empty() => 0.0,
        None => f64::INFINITY,
        Some(last) => -log_sum(&last[last.len().saturating_sub(2)..]),
    }
}

/// Of each step, the logarithm of the chance of what leads to each state.
fn chances<'a>(blank: usize, rows: impl Iterator<Item = &'a [f64]>, target: &[usize]) -> Vec<Vec<f64>> {
    let states = extended(blank, target);
    let mut all: Vec<Vec<f64>> = Vec::new();
    for row in rows {
        let reached = |s: usize| match all.last() {
            None if s < 2 => 0.0,
            None => f64::NEG_INFINITY,
            Some(before) => {
                let passes = s >= 2 && states[s - 2] != states[s];
                log_sum(&before[s - usize::from(s >= 1) - usize::from(passes)..=s])
            }
        };
        all.push((0..states.len()).map(|s| reached(s) + row[states[s]]).collect());
    }
    all
}

/// ln Σ eˣ, also of chances of 0.
fn log_sum(x: &[f64]) -> f64 {
    if x.iter().all(|&x| x == f64::NEG_INFINITY) { f64::NEG_INFINITY } else { log_sum_exp(x) }
}

/// A blank before, between and behind the labels.
fn extended(blank: usize, target: &[usize]) -> Vec<usize> {
    let mut states = vec![blank];
    target.iter().for_each(|&label| states.extend([label, blank]));
    states
}

/// What [`loss`] means: the sum over every sequence of classes that reads as `target`.
pub fn loss_by_trying_all(classes: usize, blank: usize, log_probs: &[f64], target: &[usize]) -> f64 {
    let steps = log_probs.len() / classes;
    let mut chance = 0.0;
    for number in 0..classes.pow(steps as u32) {
        let path: Vec<usize> = (0..steps).map(|t| number / classes.pow(t as u32) % classes).collect();
        if read(blank, &path) == target {
            chance += (0..steps).map(|t| log_probs[t * classes + path[t]]).sum::<f64>().exp();
        }
    }
    -chance.ln()
}

/// The labels that an alignment gives.
pub fn read(blank: usize, path: &[usize]) -> Vec<usize> {
    let mut labels = path.to_vec();
    labels.dedup();
    labels.retain(|&class| class != blank);
    labels
}

/// The derivative of [`loss`] by each element: minus the share of the chance that the alignments through it have.
///
/// What leads to a state in t steps, and from it on in the rest, is found by the recursion over the sequence and over the reversed
/// one.
pub fn gradient(classes: usize, blank: usize, log_probs: &[f64], target: &[usize]) -> Vec<f64> {
    let rows: Vec<&[f64]> = log_probs.chunks(classes).collect();
    let backwards: Vec<usize> = target.iter().rev().copied().collect();
    let ahead = chances(blank, rows.iter().copied(), target);
    let behind = chances(blank, rows.iter().rev().copied(), &backwards);
    let states = extended(blank, target);
    let mut gradient = vec![0.0; log_probs.len()];
    for (t, row) in rows.iter().enumerate() {
        let (before, after) = (&ahead[t], &behind[rows.len() - 1 - t]);
        // Both have the chance of the class at t.
        let through = before.iter().zip(after.iter().rev()).map(|(a, b)| a + b);
        let shares: Vec<f64> = through
            .zip(&states)
            .map(|(both, &class)| if both == f64::NEG_INFINITY { both } else { both - row[class] })
            .collect();
        let all = log_sum(&shares);
        for (&class, share) in states.iter().zip(&shares) {
            gradient[t * classes + class] -= (share - all).exp();
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recursion_is_the_sum_over_alignments() {
        for steps in 0..6 {
            for target in [&[][..], &[1], &[2, 1], &[1, 1], &[2, 2, 1], &[1, 2, 2], &[1, 2, 1, 2]] {
                for blank in [0, 3] {
                    let log_probs: Vec<f64> =
                        (0..steps * 4).map(|i| -1.0 - (f64::from(i) * 1.7).sin()).collect();
                    let [fast, slow] =
                        [loss, loss_by_trying_all].map(|loss| loss(4, blank, &log_probs, target));
                    let near = (fast - slow).abs() < 1e-9;
                    assert!(fast == slow || near, "{steps} steps, {target:?}: {fast} and {slow}");
                    let step = 1e-5;
                    for (i, gradient) in gradient(4, blank, &log_probs, target).into_iter().enumerate() {
                        let [more, less] = [step, -step].map(|by| {
                            let mut moved = log_probs.clone();
                            moved[i] += by;
                            loss(4, blank, &moved, target)
                        });
                        let want = (more - less) / (2.0 * step);
                        assert!(want.is_nan() || (gradient - want).abs() < 1e-8, "{gradient} and {want}");
                    }
                }
            }
        }
    }
}
