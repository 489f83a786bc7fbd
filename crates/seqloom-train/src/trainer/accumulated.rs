//! Steps over several batches, as if they were one, in the memory of one.

use seqloom_graph::{Accumulation, Control, ParamId};
use seqloom_nn::{Batch, Model};

use super::pending::{Pending, Told};
use super::programs::{compile_accumulating, parts, read};
use super::{AHEAD, Trainer};
use crate::error::{Error, Result};
use crate::random::{mix, step_seed};

impl<B: Batch, M: Model<B>> Trainer<B, M> {
    /// One step of training over several batches: the sum of their gradients, each weighted by its batch's share of all tokens.
    /// So, if the model's loss is a mean over tokens, it equals a step over one large batch, up to rounding. The loss is the weighted
    /// mean. Memory for activations is that of one batch. Like [`Trainer::step`] it does not wait for its own result.
    ///
    /// Listeners are told by the first batch's listener. Carried states follow each batch, also in a step that is skipped.
    ///
    /// # Errors
    /// As [`Trainer::step`]; [`Error::Setting`] for no batch.
    pub fn step_accumulated(&mut self, batches: &[B]) -> Result<()> {
        let (setting, needs) = ("the number of accumulated batches", "at least 1");
        let Some(first) = batches.first() else { return Err(Error::Setting { setting, value: 0.0, needs }) };
        let total: usize = batches.iter().map(|batch| batch.token_count().max(1)).sum();
        let step = self.step + 1;
        let seed = step_seed(self.seed, step);
        let control = self.control(seed)?;
        let (store, model, optimizer) = (&self.store, &self.model, &*self.optimizer);
        // Mistakes are found before anything runs.
        let mut reached: Vec<ParamId> = Vec::new();
        for batch in batches {
            let (key, tensors) = parts(batch)?;
            let make = || compile_accumulating(store, model, batch);
            let program = self.accumulating.get_or_try(&key, make)?;
            program.check(&read(program, tensors))?;
            let new: Vec<_> = program.params().iter().filter(|id| !reached.contains(id)).copied().collect();
            reached.extend(new);
        }
        reached.sort_by_key(|id| id.index());
        if self.accumulation.as_ref().is_none_or(|known| known.params() != reached) {
            self.accumulation = Some(Accumulation::new(store, optimizer, &reached)?);
        }
        let Some(accumulation) = &self.accumulation else { return Err(Error::NoStep { what: "sum" }) };
        accumulation.begin()?;
        let mut losses = Vec::with_capacity(batches.len());
        for (number, batch) in (0u64..).zip(batches) {
            let (key, tensors) = parts(batch)?;
            let make = || compile_accumulating(store, model, batch);
            let program = self.accumulating.get_or_try(&key, make)?;
            if batch.begins() {
                store.reset_states(true);
            }
            let share = batch.token_count().max(1) as f64 / total as f64;
            // Each batch drops other elements.
            let seed = if number == 0 { seed } else { (mix(seed.into(), number) >> 32) as u32 };
            let own = Control { share: share as f32, seed, ..control };
            losses.push((share, program.call(&read(program, tensors), &own, ["loss"])?));
        }
        let end = accumulation.apply(&control)?;
        self.step = step;
        self.latest = None;
        let (tokens, listener) = (total as u64, first.listener().cloned());
        self.pending.push_back(Pending { step, tokens, told: Told::Several(losses, end), listener });
        self.settle(AHEAD)
    }
}
