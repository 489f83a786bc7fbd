//! A batch for masked language models: rows with some tokens replaced, and the original tokens.
//!
//! The host chooses the tokens from a seed, so a run can be repeated; the rule is that of Devlin et al. 2019. The
//! chosen places are a list of numbers, not a mask over all steps, so the model's head computes only for them. Their
//! number is rounded up to 1/32 of all steps, so a few programs serve ragged batches; full rows of one length always
//! have the same number.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use seqloom_graph::HostTensor;

use crate::batch::inputs::Inputs;
use crate::batch::{Batch, padded_time};
use crate::error::NnError;

/// Which tokens are hidden, and how.
///
/// In each row a share `ratio` of the eligible tokens is chosen, rounded, at least one. Of these 80 % become `mask`, 10
/// % become any eligible symbol, and 10 % stay, so the model cannot tell which tokens to distrust.
#[derive(Clone, Debug, PartialEq)]
pub struct Masking {
    /// Number of symbols, V.
    pub vocab: usize,
    /// The symbol that hides others; never chosen.
    pub mask: u32,
    /// Other symbols that are never chosen and never stand in for another, such as those that begin and end a row.
    pub kept: Vec<u32>,
    /// Share of a row's tokens that is chosen, above 0 and at most 1.
    pub ratio: f64,
}

/// Share of the chosen tokens that becomes the mask, and that becomes another symbol.
const MASKED: f64 = 0.8;
const REPLACED: f64 = 0.1;

impl Masking {
    /// The ratio of the paper, 0.15, and no symbols that are kept.
    #[must_use]
    pub fn new(vocab: usize, mask: u32) -> Self {
        Self { vocab, mask, kept: Vec::new(), ratio: 0.15 }
    }

    /// Whether a symbol may be chosen.
    fn open(&self, id: u32) -> bool {
        id != self.mask && !self.kept.contains(&id)
    }

    fn check(&self) -> Result<(), NnError> {
        if !(self.ratio > 0.0 && self.ratio <= 1.0) {
            return Err(NnError::MaskRatio { ratio: self.ratio });
        }
        let known = |id: u32| (id as usize) < self.vocab;
        match std::iter::once(&self.mask).chain(&self.kept).enumerate().find(|(_, id)| !known(**id)) {
            Some((index, &id)) => Err(NnError::UnknownId { id, index, size: self.vocab }),
            None => Ok(()),
        }
    }
}

/// Rows of tokens [B, T], some of them hidden, with the places and the original tokens of those. Rows may have their
/// own lengths.
///
/// ```
/// # use seqloom_nn::{MaskedBatch, Masking};
/// let batch = MaskedBatch::new(&[[1, 2, 3, 4, 5, 6, 0]; 2], &Masking::new(8, 7), 42).unwrap();
/// assert_eq!((batch.rows(), batch.time(), batch.place_count()), (2, 7, 2));
/// ```
#[derive(Clone)]
pub struct MaskedBatch {
    inputs: Inputs,
    /// `None` if it is poisoned.
    vocab: Option<usize>,
}

impl MaskedBatch {
    /// A batch of these rows. Ragged rows are padded to T = [`padded_time`] of the longest one. `seed` decides which
    /// tokens are hidden, so use another seed in each step.
    ///
    /// # Errors
    /// [`NnError::Batch`] if there is no row, one is empty, or no token may be chosen; [`NnError::UnknownId`] for the first id
    /// that is not below V, of the masking or the rows; [`NnError::MaskRatio`].
    pub fn new<S: AsRef<[u32]>>(rows: &[S], masking: &Masking, seed: u64) -> Result<Self, NnError> {
        masking.check()?;
        let longest = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
        let full = rows.iter().all(|row| row.as_ref().len() == longest);
        let time = if full { longest } else { padded_time(longest) };
        let (ignored, steps) = match (u32::try_from(masking.vocab), rows.len().checked_mul(time)) {
            (Ok(vocab), Some(steps)) if u32::try_from(steps).is_ok() => (vocab, steps),
            _ => {
                let detail = format!(
                    "{} rows of up to {time} of {} symbols are beyond u32",
                    rows.len(),
                    masking.vocab
                );
                return Err(NnError::Batch { detail });
            }
        };
        if let Some(row) = rows.iter().position(|row| row.as_ref().is_empty()) {
            return Err(NnError::Batch { detail: format!("row {row} has no token") });
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let open: Vec<u32> = (0..ignored).filter(|&id| masking.open(id)).collect();
        let mut tokens = vec![0; steps];
        let (mut places, mut targets, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (number, row) in rows.iter().enumerate() {
            let row = row.as_ref();
            if let Some(index) = row.iter().position(|&id| id >= ignored) {
                return Err(NnError::UnknownId { id: row[index], index, size: masking.vocab });
            }
            let begin = number * time;
            tokens[begin..][..row.len()].copy_from_slice(row);
            lengths.push(row.len() as u32);
            for step in chosen(row, masking, &mut random) {
                places.push((begin + step) as u32);
                targets.push(row[step]);
                let luck = uniform(&mut random);
                if luck < MASKED {
                    tokens[begin + step] = masking.mask;
                } else if luck < MASKED + REPLACED {
                    tokens[begin + step] = open[below(&mut random, open.len())];
                }
            }
        }
        let hidden = places.len();
        if hidden == 0 {
            return Err(NnError::Batch { detail: "it has no token that may be hidden".to_owned() });
        }
        if !full {
            let surplus = hidden.next_multiple_of(steps.div_ceil(32).max(1));
            places.resize(surplus, 0);
            targets.resize(surplus, ignored);
        }
        let mut inputs = Inputs::new().ids("tokens", &[rows.len(), time], tokens);
        if !full {
            inputs = inputs.padded_lengths("lengths", time, lengths);
        }
        let inputs = inputs
            .ids("places", &[places.len()], places)
            .ids("targets", &[targets.len()], targets)
            .counting(hidden);
        Ok(Self { inputs, vocab: Some(masking.vocab) })
    }

    /// A poisoned batch: every use of it returns `fault`.
    #[must_use]
    pub fn poisoned(fault: NnError) -> Self {
        Self { inputs: Inputs::poisoned(fault), vocab: None }
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

    /// Places listed, M: the hidden tokens and, in ragged batches, some surplus ones; 0 if it is poisoned.
    #[must_use]
    pub fn place_count(&self) -> usize {
        self.inputs.dim("places", 0)
    }

    /// V; `None` if it is poisoned, as all below.
    #[must_use]
    pub fn vocab(&self) -> Option<usize> {
        self.vocab
    }

    /// Token ids [B, T] as the model reads them, 0 on padded steps.
    #[must_use]
    pub fn tokens(&self) -> Option<&HostTensor> {
        self.inputs.host("tokens")
    }

    /// True steps of each row \[B\]; `None` too if all rows have T.
    #[must_use]
    pub fn lengths(&self) -> Option<&HostTensor> {
        self.inputs.host("lengths")
    }

    /// Numbers b·T + t of the hidden tokens \[M\]; 0 for surplus ones.
    #[must_use]
    pub fn places(&self) -> Option<&HostTensor> {
        self.inputs.host("places")
    }

    /// The original tokens there \[M\]; V for surplus places.
    #[must_use]
    pub fn targets(&self) -> Option<&HostTensor> {
        self.inputs.host("targets")
    }
}

/// Steps of a row that are chosen, in order.
fn chosen(row: &[u32], masking: &Masking, random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut open: Vec<usize> = (0..row.len()).filter(|&step| masking.open(row[step])).collect();
    let count = ((open.len() as f64 * masking.ratio).round() as usize).max(1).min(open.len());
    // The first part of a shuffle (Fisher and Yates).
    for place in 0..count {
        let from = place + below(random, open.len() - place);
        open.swap(place, from);
    }
    open.truncate(count);
    open.sort_unstable();
    open
}

/// A number in [0, 1).
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// A number below `limit`, which is at least 1.
fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    ((u64::from(random.next_u32()) * limit as u64) >> 32) as usize
}

impl Batch for MaskedBatch {
    fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    fn inputs_mut(&mut self) -> &mut Inputs {
        &mut self.inputs
    }

    /// The surplus id is part of the recorded loss.
    fn key(&self) -> u64 {
        self.vocab.unwrap_or(0) as u64
    }
}

impl From<NnError> for MaskedBatch {
    fn from(fault: NnError) -> Self {
        Self::poisoned(fault)
    }
}

impl std::fmt::Debug for MaskedBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskedBatch")
            .field("rows", &self.rows())
            .field("time", &self.time())
            .field("hidden", &self.token_count())
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::HostData;

    fn ids(tensor: Option<&HostTensor>) -> Vec<u32> {
        match tensor.unwrap().data() {
            HostData::U32(ids) => ids.clone(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn hidden_tokens_are_masked_replaced_and_left_in_their_shares() {
        let masking = Masking { kept: vec![0, 1], ..Masking::new(20, 19) };
        let row: Vec<u32> = [0].into_iter().chain((0..198).map(|i| 2 + i % 17)).chain([1]).collect();
        let rows = vec![row.clone(); 50];
        let batch = MaskedBatch::new(&rows, &masking, 3).unwrap();
        // 15 of 100 of 198, rounded, in each row.
        assert_eq!((batch.place_count(), batch.token_count()), (50 * 30, 50 * 30));
        assert!(batch.lengths().is_none());
        let (tokens, places, targets) = (ids(batch.tokens()), ids(batch.places()), ids(batch.targets()));
        assert!(places.is_sorted() && places.windows(2).all(|pair| pair[0] != pair[1]));
        let mut shares = [0f64; 3];
        for (&place, &target) in places.iter().zip(&targets) {
            assert_eq!(target, row[place as usize % 200]);
            assert!(target > 1);
            let read = tokens[place as usize];
            assert!(read > 1, "a symbol that is kept stands in for another");
            shares[if read == 19 { 0 } else { 1 + usize::from(read == target) }] += 1.0 / 1500.0;
        }
        // Four deviations of 1500 choices are 0.04; one of the 17 symbols that stand in is the right one.
        for (has, needs) in shares.iter().zip([0.8, 0.1 * 16.0 / 17.0, 0.1 + 0.1 / 17.0]) {
            assert!((has - needs).abs() < 0.04, "{shares:?}");
        }
        let untouched = (0..tokens.len()).filter(|i| !places.contains(&(*i as u32)));
        assert!(untouched.into_iter().all(|i| tokens[i] == row[i % 200]));
        let again = |seed| ids(MaskedBatch::new(&rows, &masking, seed).unwrap().tokens());
        assert_eq!(again(3), tokens);
        assert_ne!(again(4), tokens);
    }

    #[test]
    fn ragged_rows_have_lengths_and_surplus_places() {
        let rows = [vec![1; 40], vec![2; 3], vec![3; 24]];
        let batch = MaskedBatch::new(&rows, &Masking::new(9, 8), 1).unwrap();
        assert_eq!(ids(batch.lengths()), [40, 3, 24]);
        // 6 + 1 + 4, rounded up to a multiple of 4, a 32nd of 120.
        assert_eq!((batch.token_count(), batch.place_count()), (11, 12));
        assert_eq!((ids(batch.places())[11], ids(batch.targets())[11]), (0, 9));
        assert_eq!(ids(batch.targets())[..11], [1, 1, 1, 1, 1, 1, 2, 3, 3, 3, 3]);
        assert_eq!(batch.tensors().len(), 4);
    }

    #[test]
    fn what_cannot_be_hidden_is_refused() {
        let masking = Masking::new(9, 8);
        let batch = |rows: &[Vec<u32>], masking: &Masking| MaskedBatch::new(rows, masking, 1).unwrap_err();
        assert!(matches!(batch(&[], &masking), NnError::Batch { .. }));
        assert!(batch(&[vec![1], vec![]], &masking).to_string().contains("row 1 has no token"));
        assert!(batch(&[vec![8]], &masking).to_string().contains("no token that may be hidden"));
        assert!(matches!(batch(&[vec![1, 9]], &masking), NnError::UnknownId { id: 9, index: 1, size: 9 }));
        assert!(matches!(batch(&[vec![1]], &Masking::new(9, 9)), NnError::UnknownId { id: 9, .. }));
        for ratio in [0.0, 1.5, f64::NAN] {
            let masking = Masking { ratio, ..masking.clone() };
            assert!(matches!(batch(&[vec![1]], &masking), NnError::MaskRatio { .. }));
        }
        let poisoned = MaskedBatch::poisoned(NnError::MaskRatio { ratio: 2.0 });
        assert!(poisoned.fault().is_some() && poisoned.tensors().is_empty() && poisoned.vocab().is_none());
    }
}
