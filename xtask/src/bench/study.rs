//! How a training step's time follows the sequences: their true lengths, and T.
//!
//! The sizes are measured in turns, one step each, so that what else the machine does falls on all alike, and the least
//! time of each is taken: the one that was disturbed least.

use std::time::Instant;

use seqloom::prelude::*;

use super::language::{LmTrainer, full, ragged as ragged_batch, trainer_of};
use crate::error::Result;

/// Rows, steps and hidden units of the ragged study.
const RAGGED: (usize, usize, usize) = (32, 64, 256);
/// Rows and hidden units of the growth study, and its steps.
const GROWTH: (usize, usize) = (16, 128);
const TIMES: [usize; 5] = [64, 128, 256, 512, 1024];
/// Turns, unless told otherwise; the first is not counted.
const TURNS: u32 = 6;

/// Times over sizes, and the number they come to.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Study {
    workload: String,
    case: String,
    /// What the sizes are.
    sizes_are: String,
    sizes: Vec<f64>,
    min_ms: Vec<f64>,
    /// What the result is.
    result_is: String,
    result: f64,
    /// What it may be at most.
    limit: f64,
    adapter: String,
}

impl Study {
    /// Its line in words.
    pub fn print(&self) {
        let each: Vec<_> =
            self.sizes.iter().zip(&self.min_ms).map(|(size, ms)| format!("{size}: {ms:.1} ms")).collect();
        println!(
            "{:<6} by {}: {}; {} {:.3} (at most {})",
            self.case,
            self.sizes_are,
            each.join(", "),
            self.result_is,
            self.result,
            self.limit
        );
    }
}

/// A batch whose rows are half as long on average, against full rows: the ratio of their times.
///
/// # Errors
/// The device's or the trainer's.
pub fn ragged(cell: &str, turns: Option<u32>) -> Result<Study> {
    let (rows, time, hidden) = RAGGED;
    let device = Device::open(DeviceOptions::default())?;
    let (mut trainer, _) = trainer_of(cell, &device, 1, hidden)?;
    let batches = [full(rows, time)?, ragged_batch(rows, time)?];
    let min_ms = in_turns(&mut trainer, &batches, turns)?;
    Ok(Study {
        workload: "ragged".to_owned(),
        case: cell.to_owned(),
        sizes_are: "mean length".to_owned(),
        sizes: batches.iter().map(|b| b.token_count() as f64 / rows as f64).collect(),
        result_is: "ratio".to_owned(),
        result: min_ms[1] / min_ms[0],
        min_ms,
        limit: 0.65,
        adapter: device.facts().name.clone(),
    })
}

/// The exponent p of time ~ Tᵖ.
///
/// # Errors
/// The device's or the trainer's.
pub fn growth(cell: &str, turns: Option<u32>) -> Result<Study> {
    let (rows, hidden) = GROWTH;
    let device = Device::open(DeviceOptions::default())?;
    let (mut trainer, _) = trainer_of(cell, &device, 1, hidden)?;
    let batches = TIMES.iter().map(|&time| full(rows, time)).collect::<Result<Vec<_>>>()?;
    let min_ms = in_turns(&mut trainer, &batches, turns)?;
    let sizes: Vec<_> = TIMES.iter().map(|&time| time as f64).collect();
    Ok(Study {
        workload: "growth".to_owned(),
        case: cell.to_owned(),
        sizes_are: "T".to_owned(),
        result_is: "exponent".to_owned(),
        result: exponent(&sizes, &min_ms),
        sizes,
        min_ms,
        limit: 1.05,
        adapter: device.facts().name.clone(),
    })
}

/// The least time in milliseconds of a step over each batch.
fn in_turns(trainer: &mut LmTrainer, batches: &[LmBatch], turns: Option<u32>) -> Result<Vec<f64>> {
    let mut least = vec![f64::INFINITY; batches.len()];
    for turn in 0..=turns.unwrap_or(TURNS) {
        for (least, batch) in least.iter_mut().zip(batches) {
            let begin = Instant::now();
            trainer.step(batch)?;
            let _ = trainer.loss()?;
            // The first turn compiles.
            if turn > 0 {
                *least = least.min(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok(least)
}

/// The slope of ln y over ln x by least squares.
fn exponent(x: &[f64], y: &[f64]) -> f64 {
    let (x, y): (Vec<_>, Vec<_>) = (x.iter().map(|x| x.ln()).collect(), y.iter().map(|y| y.ln()).collect());
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let covariance: f64 = x.iter().zip(&y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    covariance / x.iter().map(|x| (x - mean_x).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_a_power_is_its_own() {
        let x = [1.0, 2.0, 8.0, 32.0];
        assert!((exponent(&x, &x.map(|x| 3.0 * x.powf(1.25))) - 1.25).abs() < 1e-12);
    }
}
