//! A task that needs a certain distance: sequences that repeat with a period.
//!
//! The first `period` symbols are random, and every later one equals the symbol `period` steps before it. Only
//! predictions of later ones are scored. To predict the next symbol a model must look back `period` − 1 steps; one that
//! cannot must guess, with a loss of ln of the number of symbols. Batches are made on demand and never repeat.

use seqloom::prelude::custom::*;

use crate::systems::Visit;
use crate::{Options, Outcome};

/// Symbols of the sequences.
pub const SYMBOLS: usize = 16;
/// Rows of a batch.
const ROWS: usize = 16;
/// Number of last steps whose mean loss is reported.
const TAIL: usize = 10;
/// Highest learning rate.
const LR: f64 = 5e-3;

/// Trains a model on sequences of a period; returns the mean loss of its last steps, in nats per symbol.
pub struct Echo<'a> {
    pub device: &'a Device,
    pub options: &'a Options,
    pub period: usize,
}

/// Steps of a sequence: two periods are read, the second scored, and at least half a hundred steps.
pub fn time(period: usize) -> usize {
    (2 * period).max(48)
}

/// The batch number `step`: tokens [B, T] and the symbols that follow from step `period` − 1 on, [B, T − period + 1].
fn batch(step: u64, period: usize, time: usize) -> Inputs {
    // Knuth's 64-bit linear congruential generator; the low bits of such a one are poor.
    let mut state = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ period as u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32 % SYMBOLS as u32
    };
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..ROWS {
        let unit: Vec<u32> = (0..period).map(|_| draw()).collect();
        tokens.extend((0..time).map(|t| unit[t % period]));
        targets.extend((period..=time).map(|t| unit[t % period]));
    }
    let scored = time + 1 - period;
    Inputs::new()
        .ids("tokens", &[ROWS, time], tokens)
        .ids("targets", &[ROWS, scored], targets)
        .counting(ROWS * scored)
}

impl Visit for Echo<'_> {
    type Output = Outcome<f64>;

    fn visit<M: LanguageModel>(self, make: impl FnOnce(&mut Params) -> M) -> Self::Output {
        let Self { device, options, period } = self;
        let (time, steps) = (time(period), options.steps);
        let mut params = Params::seeded(7);
        let model = make(&mut params);
        let optimizer = AdamW { lr: LR, weight_decay: 0.0, clip_norm: Some(1.0), ..AdamW::default() };
        let schedule = Cosine { warmup: steps / 10, total: steps, floor: 0.1 };
        let mut trainer = Trainer::new(device, params, optimizer, |g, batch: &Inputs| {
            let inputs = batch.bind(g);
            let features = model.read(inputs.get("tokens"), None, None).features;
            let scored = features.slice(1, period - 1, time + 1 - period);
            model.logits(scored).cross_entropy(inputs.get("targets"), None)
        })?
        .with_schedule(schedule)?
        .with_history();
        for step in 1..=steps {
            trainer.step(&batch(step, period, time))?;
        }
        trainer.finish()?;
        let history = trainer.history()?;
        let tail = &history[history.len().saturating_sub(TAIL)..];
        Ok(tail.iter().map(|(_, loss)| f64::from(*loss)).sum::<f64>() / tail.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)] // A test stops at the first surprise.

    use super::*;
    use seqloom::graph::HostData;

    fn ids<'a>(batch: &'a Inputs, name: &str) -> &'a [u32] {
        let HostData::U32(ids) = batch.host(name).unwrap().data() else { panic!("not ids") };
        ids
    }

    #[test]
    fn what_is_scored_was_read_one_period_before() {
        let (period, time) = (5, 13);
        let made = batch(3, period, time);
        let rows = ids(&made, "tokens").chunks(time).zip(ids(&made, "targets").chunks(time + 1 - period));
        for (tokens, targets) in rows {
            assert_eq!(targets[..time - period], tokens[period..]);
            assert_eq!(targets[..], tokens[..=time - period]);
        }
        assert_ne!(ids(&made, "tokens"), ids(&batch(4, period, time), "tokens"));
    }
}
