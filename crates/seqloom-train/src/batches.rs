//! Batches cut from a text, each a pure function of its number.
//!
//! The text of C characters has W = (C − 1)/T windows of T steps (a window reads T characters and predicts the one after
//! each). Batch n is the n-th since the first epoch's start; which windows it holds follows from the seed and n alone. So
//! an iterator's whole state is n, and a resumed run continues with exactly the batch it would have had.

use std::sync::Arc;

use seqloom_nn::{LmBatch, LossListener, NnError};

use crate::corpus::CharCorpus;
use crate::progress::Progress;
use crate::random::{below, mix, permutation};

/// Order in which windows are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each epoch in a new random order, and from a new first character (among the C − 1 − W·T that keep all W windows).
    Shuffled {
        /// What the orders follow from.
        seed: u64,
    },
    /// As they stand in the text: row b of successive batches reads one contiguous stretch, for a model that carries its
    /// state. The first batch of an epoch begins it anew.
    Streams,
}

/// An iterator over batches of a [`CharCorpus`]; one epoch, shuffled by seed 0, unless told otherwise.
///
/// An epoch has max(1, W / B) batches; the W mod B windows left over rest until the next epoch. A text with fewer windows
/// than B gives batches of all W of them.
///
/// ```
/// # use seqloom_train::CharCorpus;
/// let text = CharCorpus::from_text(&"to be or not to be. ".repeat(20)).unwrap();
/// let mut batches = text.batches(4, 16).epochs(2);
/// assert_eq!((batches.per_epoch(), batches.len()), (6, 12));
/// batches.next();
/// let resumed = text.batches(4, 16).epochs(2).starting_at(batches.position());
/// assert_eq!(batches.next().unwrap().tokens(), { resumed }.next().unwrap().tokens());
/// ```
#[derive(Clone)]
pub struct Batches {
    text: CharCorpus,
    rows: usize,
    time: usize,
    order: Order,
    windows: usize,
    end: u64,
    next: u64,
    /// The epoch whose window order is at hand, so that an epoch is shuffled once.
    shuffled: Option<(u64, Arc<[usize]>)>,
    progress: Option<Arc<Progress>>,
}

impl Batches {
    pub(crate) fn new(text: CharCorpus, batch: usize, time: usize) -> Self {
        let windows = text.len().saturating_sub(1).checked_div(time).unwrap_or(0);
        let rows = batch.min(windows);
        let order = Order::Shuffled { seed: 0 };
        let mut batches =
            Self { text, rows, time, order, windows, end: 0, next: 0, shuffled: None, progress: None };
        batches.end = batches.per_epoch();
        if rows == 0 {
            // Kept for the error: what was asked for.
            batches.rows = batch;
            batches.windows = 0;
        }
        batches
    }

    /// Whether any batch can be cut.
    ///
    /// # Errors
    /// [`NnError::TextTooShort`] if the text has not the time + 1 characters of one window; [`NnError::Batch`] if there are no
    /// rows or no steps.
    pub fn check(&self) -> Result<(), NnError> {
        if self.rows == 0 || self.time == 0 {
            return Err(NnError::Batch {
                detail: format!("{} rows of {} steps hold no token", self.rows, self.time),
            });
        }
        if self.windows == 0 {
            let needs = self.time.saturating_add(1);
            return Err(NnError::TextTooShort {
                has: self.text.len(),
                needs,
                time: self.time,
                batch: self.rows,
            });
        }
        Ok(())
    }

    /// Takes the windows in this order.
    #[must_use]
    pub fn ordered(mut self, order: Order) -> Self {
        self.order = order;
        self.shuffled = None;
        self
    }

    /// Shuffles by this seed.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        self.ordered(Order::Shuffled { seed })
    }

    /// Ends after `epochs` epochs, counted from the first batch of all.
    #[must_use]
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.end = self.per_epoch().saturating_mul(epochs);
        self
    }

    /// Ends after `steps` batches, counted from the first of all, in however many epochs they are.
    #[must_use]
    pub fn steps(mut self, steps: u64) -> Self {
        self.end = steps;
        self
    }

    /// Goes on with batch number `position`; the end stays where it is.
    #[must_use]
    pub fn starting_at(mut self, position: u64) -> Self {
        self.next = position;
        self
    }

    /// Number of the next batch: what [`Batches::starting_at`] takes. It equals the trainer's step count where each batch is
    /// one step, so a checkpoint already holds it.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Batches in an epoch.
    #[must_use]
    pub fn per_epoch(&self) -> u64 {
        self.windows.checked_div(self.rows).unwrap_or(0).max(1) as u64
    }

    /// Shows a progress bar on standard error, if it is a terminal: loss, tokens a second, time left. Call it last, when
    /// the end is known.
    #[must_use]
    pub fn with_progress(mut self) -> Self {
        self.progress = Some(Arc::new(Progress::bar(self.end, self.next)));
        self
    }

    /// Tells this progress of every step's loss instead of a bar's.
    #[must_use]
    pub fn reporting_to(mut self, progress: Arc<Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Batch number `position`, whatever the iterator's own position.
    #[must_use]
    pub fn batch(&mut self, position: u64) -> LmBatch {
        match self.check().and_then(|()| self.cut(position)) {
            Ok(batch) => batch,
            Err(fault) => LmBatch::poisoned(fault),
        }
    }

    fn cut(&mut self, position: u64) -> Result<LmBatch, NnError> {
        let per_epoch = self.per_epoch();
        let (epoch, step) = (position / per_epoch, (position % per_epoch) as usize);
        let (offset, windows) = match self.order {
            Order::Streams => (0, Arc::default()),
            Order::Shuffled { seed } => {
                let spare = self.text.len() - 1 - self.windows * self.time;
                (below(mix(seed, epoch), u64::MAX, spare + 1), self.shuffle(seed, epoch))
            }
        };
        let size = self.rows * self.time;
        let (mut tokens, mut targets) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for row in 0..self.rows {
            let window = match self.order {
                Order::Streams => row * per_epoch as usize + step,
                Order::Shuffled { .. } => windows[step * self.rows + row],
            };
            let start = offset + window * self.time;
            let ids = &self.text.ids()[start..=start + self.time];
            tokens.extend_from_slice(&ids[..self.time]);
            targets.extend_from_slice(&ids[1..]);
        }
        let batch = LmBatch::new(self.rows, self.time, tokens, targets)?;
        Ok(if self.order == Order::Streams && step == 0 { batch.beginning() } else { batch })
    }

    /// The epoch's windows in their order.
    fn shuffle(&mut self, seed: u64, epoch: u64) -> Arc<[usize]> {
        match &self.shuffled {
            Some((of, windows)) if *of == epoch => Arc::clone(windows),
            _ => {
                let windows: Arc<[usize]> = permutation(mix(seed, epoch), self.windows).into();
                self.shuffled = Some((epoch, Arc::clone(&windows)));
                windows
            }
        }
    }
}

impl Iterator for Batches {
    type Item = LmBatch;

    fn next(&mut self) -> Option<LmBatch> {
        if self.next >= self.end {
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
        let left = usize::try_from(self.end.saturating_sub(self.next)).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{HostData, HostTensor};
    use seqloom_nn::Batch;

    fn counting(len: usize) -> CharCorpus {
        let text: String = (0..len).map(|i| char::from_u32(0x4e00 + i as u32).unwrap()).collect();
        CharCorpus::from_text(&text).unwrap()
    }

    fn ids(tensor: Option<&HostTensor>) -> Vec<u32> {
        match tensor.unwrap().data() {
            HostData::U32(ids) => ids.clone(),
            HostData::F32(_) => Vec::new(),
        }
    }

    #[test]
    fn targets_are_the_following_tokens_and_no_window_comes_twice() {
        let mut seen = Vec::new();
        for batch in counting(101).batches(4, 5) {
            let (tokens, targets) = (ids(batch.tokens()), ids(batch.targets()));
            assert!(tokens.iter().zip(&targets).all(|(a, b)| a + 1 == *b));
            seen.extend(tokens);
        }
        assert_eq!(seen.len(), 100);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn epochs_differ_and_positions_repeat() {
        let text = counting(103);
        let all: Vec<_> = text.batches(4, 5).seeded(3).epochs(2).map(|b| ids(b.tokens())).collect();
        assert_eq!(all.len(), 10);
        assert_ne!(all[..5], all[5..]);
        let resumed: Vec<_> =
            text.batches(4, 5).seeded(3).epochs(2).starting_at(7).map(|b| ids(b.tokens())).collect();
        assert_eq!(resumed, all[7..]);
        assert_eq!(text.batches(4, 5).steps(17).len(), 17);
    }

    #[test]
    fn streams_are_contiguous_along_a_row() {
        let batches: Vec<_> =
            counting(41).batches(2, 5).ordered(Order::Streams).map(|b| ids(b.tokens())).collect();
        let begins: Vec<_> =
            counting(41).batches(2, 5).ordered(Order::Streams).epochs(2).map(|b| b.begins()).collect();
        assert_eq!(begins, [true, false, false, false, true, false, false, false]);
        let row: Vec<u32> = batches.iter().flat_map(|b| b[5..].to_vec()).collect();
        assert_eq!(row, (20..40).collect::<Vec<_>>());
    }

    #[test]
    fn a_short_text_gives_one_batch_that_tells_why() {
        let batches = counting(5).batches(2, 5);
        assert!(matches!(batches.check(), Err(NnError::TextTooShort { has: 5, needs: 6, .. })));
        let faults: Vec<_> = batches.map(|b| b.fault().is_some()).collect();
        assert_eq!(faults, [true]);
        assert!(counting(5).batches(0, 2).check().is_err());
        assert!(counting(5).batches(2, 0).check().is_err());
        // Fewer windows than rows: all of them.
        assert_eq!(counting(11).batches(8, 5).next().unwrap().rows(), 2);
    }
}
