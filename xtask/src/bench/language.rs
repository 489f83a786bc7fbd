//! The recurrent language models of the workloads, and their batches.
//!
//! Sizes, constants and tokens are those of the peers' programs, so figures can be compared.

use seqloom::prelude::custom::*;

use super::subject::{Subject, Training};
use crate::error::{Result, XtaskError};

/// Sizes of W2 and W3: symbols, rows, steps, channels of the embedding, width of the state.
pub const VOCAB: usize = 96;
pub const ROWS: usize = 32;
pub const TIME: usize = 64;
pub const EMBED: usize = 128;
pub const HIDDEN: usize = 256;

/// Records a model's loss.
type Record = Box<dyn for<'g> Fn(&'g Graph, &LmBatch) -> Tensor<'g>>;

/// A trainer of any of the models.
pub type LmTrainer = Trainer<LmBatch, Record>;

/// Makes a trainer on a device with this many layers and hidden units; also returns its number of parameters.
type Make = fn(&Device, usize, usize) -> Result<(LmTrainer, usize)>;

/// Cells by name.
pub const CELLS: &[(&str, Make)] =
    &[("rnn", trainer::<Rnn>), ("lstm", trainer::<Lstm>), ("gru", trainer::<Gru>)];

/// A case of W2 or W3: a cell's name followed by the number of layers.
///
/// # Errors
/// [`XtaskError::Unknown`] for a cell that does not exist; the device's.
pub fn subject(device: &Device, case: &str) -> Result<Box<dyn Subject>> {
    let cell = case.trim_end_matches(|c: char| c.is_ascii_digit());
    let layers = case[cell.len()..].parse().unwrap_or(1);
    let (trainer, params) = trainer_of(cell, device, layers, HIDDEN)?;
    Ok(Box::new(Training { trainer, batch: windows(ROWS, TIME, VOCAB)?, params }))
}

/// A trainer of the language model over this cell with this many layers and hidden units, and its number of parameters.
///
/// # Errors
/// [`XtaskError::Unknown`] for a cell that does not exist; the device's.
pub fn trainer_of(cell: &str, device: &Device, layers: usize, hidden: usize) -> Result<(LmTrainer, usize)> {
    match CELLS.iter().find(|(name, _)| *name == cell) {
        Some((_, make)) => make(device, layers, hidden),
        None => {
            let known = CELLS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            Err(XtaskError::Unknown { what: "cell", asked: cell.to_owned(), known })
        }
    }
}

fn trainer<L: Recurrent + 'static>(
    device: &Device,
    layers: usize,
    hidden: usize,
) -> Result<(LmTrainer, usize)> {
    let mut params = Params::seeded(42);
    let config = RecurrentLmConfig { vocab: Vocab::ids(VOCAB), embed: EMBED, hidden, layers, dropout: 0.0 };
    let model = RecurrentLm::<L>::new(&mut params, config);
    let count = params.count();
    // Adam is AdamW without decay.
    let adam = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, clip_norm: None };
    let record: Record = Box::new(move |g, batch| model.loss(g, batch));
    Ok((Trainer::new(device, params, adam, record)?, count))
}

/// Rows of `time` + 1 tokens each: inputs the first `time`, targets the last.
///
/// # Errors
/// None for sizes above 0.
pub fn windows(rows: usize, time: usize, vocab: usize) -> Result<LmBatch> {
    let tokens = tokens(42, rows * (time + 1), vocab as u64);
    let part =
        |from: usize| tokens.chunks(time + 1).flat_map(|row| row[from..from + time].to_vec()).collect();
    Ok(LmBatch::new(rows, time, part(0), part(1)).map_err(seqloom::Error::from)?)
}

/// Rows of 1 to `time` steps, evenly spread.
///
/// # Errors
/// None for sizes above 1.
pub fn ragged(rows: usize, time: usize) -> Result<LmBatch> {
    let tokens = tokens(42, rows * (time + 1), VOCAB as u64);
    let len = |row: usize| 1 + row * (time - 1) / (rows - 1);
    let cut = |(row, tokens): (usize, &[u32])| tokens[..=len(row)].to_vec();
    let sequences: Vec<_> = tokens.chunks(time + 1).enumerate().map(cut).collect();
    Ok(LmBatch::ragged(&sequences, VOCAB).map_err(seqloom::Error::from)?)
}

/// The peers' generator: state = state·6364136223846793005 + 1442695040888963407 mod 2⁶⁴, token = (state >> 33) mod vocab.
pub fn tokens(seed: u64, count: usize, vocab: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) % vocab) as u32
    };
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_the_peers() {
        let state = 42u64.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        assert_eq!(u64::from(tokens(42, 1, 96)[0]), (state >> 33) % 96);
        assert!(tokens(42, 1000, 96).iter().all(|&t| t < 96));
    }

    #[test]
    fn ragged_rows_are_half_as_long_on_average() {
        let batch = ragged(32, 64).unwrap();
        assert_eq!((batch.rows(), batch.time()), (32, 64));
        assert!(Batch::token_count(&batch).abs_diff(32 * 64 / 2) <= 32);
    }
}
