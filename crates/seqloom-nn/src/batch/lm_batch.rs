//! A batch for language models.
//!
//! Ragged rows are padded here, once, and carry their lengths. Targets on padded steps get the id V, one past the last
//! symbol, which the loss ignores. A separate mask tensor would say the same in more memory and could disagree with it.

use seqloom_graph::HostTensor;

use crate::batch::inputs::Inputs;
use crate::batch::{Batch, padded_time};
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
    inputs: Inputs,
    /// Of ragged rows: the vocabulary size, which is the id of padded targets.
    padded: Option<usize>,
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
        let inputs = Inputs::new().tensor("tokens", tokens).tensor("targets", targets).counting(rows * time);
        Ok(Self { inputs, padded: None })
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
        let counted = lengths.iter().map(|&l| l as usize).sum();
        let inputs = Inputs::new()
            .ids("tokens", &[rows, time], tokens)
            .ids("targets", &[rows, time], targets)
            .lengths("lengths", time, lengths)
            .counting(counted);
        Ok(Self { inputs, padded: Some(vocab) })
    }

    /// A poisoned batch: every use of it returns `fault`.
    #[must_use]
    pub fn poisoned(fault: NnError) -> Self {
        Self { inputs: Inputs::poisoned(fault), padded: None }
    }

    /// The same batch, whose rows begin new sequences: a model that carries its state starts it from 0.
    #[must_use]
    pub fn beginning(mut self) -> Self {
        self.inputs = self.inputs.beginning();
        self
    }

    /// Rows, B; 0 if it is poisoned.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.inputs.dim("tokens", 0)
    }

    /// Steps that each row is padded to, T; 0 if it is poisoned.
    #[must_use]
    pub fn time(&self) -> usize {
        self.inputs.dim("tokens", 1)
    }

    /// Token ids [B, T]; `None` if it is poisoned.
    #[must_use]
    pub fn tokens(&self) -> Option<&HostTensor> {
        self.inputs.host("tokens")
    }

    /// Ids to predict [B, T], V on padded steps; `None` if it is poisoned.
    #[must_use]
    pub fn targets(&self) -> Option<&HostTensor> {
        self.inputs.host("targets")
    }

    /// True steps of each row \[B\], if the batch was made of rows of any lengths.
    #[must_use]
    pub fn lengths(&self) -> Option<&HostTensor> {
        self.inputs.host("lengths")
    }

    /// The vocabulary size that is the id of padded targets; `None` if no row is padded.
    #[must_use]
    pub fn padded_vocab(&self) -> Option<usize> {
        self.padded
    }
}

impl Batch for LmBatch {
    fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    fn inputs_mut(&mut self) -> &mut Inputs {
        &mut self.inputs
    }

    /// The padded id is part of the recorded loss.
    fn key(&self) -> u64 {
        self.padded.map_or(0, |vocab| vocab as u64)
    }
}

impl From<NnError> for LmBatch {
    fn from(fault: NnError) -> Self {
        Self::poisoned(fault)
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
        let other = LmBatch::ragged(&[vec![0, 1, 2, 3], vec![3, 2, 1, 0]], 4).unwrap();
        assert_ne!(batch.inputs().packing(), other.inputs().packing());
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
                (batch.time(), batch.inputs().packing())
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
