//! The course through a corpus: which batch comes when, and where it ends.
//!
//! A batch is a pure function of its number, so a course's whole state is one number, and a resumed run continues with
//! exactly the batch it would have had. A [`Source`] makes the batches; epochs, steps, positions and progress are the
//! same for all sources and are here.

use std::sync::Arc;

use seqloom_nn::{Batch, LossListener, NnError};

use crate::report::progress::Progress;

/// The data that batches are cut from, epoch after epoch.
pub trait Source {
    /// What it gives; a mistake becomes a batch that carries it.
    type Batch: Batch + From<NnError>;
    /// An order of the data, made once per epoch; all batches of the epoch depend on it.
    type Plan;

    /// Whether any batch can be cut.
    ///
    /// # Errors
    /// What is wrong with the data or the settings.
    fn check(&self) -> Result<(), NnError>;

    /// Batches in an epoch, at least 1.
    fn per_epoch(&self) -> u64;

    /// The plan of epoch number `epoch`, from 0. Called only if [`Source::check`] finds nothing; so are
    /// [`Source::per_epoch`] and [`Source::cut`].
    fn plan(&self, epoch: u64) -> Self::Plan;

    /// Batch number `step`, below [`Source::per_epoch`], of the epoch of `plan`.
    ///
    /// # Errors
    /// What is wrong with it.
    fn cut(&self, plan: &Self::Plan, step: usize) -> Result<Self::Batch, NnError>;
}

/// An iterator over a source's batches, by default of one epoch.
///
/// A mistake becomes a batch that carries it ([`seqloom_nn::Batch::fault`]), not an error, so a loop over batches needs
/// no second exit. [`Course::check`] returns it at once.
#[derive(Clone)]
pub struct Course<S: Source> {
    source: S,
    end: End,
    next: u64,
    /// The epoch of the present plan.
    planned: Option<(u64, Arc<S::Plan>)>,
    progress: Option<Arc<Progress>>,
}

/// Where a course ends, counted from the very first batch.
#[derive(Clone, Copy)]
enum End {
    Epochs(u64),
    Steps(u64),
}

impl<S: Source> Course<S> {
    /// A course of one epoch over `source`.
    #[must_use]
    pub fn over(source: S) -> Self {
        Self { source, end: End::Epochs(1), next: 0, planned: None, progress: None }
    }

    /// The same course after `change` has been made to its source.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut S)) -> Self {
        change(&mut self.source);
        self.planned = None;
        self
    }

    /// Whether any batch can be cut.
    ///
    /// # Errors
    /// As the source says.
    pub fn check(&self) -> Result<(), NnError> {
        self.source.check()
    }

    /// Ends after `epochs` epochs, counted from the very first batch.
    #[must_use]
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.end = End::Epochs(epochs);
        self
    }

    /// Ends after `steps` batches, counted from the very first one, over any number of epochs.
    #[must_use]
    pub fn steps(mut self, steps: u64) -> Self {
        self.end = End::Steps(steps);
        self
    }

    /// Continues with batch number `position`; the end does not move.
    #[must_use]
    pub fn starting_at(mut self, position: u64) -> Self {
        self.next = position;
        self
    }

    /// Number of the next batch: what [`Course::starting_at`] takes. It equals the trainer's step count if each batch
    /// is one step, so a checkpoint already holds it.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Batches in an epoch.
    #[must_use]
    pub fn per_epoch(&self) -> u64 {
        self.source.per_epoch()
    }

    /// Shows a progress bar on standard error, if it is a terminal: loss, tokens per second, time left. Call it last,
    /// when the end is known.
    #[must_use]
    pub fn with_progress(self) -> Self {
        let bar = Progress::bar(self.end(), self.next);
        self.reporting_to(Arc::new(bar))
    }

    /// Reports every step's loss to this progress instead of a bar.
    #[must_use]
    pub fn reporting_to(mut self, progress: Arc<Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Batch number `position`, whatever the iterator's own position.
    #[must_use]
    pub fn batch(&mut self, position: u64) -> S::Batch {
        let per_epoch = self.per_epoch();
        let (epoch, step) = (position / per_epoch, (position % per_epoch) as usize);
        let cut = self.check().and_then(|()| {
            let plan = self.plan(epoch);
            self.source.cut(&plan, step)
        });
        cut.unwrap_or_else(S::Batch::from)
    }

    /// The plan of an epoch, made anew only when another epoch begins.
    fn plan(&mut self, epoch: u64) -> Arc<S::Plan> {
        match &self.planned {
            Some((of, plan)) if *of == epoch => Arc::clone(plan),
            _ => {
                let plan = Arc::new(self.source.plan(epoch));
                self.planned = Some((epoch, Arc::clone(&plan)));
                plan
            }
        }
    }

    fn end(&self) -> u64 {
        match self.end {
            End::Epochs(epochs) => self.per_epoch().saturating_mul(epochs),
            End::Steps(steps) => steps,
        }
    }
}

impl<S: Source> Iterator for Course<S> {
    type Item = S::Batch;

    fn next(&mut self) -> Option<S::Batch> {
        if self.next >= self.end() {
            return None;
        }
        let batch = self.batch(self.next);
        self.next += 1;
        Some(match &self.progress {
            Some(progress) => batch.with_listener(Arc::clone(progress) as Arc<dyn LossListener>),
            None => batch,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.end().saturating_sub(self.next)).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl<S: Source> ExactSizeIterator for Course<S> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use seqloom_graph::HostData;
    use seqloom_nn::Inputs;

    use super::*;

    /// Batches that hold (epoch, step), three an epoch; `made` counts the plans.
    #[derive(Clone, Default)]
    struct Numbers {
        faulty: bool,
        made: Cell<usize>,
    }

    impl Source for Numbers {
        type Batch = Inputs;
        type Plan = u64;

        fn check(&self) -> Result<(), NnError> {
            let fault = NnError::Batch { detail: "nothing".to_owned() };
            if self.faulty { Err(fault) } else { Ok(()) }
        }

        fn per_epoch(&self) -> u64 {
            3
        }

        fn plan(&self, epoch: u64) -> u64 {
            self.made.set(self.made.get() + 1);
            epoch
        }

        fn cut(&self, plan: &u64, step: usize) -> Result<Inputs, NnError> {
            Ok(Inputs::new().ids("at", &[2], vec![*plan as u32, step as u32]))
        }
    }

    fn at(batch: &Inputs) -> [u32; 2] {
        match batch.host("at").unwrap().data() {
            HostData::U32(ids) => [ids[0], ids[1]],
            _ => [u32::MAX; 2],
        }
    }

    #[test]
    fn a_course_goes_through_its_epochs_and_plans_each_once() {
        let mut course = Course::over(Numbers::default()).epochs(2).starting_at(1);
        assert_eq!((course.len(), course.position(), course.per_epoch()), (5, 1, 3));
        let all: Vec<_> = course.by_ref().map(|batch| at(&batch)).collect();
        assert_eq!(all, [[0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        assert_eq!((course.source.made.get(), course.position(), course.len()), (2, 6, 0));
        // Another setting may make other plans.
        let mut changed = course.with(|source| source.faulty = false);
        assert_eq!(at(&changed.batch(5)), [1, 2]);
        assert_eq!(changed.source.made.get(), 3);
        assert_eq!(at(&Course::over(Numbers::default()).steps(7).last().unwrap()), [2, 0]);
    }

    #[test]
    fn batches_tell_progress_and_mistakes() {
        let mut told = Course::over(Numbers::default()).reporting_to(Arc::new(Progress::hidden()));
        assert!(told.all(|batch| batch.listener().is_some()));
        let mut faulty = Course::over(Numbers::default()).with(|source| source.faulty = true);
        assert!(faulty.check().is_err() && faulty.len() == 3);
        assert!(matches!(faulty.next().unwrap().fault(), Some(NnError::Batch { .. })));
        assert_eq!(faulty.source.made.get(), 0, "nothing is planned of what cannot be cut");
    }
}
