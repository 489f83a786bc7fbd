//! The input of a training step.
//!
//! A batch is any type that can name its tensors. It knows no device, so any thread can prepare data. The program cache
//! is keyed by the names, types and shapes of these tensors, so a batch of a new shape needs no extra call.

pub mod lm_batch;
pub mod masked_batch;
pub mod translation_batch;

use std::sync::Arc;

use seqloom_graph::HostTensor;

use crate::error::NnError;

/// Steps that rows of up to `longest` steps are padded to: the next multiple of 8, above 64 of 16, above 128 of 32, and
/// so on. A program is compiled for each number of steps, so rounding keeps programs few. Rows longer than 64 are
/// padded by at most an eighth. No result depends on padding.
///
/// ```
/// # use seqloom_nn::padded_time;
/// assert_eq!([1, 8, 9, 64, 65, 130].map(padded_time), [8, 8, 16, 64, 80, 160]);
/// ```
#[must_use]
pub fn padded_time(longest: usize) -> usize {
    let power = longest.checked_next_power_of_two().unwrap_or(1);
    longest.checked_next_multiple_of((power / 8).max(8)).unwrap_or(longest)
}

/// Tensors for a model's inputs.
pub trait Batch {
    /// The tensors under the names of the model's inputs, always in the same order.
    fn tensors(&self) -> Vec<(&'static str, &HostTensor)>;

    /// Anything besides the tensors' shapes that the recorded graph depends on: two batches of equal shapes and keys
    /// can share a program. Most batches have nothing and keep the 0.
    fn key(&self) -> u64 {
        0
    }

    /// The mistake this batch was made with, if any. A step over such a batch returns it and does nothing else, as a
    /// poisoned tensor does in a graph; so iterators over batches need not give `Result`s.
    fn fault(&self) -> Option<&NnError> {
        None
    }

    /// Whether its sequences begin here: a model that carries state from batch to batch starts it from 0.
    fn begins(&self) -> bool {
        false
    }

    /// Number of predicted tokens, for rates; 0 if the batch has no tokens.
    fn token_count(&self) -> usize {
        0
    }

    /// The listener that is told the loss of this batch's step once the device has it.
    fn listener(&self) -> Option<&Arc<dyn LossListener>> {
        None
    }
}

/// A step that the device has finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finished {
    /// Its number in the run, from 1.
    pub step: u64,
    /// Its loss, as the model defines it, before the update.
    pub loss: f32,
    /// Tokens it predicted.
    pub tokens: u64,
    /// Whether it changed nothing, because its gradient or a carried state was not finite.
    pub skipped: bool,
}

/// Is told of finished steps, in order, a little after they were asked for. A progress bar is one.
pub trait LossListener: Send + Sync {
    /// The device has finished this step.
    fn finished(&self, finished: Finished);
}
