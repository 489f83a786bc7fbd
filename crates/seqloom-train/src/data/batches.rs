//! Batches cut from a text.
//!
//! A text of C characters has W = (C − 1)/T windows of T steps: a window reads T characters and predicts the one after
//! each. The windows of a batch depend only on the seed and the batch's number.

use seqloom_nn::{LmBatch, NnError};

use crate::data::corpus::CharCorpus;
use crate::data::course::{Course, Source};
use crate::random::{below, mix, permutation};

/// Order in which windows are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Each epoch has a new random order and a new first character (one that keeps all W windows).
    Shuffled {
        /// The seed of the orders.
        seed: u64,
    },
    /// In the order of the text: row b of successive batches reads one contiguous part, for a model that carries its
    /// state. The first batch of an epoch resets the state.
    Streams,
}

/// An iterator over batches of a [`CharCorpus`]; by default one epoch, shuffled with seed 0.
///
/// An epoch has max(1, W / B) batches; the remaining W mod B windows wait until the next epoch. A text with fewer
/// windows than B gives batches of all W.
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
pub type Batches = Course<Windows>;

/// The windows of a text, B to a batch: what [`Batches`] are cut from.
#[derive(Clone, Debug)]
pub struct Windows {
    text: CharCorpus,
    rows: usize,
    time: usize,
    order: Order,
    windows: usize,
}

/// An epoch's first character, and the order of its windows; none if they are in the text's order.
#[derive(Clone, Debug)]
pub struct WindowPlan {
    offset: usize,
    windows: Vec<usize>,
}

impl CharCorpus {
    /// Batches of `batch` rows of `time` steps: by default one epoch, shuffled with seed 0 (see [`Batches`]).
    ///
    /// A text shorter than one window gives one poisoned batch, and its step returns the error. [`Batches::check`]
    /// returns it at once.
    #[must_use]
    pub fn batches(&self, batch: usize, time: usize) -> Batches {
        Batches::new(self.clone(), batch, time)
    }
}

impl Batches {
    pub(crate) fn new(text: CharCorpus, batch: usize, time: usize) -> Self {
        let windows = text.len().saturating_sub(1).checked_div(time).unwrap_or(0);
        // If there is no window, the rows asked for are kept for the error.
        let rows = if windows == 0 { batch } else { batch.min(windows) };
        Self::over(Windows { text, rows, time, order: Order::Shuffled { seed: 0 }, windows })
    }

    /// Takes the windows in this order.
    #[must_use]
    pub fn ordered(self, order: Order) -> Self {
        self.with(|source| source.order = order)
    }

    /// Shuffles by this seed.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        self.ordered(Order::Shuffled { seed })
    }
}

impl Source for Windows {
    type Batch = LmBatch;
    type Plan = WindowPlan;

    /// [`NnError::TextTooShort`] if the text has fewer than time + 1 characters, one window; [`NnError::Batch`] if
    /// there are no rows or no steps.
    fn check(&self) -> Result<(), NnError> {
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

    fn per_epoch(&self) -> u64 {
        self.windows.checked_div(self.rows).unwrap_or(0).max(1) as u64
    }

    fn plan(&self, epoch: u64) -> WindowPlan {
        match self.order {
            Order::Streams => WindowPlan { offset: 0, windows: Vec::new() },
            Order::Shuffled { seed } => {
                let (spare, seed) = (self.text.len() - 1 - self.windows * self.time, mix(seed, epoch));
                WindowPlan {
                    offset: below(seed, u64::MAX, spare + 1),
                    windows: permutation(seed, self.windows),
                }
            }
        }
    }

    fn cut(&self, plan: &WindowPlan, step: usize) -> Result<LmBatch, NnError> {
        let size = self.rows * self.time;
        let (mut tokens, mut targets) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for row in 0..self.rows {
            let window = match self.order {
                Order::Streams => row * self.per_epoch() as usize + step,
                Order::Shuffled { .. } => plan.windows[step * self.rows + row],
            };
            let start = plan.offset + window * self.time;
            let ids = &self.text.ids()[start..=start + self.time];
            tokens.extend_from_slice(&ids[..self.time]);
            targets.extend_from_slice(&ids[1..]);
        }
        let batch = LmBatch::new(self.rows, self.time, tokens, targets)?;
        Ok(if self.order == Order::Streams && step == 0 { batch.beginning() } else { batch })
    }
}

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
            _ => Vec::new(),
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
