//! The input of a training step.
//!
//! A batch is any type that holds [`Inputs`], tensors under names. It knows no device, so any thread can prepare data. The
//! program cache is keyed by the names, types and shapes of these tensors, so a batch of a new shape needs no extra call.

pub mod inputs;
pub mod listener;
pub mod lm_batch;
pub mod masked_batch;
pub mod translation_batch;

use std::sync::Arc;

use seqloom_graph::{Graph, HostTensor};

use crate::batch::inputs::{Bound, Inputs};
use crate::batch::listener::LossListener;
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

/// The input of a step: named tensors, and what a trainer asks of them. [`Inputs`] is one; a type that knows more holds
/// [`Inputs`] and gives access to them.
pub trait Batch {
    /// Its tensors under the names of the model's inputs, always in the same order.
    fn inputs(&self) -> &Inputs;

    /// The same, to be changed.
    fn inputs_mut(&mut self) -> &mut Inputs;

    /// Anything besides the inputs' names, types, shapes and lengths that the recorded graph depends on: two batches that agree in
    /// those and in keys can share a program. Most batches have nothing and keep the 0.
    fn key(&self) -> u64 {
        0
    }

    /// Its tensors in the graph that a model records, by name.
    fn bind<'g>(&self, g: &'g Graph) -> Bound<'_, 'g> {
        self.inputs().bind(g)
    }

    /// Its tensors under their names.
    fn tensors(&self) -> Vec<(&'static str, &HostTensor)> {
        self.inputs().tensors()
    }

    /// The mistake this batch was made with, if any. A step over such a batch returns it and does nothing else, as a
    /// poisoned tensor does in a graph; so iterators over batches need not give `Result`s.
    fn fault(&self) -> Option<&NnError> {
        self.inputs().first_fault()
    }

    /// Whether its sequences begin here: a model that carries state from batch to batch starts it from 0.
    fn begins(&self) -> bool {
        self.inputs().begin()
    }

    /// Number of tokens or rows that its loss is the mean of, for rates and as its weight in a mean over batches; 0 if
    /// the batch does not say.
    fn token_count(&self) -> usize {
        self.inputs().count()
    }

    /// The listener that is told the loss of this batch's step once the device has it.
    fn listener(&self) -> Option<&Arc<dyn LossListener>> {
        self.inputs().hears()
    }

    /// The same batch, whose step tells `listener` its loss.
    #[must_use]
    fn with_listener(mut self, listener: Arc<dyn LossListener>) -> Self
    where
        Self: Sized,
    {
        self.inputs_mut().listen(listener);
        self
    }
}

impl Batch for Inputs {
    fn inputs(&self) -> &Inputs {
        self
    }

    fn inputs_mut(&mut self) -> &mut Inputs {
        self
    }
}
