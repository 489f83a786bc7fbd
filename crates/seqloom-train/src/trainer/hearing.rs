//! Results on their way from the device: what a trainer knows of the steps that it asked for.

use seqloom_graph::Control;
use seqloom_nn::Finished;

use super::pending::Pending;
use super::{SkipPolicy, Trainer};
use crate::error::{Error, Result};
use crate::optim::settings::control;

impl<B, M> Trainer<B, M> {
    /// The numbers of the next update.
    pub(super) fn control(&mut self, seed: u32) -> Result<Control> {
        let applied = self.known_updates()?;
        let rate = |update| self.lr * self.schedule.factor(update);
        let control = control(applied, rate, self.clip_norm.or(self.optimizer.clip_norm()), seed);
        if let Some(&rate) = control.lr.iter().find(|rate| !(rate.is_finite() && **rate >= 0.0)) {
            let (setting, needs) = ("the learning rate by the schedule", "finite and at least 0");
            return Err(Error::Setting { setting, value: rate.into(), needs });
        }
        Ok(control)
    }

    /// Updates that were applied, as far as steps were heard of.
    pub(super) fn known_updates(&mut self) -> Result<u64> {
        if let Some(applied) = self.applied {
            return Ok(applied);
        }
        self.hear_all()?;
        let applied = u64::from(self.store.updates()?.applied);
        self.applied = Some(applied);
        Ok(applied)
    }

    /// Waits until at most `left` losses are on their way.
    pub(super) fn settle(&mut self, left: usize) -> Result<()> {
        while self.pending.len() > left {
            let Some(pending) = self.pending.pop_front() else { break };
            self.hear(pending)?;
            let (in_a_row, step) = (self.in_a_row, self.step - self.pending.len() as u64);
            if in_a_row > 0 && self.skips == SkipPolicy::StopAfter(in_a_row) {
                return Err(Error::Skipped { in_a_row, step });
            }
        }
        Ok(())
    }

    /// Waits for all losses on their way, whatever the skip policy.
    pub(super) fn hear_all(&mut self) -> Result<()> {
        while let Some(pending) = self.pending.pop_front() {
            self.hear(pending)?;
        }
        Ok(())
    }

    /// Waits for a step, counts it and tells its listener.
    fn hear(&mut self, pending: Pending) -> Result<()> {
        let Pending { step, tokens, told, listener } = pending;
        let (loss, skipped) = told.wait().inspect_err(|_| self.applied = None)?;
        self.in_a_row = if skipped { self.in_a_row + 1 } else { 0 };
        self.applied = self.applied.map(|applied| applied + u64::from(!skipped));
        self.loss = Some(loss);
        if let Some(history) = &mut self.history {
            history.push((step, loss));
        }
        if let Some(listener) = listener {
            listener.finished(Finished { step, loss, tokens, skipped });
        }
        Ok(())
    }
}

impl<B, M> Drop for Trainer<B, M> {
    /// Tells listeners of the last steps, so that nobody has to ask for them. The first failure of the device ends it, since what
    /// is lost cannot be waited for; and a thread that panics tells nobody, for a second panic would end the process.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.hear_all();
        }
    }
}
