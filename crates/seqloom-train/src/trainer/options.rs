//! What a trainer can be told when it is made.

use seqloom_graph::ProgramCache;
use seqloom_nn::Vocab;

use super::{SkipPolicy, Trainer};
use crate::error::{Error, Result};
use crate::optim::schedule::Schedule;

impl<B, M> Trainer<B, M> {
    /// The same trainer with this schedule of the learning rate: one of those shipped, or a closure of the update's number.
    ///
    /// # Errors
    /// [`Error::Setting`] for a senseless one.
    pub fn with_schedule(mut self, schedule: impl Schedule + 'static) -> Result<Self> {
        schedule.check()?;
        self.schedule = Box::new(schedule);
        Ok(self)
    }

    /// The same trainer with another seed for dropout than the parameters had.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same trainer, whose checkpoints hold this vocabulary and which refuses one with another.
    #[must_use]
    pub fn with_vocab(mut self, vocab: &Vocab) -> Self {
        self.vocab = Some(vocab.clone());
        self
    }

    /// The same trainer with another policy for skipped steps than to go on.
    ///
    /// # Errors
    /// [`Error::Setting`] for a number of 0.
    pub fn with_skips(mut self, policy: SkipPolicy) -> Result<Self> {
        if policy == SkipPolicy::StopAfter(0) {
            let setting = "SkipPolicy::StopAfter";
            return Err(Error::Setting { setting, value: 0.0, needs: "at least 1" });
        }
        self.skips = policy;
        Ok(self)
    }

    /// The same trainer keeping up to `most` programs for training and as many for evaluation, instead of 128. Each
    /// serves one batch shape. With more shapes, the least recently used one is dropped and compiled again when it
    /// returns.
    #[must_use]
    pub fn with_programs(mut self, most: usize) -> Self {
        (self.training, self.evaluation) = (ProgramCache::new(most), ProgramCache::new(most));
        self
    }

    /// The same trainer keeping every step's loss for [`Trainer::history`].
    #[must_use]
    pub fn with_history(mut self) -> Self {
        self.history = Some(Vec::new());
        self
    }
}
