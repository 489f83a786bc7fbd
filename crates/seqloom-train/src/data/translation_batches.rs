//! Batches of sentence pairs of similar lengths.
//!
//! Lengths are rounded up to multiples of a few tokens, so an epoch has few batch shapes and a program is compiled only
//! once for each. [`Cuts`] puts pairs of similar lengths together. Batches with a fixed number of tokens would also fill
//! a device, but have as many shapes as there are numbers of rows.

use seqloom_nn::{NnError, TranslationBatch};

use crate::data::course::{Course, Source};
use crate::data::cuts::Cuts;
use crate::data::parallel_corpus::ParallelCorpus;
use crate::random::mix;

/// Lengths are rounded up to a multiple of this many tokens.
const STEP: usize = 8;

/// Coarsest rounding; beyond it padding could not be held.
const COARSEST: usize = 1 << 16;

/// An iterator over batches of a [`ParallelCorpus`], by default of one epoch, shuffled with seed 0.
///
/// An epoch has max(1, N / B) batches of N pairs; the remaining N mod B wait until the next epoch, unless every pair is
/// asked for. A corpus of fewer pairs than B gives batches of all of them.
///
/// ```
/// # use seqloom_train::{ParallelCorpus, ParallelText, TextCodec, WordOptions};
/// # let text = ParallelText::from_pairs((1..=100).map(|n| ("a ".repeat(n % 20 + 1), "b ".repeat(n % 15 + 1)))).unwrap();
/// # let codec = TextCodec::words(["a b"], WordOptions::default()).unwrap();
/// # let corpus = ParallelCorpus::new(&text, &codec, &codec, 50).unwrap();
/// let mut batches = corpus.batches(8).epochs(2);
/// assert_eq!((batches.per_epoch(), batches.len()), (12, 24));
/// batches.next();
/// let mut resumed = corpus.batches(8).epochs(2).starting_at(batches.position());
/// assert_eq!(batches.next().unwrap().sources(), resumed.next().unwrap().sources());
/// ```
pub type TranslationBatches = Course<Pairs>;

/// The pairs of a parallel corpus, B to a batch: what [`TranslationBatches`] are cut from.
#[derive(Clone, Debug)]
pub struct Pairs {
    corpus: ParallelCorpus,
    /// Steps of the longest source and the longest target: no batch is padded beyond them.
    longest: (usize, usize),
    cuts: Cuts,
    step: usize,
    seed: u64,
}

impl ParallelCorpus {
    /// Batches of `rows` pairs of similar lengths: by default one epoch, shuffled with seed 0 (see
    /// [`TranslationBatches`]).
    #[must_use]
    pub fn batches(&self, rows: usize) -> TranslationBatches {
        TranslationBatches::new(self.clone(), rows)
    }
}

impl TranslationBatches {
    pub(crate) fn new(corpus: ParallelCorpus, rows: usize) -> Self {
        let longest = corpus
            .pairs()
            .iter()
            .fold((0, 0), |(source, target), pair| (source.max(pair.0.len()), target.max(pair.1.len() + 1)));
        Self::over(Pairs { cuts: Cuts::new(corpus.len(), rows), corpus, longest, step: STEP, seed: 0 })
    }

    /// Rounds lengths up to multiples of `step` tokens instead of 8: 1 pads least and gives most shapes. The corpus's
    /// longest sentences are not padded, so a model that reads them reads every batch.
    #[must_use]
    pub fn rounded_to(self, step: usize) -> Self {
        self.with(|source| source.step = step)
    }

    /// Shuffles by this seed.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        self.with(|source| source.seed = seed)
    }

    /// Every epoch has every pair, the last few in a smaller batch: for figures over a whole corpus.
    #[must_use]
    pub fn every_pair(self) -> Self {
        self.with(|source| source.cuts.every = true)
    }
}

impl Pairs {
    /// A pair's steps, S and T, rounded up but not beyond the longest; a target takes one more than it has tokens.
    fn shape(&self, pair: usize) -> (usize, usize) {
        let (source, target) = &self.corpus.pairs()[pair];
        let rounded = |steps: usize, most: usize| steps.next_multiple_of(self.step).min(most);
        (rounded(source.len(), self.longest.0), rounded(target.len() + 1, self.longest.1))
    }
}

impl Source for Pairs {
    type Batch = TranslationBatch;
    /// The epoch's batches, each the numbers of its pairs.
    type Plan = Vec<Vec<usize>>;

    /// [`NnError::Batch`] if there are no rows, or the multiple for rounding is 0 or above 65536.
    fn check(&self) -> Result<(), NnError> {
        let detail = match (self.cuts.rows, self.step) {
            (0, _) => "0 rows hold no sentence".to_owned(),
            (_, 1..=COARSEST) => return Ok(()),
            (_, step) => format!("lengths cannot be rounded to multiples of {step}, only of 1 to {COARSEST}"),
        };
        Err(NnError::Batch { detail })
    }

    fn per_epoch(&self) -> u64 {
        self.cuts.count()
    }

    fn plan(&self, epoch: u64) -> Vec<Vec<usize>> {
        // Targets rise and fall in turn as sources grow, so a batch across a border mixes neighbouring shapes.
        self.cuts.by_length(mix(self.seed, epoch), |pair| {
            let (source, target) = self.shape(pair);
            let rises = source.div_ceil(self.step).is_multiple_of(2);
            (source, if rises { target } else { usize::MAX - target })
        })
    }

    fn cut(&self, plan: &Vec<Vec<usize>>, step: usize) -> Result<TranslationBatch, NnError> {
        let batch = plan.get(step).map(Vec::as_slice).unwrap_or_default();
        let (mut sources, mut targets) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let (mut source_time, mut target_time) = (0, 0);
        for &pair in batch {
            let (source, target) = &self.corpus.pairs()[pair];
            let (s, t) = self.shape(pair);
            (source_time, target_time) = (source_time.max(s), target_time.max(t));
            sources.push(source.as_slice());
            targets.push(target.as_slice());
        }
        TranslationBatch::padded(&sources, &targets, self.corpus.vocab(), source_time, target_time)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::data::parallel_text::ParallelText;
    use crate::data::text_codec::{TextCodec, WordOptions};
    use crate::random::below;
    use seqloom_graph::{HostData, HostTensor};
    use seqloom_nn::Batch;

    /// `pairs` pairs of 1 to 40 source tokens and a similar number of target tokens; each source begins with its own word.
    fn corpus(pairs: usize) -> ParallelCorpus {
        let line = |n: usize| {
            let tokens = below(1, n as u64, 40) + 1;
            let more = tokens + below(2, n as u64, 5);
            (format!("s{n} {}", "a ".repeat(tokens - 1)), "b ".repeat(more))
        };
        let text = ParallelText::from_pairs((0..pairs).map(line)).unwrap();
        let source = TextCodec::words(text.sources(), WordOptions::default()).unwrap();
        let target = TextCodec::words(text.targets(), WordOptions::default()).unwrap();
        ParallelCorpus::new(&text, &source, &target, 100).unwrap()
    }

    fn ids(tensor: Option<&HostTensor>) -> Vec<u32> {
        match tensor.unwrap().data() {
            HostData::U32(ids) => ids.clone(),
            _ => Vec::new(),
        }
    }

    /// First tokens of the batch's sources; they identify the pairs.
    fn firsts(batch: &TranslationBatch) -> Vec<u32> {
        ids(batch.sources()).chunks(batch.source_time()).map(|row| row[0]).collect()
    }

    #[test]
    fn little_is_padding_and_shapes_are_few() {
        let corpus = corpus(2000);
        let batches: Vec<_> = corpus.batches(20).collect();
        assert_eq!(batches.len(), 100);
        let shapes: BTreeSet<_> = batches.iter().map(|b| (b.source_time(), b.target_time())).collect();
        assert!(shapes.len() <= 20, "{shapes:?}");
        let source = corpus.pairs().iter().map(|(source, _)| source.len()).max().unwrap();
        let target = corpus.pairs().iter().map(|(_, target)| target.len() + 1).max().unwrap();
        assert!(shapes.iter().all(|&(s, t)| (s % 8 == 0 || s == source) && (t % 8 == 0 || t == target)));
        // 45 steps are not rounded up to 48, which a model for sentences of 45 could not read.
        assert_eq!(shapes.iter().map(|(_, t)| *t).max(), Some(target));
        assert_ne!(target % 8, 0);
        let room: usize = batches.iter().map(|b| b.rows() * b.source_time()).sum();
        let used: u32 = batches.iter().flat_map(|b| ids(b.source_lengths())).sum();
        // Rounding alone leaves 3.5 of 24 steps empty on average; batches across borders a little more. Batches in the order
        // of the lines would fill half.
        let share = f64::from(used) / room as f64;
        assert!(share > 0.8, "{share}");
    }

    #[test]
    fn an_epoch_has_each_pair_at_most_once_and_all_when_asked() {
        let corpus = corpus(103);
        let seen = |batches: TranslationBatches| batches.flat_map(|b| firsts(&b)).collect::<Vec<_>>();
        let some = seen(corpus.batches(10));
        assert_eq!(some.len(), 100);
        assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), 100);
        let all = seen(corpus.batches(10).every_pair());
        assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (103, 103));
        // Other pairs are left out in each epoch, so two epochs miss fewer than one.
        let two: BTreeSet<_> = seen(corpus.batches(10).epochs(2)).into_iter().collect();
        assert!(two.len() > 100, "{}", two.len());
    }

    #[test]
    fn epochs_and_seeds_differ_and_positions_repeat() {
        let corpus = corpus(100);
        let order = |batches: TranslationBatches| batches.map(|b| firsts(&b)).collect::<Vec<_>>();
        let all = order(corpus.batches(10).seeded(3).epochs(2));
        assert_eq!(all.len(), 20);
        assert_ne!(all[..10], all[10..]);
        assert_ne!(all, order(corpus.batches(10).seeded(4).epochs(2)));
        assert_eq!(order(corpus.batches(10).seeded(3).epochs(2).starting_at(7)), all[7..]);
        assert_eq!(order(corpus.batches(10).seeded(3).steps(13)), all[..13]);
        assert_eq!(firsts(&corpus.batches(10).seeded(3).batch(15)), all[15]);
    }

    #[test]
    fn the_end_follows_settings_made_later() {
        let corpus = corpus(15);
        assert_eq!(corpus.batches(10).epochs(2).every_pair().len(), 4);
        // Fewer pairs than rows: all of them.
        assert_eq!(corpus.batches(99).next().unwrap().rows(), 15);
    }

    #[test]
    fn batches_that_cannot_be_cut_tell_why() {
        let corpus = corpus(5);
        for batches in
            [corpus.batches(0), corpus.batches(2).rounded_to(0), corpus.batches(2).rounded_to(usize::MAX)]
        {
            assert!(matches!(batches.check(), Err(NnError::Batch { .. })));
            assert!(batches.clone().next().unwrap().fault().is_some());
        }
    }
}
