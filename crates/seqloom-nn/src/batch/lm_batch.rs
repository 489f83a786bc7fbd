//! A batch for language models.
//!
//! Ragged rows are padded here, once, and carry their lengths. Targets on padded steps get the id V, one past the last
//! symbol, which the loss ignores. A separate mask tensor would say the same in more memory and could disagree with it.

use std::sync::Arc;

use seqloom_graph::{HostTensor, packed_rows};

use crate::batch::{Batch, LossListener, padded_time};
use crate::error::NnError;

/// Token ids and, for each, the token that follows. Both are [B, T] of u32; rows may have their own lengths.
///
/// ```
/// # use seqloom_nn::LmBatch;
/// let batch = LmBatch::new(2, 3, vec![0, 1, 2, 3, 4, 5], vec![1, 2, 3, 4, 5, 6]).unwrap();
/// assert_eq!((batch.rows(), batch.time()), (2, 3));
/// ```
#[derive(Clone)]
pub struct LmBatch {
    content: Result<Content, NnError>,
    begins: bool,
    listener: Option<Arc<dyn LossListener>>,
}

#[derive(Clone, Debug)]
struct Content {
    tokens: HostTensor,
    targets: HostTensor,
    ragged: Option<Ragged>,
}

/// What a batch of ragged rows knows besides its tokens.
#[derive(Clone, Debug)]
pub(crate) struct Ragged {
    lengths: HostTensor,
    /// The vocabulary size that is the id of padded targets.
    pub vocab: usize,
    /// Packed rows that hold all true steps.
    pub packed: usize,
    counted: usize,
}

impl LmBatch {
    /// A batch of `rows` full rows of `time` steps: tokens and targets in row-major order.
    ///
    /// Ids are compared with the model's vocabulary when the batch is used, before anything reaches the device.
    ///
    /// # Errors
    /// [`NnError::Batch`] if there are no rows or steps; [`NnError::Graph`] if a part has not rows·time elements.
    pub fn new(rows: usize, time: usize, tokens: Vec<u32>, targets: Vec<u32>) -> Result<Self, NnError> {
        if rows == 0 || time == 0 {
            return Err(NnError::Batch { detail: format!("{rows} rows of {time} steps hold no token") });
        }
        let tokens = HostTensor::u32(&[rows, time], tokens)?;
        let targets = HostTensor::u32(&[rows, time], targets)?;
        Ok(Self::of(Ok(Content { tokens, targets, ragged: None })))
    }

    /// A batch of sequences of any lengths from 2, for a model of `vocab` symbols. Row b predicts `sequences[b][1..]`
    /// from `sequences[b][..len-1]`, and is padded to T = [`padded_time`] of the longest one, so a few programs serve
    /// batches of any lengths.
    ///
    /// # Errors
    /// [`NnError::Batch`] if there is no sequence or one is shorter than 2; [`NnError::UnknownId`] if an id is not below
    /// `vocab`.
    pub fn ragged<S: AsRef<[u32]>>(sequences: &[S], vocab: usize) -> Result<Self, NnError> {
        let time = sequences.iter().map(|s| s.as_ref().len()).max().unwrap_or(0).saturating_sub(1);
        if time == 0 {
            return Err(NnError::Batch { detail: "it needs a sequence of at least 2 tokens".to_owned() });
        }
        let time = padded_time(time);
        let pad = u32::try_from(vocab)
            .map_err(|_| NnError::Batch { detail: format!("a vocabulary of {vocab} has ids beyond u32") })?;
        let rows = sequences.len();
        let (mut tokens, mut targets) = (vec![0; rows * time], vec![pad; rows * time]);
        let mut lengths = Vec::with_capacity(rows);
        for (row, sequence) in sequences.iter().enumerate() {
            let sequence = sequence.as_ref();
            if let Some(index) = sequence.iter().position(|&id| id >= pad) {
                return Err(NnError::UnknownId { id: sequence[index], index, size: vocab });
            }
            let steps = sequence.len().saturating_sub(1);
            if steps == 0 {
                let detail = format!("sequence {row} has {} tokens, it needs at least 2", sequence.len());
                return Err(NnError::Batch { detail });
            }
            tokens[row * time..][..steps].copy_from_slice(&sequence[..steps]);
            targets[row * time..][..steps].copy_from_slice(&sequence[1..]);
            lengths.push(u32::try_from(steps).unwrap_or(u32::MAX));
        }
        let packed = packed_rows(&lengths, time);
        let counted = lengths.iter().map(|&l| l as usize).sum();
        let lengths = HostTensor::u32(&[rows], lengths)?;
        let tokens = HostTensor::u32(&[rows, time], tokens)?;
        let targets = HostTensor::u32(&[rows, time], targets)?;
        let ragged = Some(Ragged { lengths, vocab, packed, counted });
        Ok(Self::of(Ok(Content { tokens, targets, ragged })))
    }

    /// A poisoned batch: every use of it returns `fault`.
    #[must_use]
    pub fn poisoned(fault: NnError) -> Self {
        Self::of(Err(fault))
    }

    fn of(content: Result<Content, NnError>) -> Self {
        Self { content, begins: false, listener: None }
    }

    /// The same batch, whose rows begin new sequences: a model that carries its state starts it from 0.
    #[must_use]
    pub fn beginning(mut self) -> Self {
        self.begins = true;
        self
    }

    /// The same batch, whose step tells `listener` its loss.
    #[must_use]
    pub fn with_listener(mut self, listener: Arc<dyn LossListener>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Rows, B; 0 if it is poisoned.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.dim(0)
    }

    /// Steps that each row is padded to, T; 0 if it is poisoned.
    #[must_use]
    pub fn time(&self) -> usize {
        self.dim(1)
    }

    /// Token ids [B, T]; `None` if it is poisoned.
    #[must_use]
    pub fn tokens(&self) -> Option<&HostTensor> {
        self.content().map(|c| &c.tokens)
    }

    /// Ids to predict [B, T], V on padded steps; `None` if it is poisoned.
    #[must_use]
    pub fn targets(&self) -> Option<&HostTensor> {
        self.content().map(|c| &c.targets)
    }

    /// True steps of each row \[B\], if the batch was made of rows of any lengths.
    #[must_use]
    pub fn lengths(&self) -> Option<&HostTensor> {
        self.ragged_rows().map(|r| &r.lengths)
    }

    /// The vocabulary size that is the id of padded targets; `None` if no row is padded.
    #[must_use]
    pub fn padded_vocab(&self) -> Option<usize> {
        self.ragged_rows().map(|r| r.vocab)
    }

    fn content(&self) -> Option<&Content> {
        self.content.as_ref().ok()
    }

    pub(crate) fn ragged_rows(&self) -> Option<&Ragged> {
        self.content()?.ragged.as_ref()
    }

    fn dim(&self, axis: usize) -> usize {
        self.tokens().and_then(|t| t.shape().get(axis).copied()).unwrap_or(0)
    }
}

impl Batch for LmBatch {
    fn tensors(&self) -> Vec<(&'static str, &HostTensor)> {
        let parts = [("tokens", self.tokens()), ("targets", self.targets()), ("lengths", self.lengths())];
        parts.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))).collect()
    }

    /// The padded id and the number of packed rows are part of the recorded loss.
    fn key(&self) -> u64 {
        self.ragged_rows().map_or(0, |ragged| (ragged.packed as u64) << 32 | ragged.vocab as u64)
    }

    fn fault(&self) -> Option<&NnError> {
        self.content.as_ref().err()
    }

    fn token_count(&self) -> usize {
        self.ragged_rows().map_or_else(|| self.rows() * self.time(), |r| r.counted)
    }

    fn begins(&self) -> bool {
        self.begins
    }

    fn listener(&self) -> Option<&Arc<dyn LossListener>> {
        self.listener.as_ref()
    }
}

impl std::fmt::Debug for LmBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LmBatch")
            .field("rows", &self.rows())
            .field("time", &self.time())
            .field("lengths", &self.lengths().map(HostTensor::data))
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::HostData;

    #[test]
    fn rows_of_any_length_are_padded_with_the_ignored_id() {
        let batch = LmBatch::ragged(&[vec![0, 1, 2, 3], vec![3, 2]], 4).unwrap();
        assert_eq!((batch.rows(), batch.time(), batch.token_count()), (2, 8, 4));
        let padded = |first: [u32; 3], second: u32, filler: u32| {
            HostData::U32([&first[..], &[filler; 5], &[second], &[filler; 7]].concat())
        };
        assert_eq!(batch.tokens().unwrap().data(), &padded([0, 1, 2], 3, 0));
        assert_eq!(batch.targets().unwrap().data(), &padded([1, 2, 3], 2, 4));
        assert_eq!(batch.lengths().unwrap().data(), &HostData::U32(vec![3, 1]));
        assert_ne!(batch.key(), LmBatch::ragged(&[vec![0, 1, 2, 3], vec![3, 2, 1, 0]], 4).unwrap().key());
    }

    /// A program is compiled for each shape and key, so they must not grow with the number of batches.
    #[test]
    fn many_ragged_batches_have_few_shapes() {
        let mut random = 1u32;
        let mut length = |most: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            2 + (random >> 16) % most
        };
        for (rows, most) in [(1, 300), (4, 300), (8, 64), (16, 300)] {
            let batches = (0..1500).map(|_| {
                let rows: Vec<_> = (0..rows).map(|_| vec![0; length(most) as usize]).collect();
                let batch = LmBatch::ragged(&rows, 1).unwrap();
                (batch.time(), batch.key())
            });
            let shapes: std::collections::BTreeSet<_> = batches.collect();
            assert!(shapes.len() <= 150, "{} shapes of {rows} rows of up to {most} steps", shapes.len());
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        assert!(LmBatch::new(2, 3, vec![0; 6], vec![0; 5]).is_err());
        assert!(LmBatch::new(0, 3, vec![], vec![]).is_err());
        let error = LmBatch::ragged(&[vec![0, 7]], 7).unwrap_err();
        assert!(matches!(error, NnError::UnknownId { id: 7, index: 1, size: 7 }), "{error}");
        assert!(LmBatch::ragged(&[vec![0, 1], vec![0]], 7).is_err());
        assert!(LmBatch::ragged::<Vec<u32>>(&[], 7).is_err());
    }

    #[test]
    fn a_poisoned_batch_tells_its_fault() {
        let batch = LmBatch::poisoned(NnError::NamelessVocab { size: 3 });
        assert!(batch.fault().is_some() && batch.tensors().is_empty());
    }
}
