//! What a trainer can be told when it is made.

use std::sync::Arc;

use seqloom_graph::{ProgramCache, Treatment};
use seqloom_nn::Vocab;

use super::{SkipPolicy, Trainer};
use crate::error::{Error, Result};
use crate::fault::GroupFault;
use crate::optim::groups::{Group, treatments};
use crate::optim::schedule::Schedule;
use crate::optim::settings::{self, Range, checked};
use crate::optim::wrappers::{Averaged, Clipped};

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

    /// The same trainer with these groups of parameters.
    ///
    /// # Errors
    /// [`Error::Group`] if a group takes no trained parameter, two take the same, or a step was done; [`Error::Setting`];
    /// [`Error::Graph`] if the device has no room.
    pub fn with_groups(self, groups: impl IntoIterator<Item = Group>) -> Result<Self> {
        let groups: Vec<_> = groups.into_iter().collect();
        let treatments = treatments(&groups, self.store.specs(), self.optimizer.lr())?;
        self.rebuilt(treatments)
    }

    /// The same trainer, which also keeps a running mean of the parameters over updates: e ← decay·e + (1−decay)·p, from their
    /// values now on. It takes 8 bytes more for each parameter and update. [`Trainer::averaged`] gives it.
    ///
    /// # Errors
    /// [`Error::Setting`] for a decay that is not at least 0 and below 1; [`Error::Group`] if a step was done; [`Error::Graph`].
    pub fn with_ema(mut self, decay: f64) -> Result<Self> {
        checked(&[("the decay of the average", decay, settings::decay as Range)])?;
        self.optimizer = Arc::new(Averaged { inner: Arc::clone(&self.optimizer), decay });
        let treatments = self.store.treatments().to_vec();
        self.rebuilt(treatments)
    }

    /// The same trainer over a new store.
    fn rebuilt(mut self, treatments: Vec<Treatment>) -> Result<Self> {
        if self.step > 0 {
            return Err(GroupFault::Late.into());
        }
        self.store = self.store.treated(treatments)?;
        self.store.attach(&*self.optimizer)?;
        // Programs made before are over the old one.
        let most = (self.training.usage().most, self.evaluation.usage().most);
        self.accumulating = ProgramCache::new(most.0);
        self.averages = ProgramCache::new(most.1);
        self.accumulation = None;
        (self.training, self.evaluation) = (ProgramCache::new(most.0), ProgramCache::new(most.1));
        Ok(self)
    }

    /// The same trainer, which clips the gradient of all parameters together to this norm, whatever the optimizer does by itself.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not finite and above 0.
    pub fn with_clip_norm(mut self, most: f64) -> Result<Self> {
        checked(&[("the clip norm", most, settings::positive as Range)])?;
        self.clip_norm = Some(most);
        Ok(self)
    }

    /// The same trainer, which clips each element of a gradient to ±`most`, after the clip by norm if there is one.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not finite and above 0.
    pub fn with_clip_value(mut self, most: f64) -> Result<Self> {
        checked(&[("the clip value", most, settings::positive as Range)])?;
        self.optimizer = Arc::new(Clipped { inner: Arc::clone(&self.optimizer), most });
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
        (self.accumulating, self.averages) = (ProgramCache::new(most), ProgramCache::new(most));
        self
    }

    /// The same trainer keeping every step's loss for [`Trainer::history`].
    #[must_use]
    pub fn with_history(mut self) -> Self {
        self.history = Some(Vec::new());
        self
    }
}
