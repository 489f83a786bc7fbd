//! A batch for models that read one sentence and write another.
//!
//! Both sides are padded here, once, and carry their lengths. A target sentence w₁ … wₙ becomes two rows: the decoder
//! reads `<bos>` w₁ … wₙ and must write w₁ … wₙ `<eos>`. Padded steps read id 0 and must write the id V, one past the
//! target's last symbol, which the loss ignores. A batch can be padded beyond its longest sentence, so batches of
//! several lengths share one shape and one program.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seqloom_graph::HostTensor;

use crate::batch::Batch;
use crate::batch::inputs::Inputs;
use crate::error::{NnError, SentenceFault, Side};
use crate::random::uniform;

/// The vocabularies of a batch's two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslationVocab {
    /// Number of source ids.
    pub source: usize,
    /// Number of target ids, V.
    pub target: usize,
    /// Target id that a decoder reads first.
    pub bos: u32,
    /// Target id that a decoder writes last.
    pub eos: u32,
}

/// Pairs of sentences: B of them, sources of up to S tokens and targets of up to T − 1.
///
/// ```
/// # use seqloom_nn::{TranslationBatch, TranslationVocab};
/// # use seqloom_graph::HostData;
/// let vocab = TranslationVocab { source: 10, target: 8, bos: 1, eos: 2 };
/// let batch = TranslationBatch::new(&[vec![4, 5, 6], vec![7]], &[vec![3], vec![4, 5]], vocab).unwrap();
/// let ids = |tensor: Option<&seqloom_graph::HostTensor>| tensor.map(|t| t.data().clone());
/// assert_eq!(ids(batch.sources()), Some(HostData::U32(vec![4, 5, 6, 7, 0, 0])));
/// assert_eq!(ids(batch.target_inputs()), Some(HostData::U32(vec![1, 3, 0, 1, 4, 5])));
/// assert_eq!(ids(batch.target_outputs()), Some(HostData::U32(vec![3, 2, 8, 4, 5, 2])));
/// assert_eq!(ids(batch.target_lengths()), Some(HostData::U32(vec![2, 3])));
/// ```
#[derive(Clone)]
pub struct TranslationBatch {
    inputs: Inputs,
    /// `None` if it is poisoned.
    vocab: Option<TranslationVocab>,
}

/// Rows of one side: ids [B, time] and lengths \[B\].
struct Padded {
    ids: Vec<u32>,
    lengths: Vec<u32>,
}

impl TranslationBatch {
    /// A batch padded to its longest sentence on either side.
    ///
    /// # Errors
    /// As [`TranslationBatch::padded`].
    pub fn new<S: AsRef<[u32]>, T: AsRef<[u32]>>(
        sources: &[S],
        targets: &[T],
        vocab: TranslationVocab,
    ) -> Result<Self, NnError> {
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        let source_time = longest(&mut sources.iter().map(|s| s.as_ref().len())).max(1);
        let target_time = longest(&mut targets.iter().map(|t| t.as_ref().len())) + 1;
        Self::padded(sources, targets, vocab, source_time, target_time)
    }

    /// A batch padded to S = `source_time` and T = `target_time` steps; a target of n tokens takes n + 1 of them. Sentences
    /// hold neither `<bos>` nor `<eos>`. An empty target is one that ends at once.
    ///
    /// # Errors
    /// [`NnError::Batch`] if there are no pairs, or the numbers of sources and targets differ;
    /// [`NnError::Sentence`] names the first sentence that is an empty source, holds an id beyond its vocabulary, or
    /// takes more steps than there are; [`NnError::UnknownId`] if `bos` or `eos` is no target id.
    pub fn padded<S: AsRef<[u32]>, T: AsRef<[u32]>>(
        sources: &[S],
        targets: &[T],
        vocab: TranslationVocab,
        source_time: usize,
        target_time: usize,
    ) -> Result<Self, NnError> {
        let rows = sources.len();
        if rows == 0 || rows != targets.len() {
            let detail = format!(
                "{rows} source and {} target sentences, it needs as many and at least 1",
                targets.len()
            );
            return Err(NnError::Batch { detail });
        }
        let ignored = u32::try_from(vocab.target).map_err(|_| NnError::Batch {
            detail: format!("a vocabulary of {} has ids beyond u32", vocab.target),
        })?;
        if let Some(&id) = [vocab.bos, vocab.eos].iter().find(|&&id| id >= ignored) {
            return Err(NnError::UnknownId { id, index: 0, size: vocab.target });
        }
        let sources: Vec<_> = sources.iter().map(|s| s.as_ref().to_vec()).collect();
        let inputs: Vec<_> = targets.iter().map(|t| [&[vocab.bos], t.as_ref()].concat()).collect();
        let outputs: Vec<_> = targets.iter().map(|t| [t.as_ref(), &[vocab.eos]].concat()).collect();
        let read = pad(Side::Source, &sources, source_time, 0, vocab.source)?;
        // Outputs first: their positions are those of the sentence, so a fault names the right one.
        let written = pad(Side::Target, &outputs, target_time, ignored, vocab.target)?;
        let given = pad(Side::Target, &inputs, target_time, 0, vocab.target)?;
        let (source_shape, target_shape) = ([rows, source_time], [rows, target_time]);
        let inputs = Inputs::new()
            .ids("sources", &source_shape, read.ids)
            .lengths("source_lengths", source_time, read.lengths)
            .ids("target_inputs", &target_shape, given.ids)
            .ids("target_outputs", &target_shape, written.ids)
            .lengths("target_lengths", target_time, written.lengths)
            .counting(outputs.iter().map(Vec::len).sum());
        Ok(Self { inputs, vocab: Some(vocab) })
    }

    /// A poisoned batch: every use of it returns `fault`.
    #[must_use]
    pub fn poisoned(fault: NnError) -> Self {
        Self { inputs: Inputs::poisoned(fault), vocab: None }
    }

    /// The same batch, but the decoder is given each token only with probability `ratio`, and otherwise reads the token
    /// that it finds likeliest itself (scheduled sampling, Bengio et al. 2015). `<bos>` is always given. `seed` decides
    /// which tokens these are; use another seed in each step. A ratio of 1 is plain teacher forcing.
    ///
    /// # Errors
    /// [`NnError::TeacherForcing`] unless 0 ≤ `ratio` ≤ 1.
    pub fn with_teacher_forcing(mut self, ratio: f64, seed: u64) -> Result<Self, NnError> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(NnError::TeacherForcing { ratio });
        }
        let (rows, time) = (self.rows(), self.target_time());
        self.inputs.remove("teacher");
        if ratio < 1.0 && self.inputs.fault().is_none() {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let given = (0..rows * time).map(|i| i % time == 0 || uniform(&mut random) < ratio);
            let mask = given.map(|given| f32::from(u8::from(given))).collect();
            self.inputs.add("teacher", HostTensor::f32(&[rows, time], mask)?);
        }
        Ok(self)
    }

    /// Pairs, B; 0 if it is poisoned.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.inputs.dim("sources", 0)
    }

    /// Steps of the sources, S; 0 if it is poisoned.
    #[must_use]
    pub fn source_time(&self) -> usize {
        self.inputs.dim("sources", 1)
    }

    /// Steps of the targets, T; 0 if it is poisoned.
    #[must_use]
    pub fn target_time(&self) -> usize {
        self.inputs.dim("target_inputs", 1)
    }

    /// The ids it is written in; `None` if it is poisoned.
    #[must_use]
    pub fn vocab(&self) -> Option<TranslationVocab> {
        self.vocab
    }

    /// Source ids [B, S], 0 on padded steps; `None` if it is poisoned, as all below.
    #[must_use]
    pub fn sources(&self) -> Option<&HostTensor> {
        self.inputs.host("sources")
    }

    /// True steps of each source \[B\], each at least 1.
    #[must_use]
    pub fn source_lengths(&self) -> Option<&HostTensor> {
        self.inputs.host("source_lengths")
    }

    /// Ids that the decoder reads [B, T]: `<bos>` and the sentence, 0 on padded steps.
    #[must_use]
    pub fn target_inputs(&self) -> Option<&HostTensor> {
        self.inputs.host("target_inputs")
    }

    /// Ids that the decoder must write [B, T]: the sentence and `<eos>`, V on padded steps.
    #[must_use]
    pub fn target_outputs(&self) -> Option<&HostTensor> {
        self.inputs.host("target_outputs")
    }

    /// True steps of each target \[B\], `<eos>` counted, so each is at least 1.
    #[must_use]
    pub fn target_lengths(&self) -> Option<&HostTensor> {
        self.inputs.host("target_lengths")
    }

    /// For each target step, whether the decoder is given its token (1) or reads its own (0) [B, T]; `None` if it is given
    /// all of them.
    #[must_use]
    pub fn teacher(&self) -> Option<&HostTensor> {
        self.inputs.host("teacher")
    }
}

/// Pads `rows` to `time` steps of `filler`, after checking that their ids are below `size`.
fn pad(side: Side, rows: &[Vec<u32>], time: usize, filler: u32, size: usize) -> Result<Padded, NnError> {
    let mut ids = vec![filler; rows.len() * time];
    let mut lengths = Vec::with_capacity(rows.len());
    for (row, sentence) in rows.iter().enumerate() {
        let fault = |fault| NnError::Sentence { side, row, fault };
        let steps = sentence.len();
        if steps == 0 {
            return Err(fault(SentenceFault::Empty));
        }
        if steps > time {
            return Err(fault(SentenceFault::TooLong { steps, room: time }));
        }
        if let Some(position) = sentence.iter().position(|&id| id as usize >= size) {
            return Err(fault(SentenceFault::UnknownId { id: sentence[position], position, size }));
        }
        ids[row * time..][..steps].copy_from_slice(sentence);
        lengths.push(u32::try_from(steps).map_err(|_| fault(SentenceFault::TooLong { steps, room: time }))?);
    }
    Ok(Padded { ids, lengths })
}

impl Batch for TranslationBatch {
    fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    fn inputs_mut(&mut self) -> &mut Inputs {
        &mut self.inputs
    }

    /// The padded target id is part of the recorded loss.
    fn key(&self) -> u64 {
        self.vocab.map_or(0, |vocab| vocab.target as u64)
    }
}

impl From<NnError> for TranslationBatch {
    fn from(fault: NnError) -> Self {
        Self::poisoned(fault)
    }
}

impl std::fmt::Debug for TranslationBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TranslationBatch")
            .field("rows", &self.rows())
            .field("source_time", &self.source_time())
            .field("target_time", &self.target_time())
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::HostData;

    const VOCAB: TranslationVocab = TranslationVocab { source: 10, target: 8, bos: 1, eos: 2 };

    fn fault(sources: &[Vec<u32>], targets: &[Vec<u32>]) -> NnError {
        TranslationBatch::padded(sources, targets, VOCAB, 3, 3).unwrap_err()
    }

    #[test]
    fn a_batch_can_have_more_steps_than_its_longest_sentence() {
        let batch = TranslationBatch::padded(&[[9, 8]], &[[7]], VOCAB, 4, 3).unwrap();
        assert_eq!((batch.rows(), batch.source_time(), batch.target_time()), (1, 4, 3));
        assert_eq!(batch.sources().unwrap().data(), &HostData::U32(vec![9, 8, 0, 0]));
        assert_eq!(batch.source_lengths().unwrap().data(), &HostData::U32(vec![2]));
        assert_eq!(batch.target_inputs().unwrap().data(), &HostData::U32(vec![1, 7, 0]));
        assert_eq!(batch.target_outputs().unwrap().data(), &HostData::U32(vec![7, 2, 8]));
        assert_eq!(batch.token_count(), 2);
        assert_eq!(batch.tensors().len(), 5);
    }

    #[test]
    fn an_empty_target_ends_at_once() {
        let batch = TranslationBatch::new(&[[9]], &[[]], VOCAB).unwrap();
        assert_eq!(batch.target_inputs().unwrap().data(), &HostData::U32(vec![1]));
        assert_eq!(batch.target_outputs().unwrap().data(), &HostData::U32(vec![2]));
    }

    #[test]
    fn the_sentence_at_fault_is_named() {
        let error = fault(&[vec![1], vec![]], &[vec![3], vec![3]]);
        assert_eq!(error.to_string(), "source sentence 1 is empty");
        let error = fault(&[vec![1, 10]], &[vec![3]]);
        let unknown = SentenceFault::UnknownId { id: 10, position: 1, size: 10 };
        assert!(
            matches!(error, NnError::Sentence { side: Side::Source, row: 0, fault } if fault == unknown),
            "{error}"
        );
        let error = fault(&[vec![1]], &[vec![8]]);
        let unknown = SentenceFault::UnknownId { id: 8, position: 0, size: 8 };
        assert!(
            matches!(error, NnError::Sentence { side: Side::Target, row: 0, fault } if fault == unknown),
            "{error}"
        );
        let error = fault(&[vec![1]], &[vec![3, 3, 3]]);
        assert!(error.to_string().contains("takes 4 steps, the batch has 3"), "{error}");
        assert!(matches!(fault(&[vec![1; 4]], &[vec![3]]), NnError::Sentence { side: Side::Source, .. }));
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        assert!(matches!(fault(&[], &[]), NnError::Batch { .. }));
        assert!(matches!(fault(&[vec![1]], &[]), NnError::Batch { .. }));
        let odd = TranslationVocab { eos: 8, ..VOCAB };
        let error = TranslationBatch::new(&[[1]], &[[3]], odd).unwrap_err();
        assert!(matches!(error, NnError::UnknownId { id: 8, size: 8, .. }), "{error}");
        let batch = TranslationBatch::poisoned(error);
        assert!(batch.fault().is_some() && batch.tensors().is_empty() && batch.vocab().is_none());
    }

    #[test]
    fn teacher_forcing_follows_its_ratio_and_seed() {
        let batch = TranslationBatch::new(&[[1]; 50], &[[3; 19]; 50], VOCAB).unwrap();
        let forced = |ratio, seed| batch.clone().with_teacher_forcing(ratio, seed).unwrap();
        let mask = |ratio, seed| match forced(ratio, seed).teacher().unwrap().data() {
            HostData::F32(mask) => mask.clone(),
            _ => Vec::new(),
        };
        assert!(forced(1.0, 1).teacher().is_none() && batch.teacher().is_none());
        assert_eq!(mask(0.0, 1).iter().sum::<f32>(), 50.0, "<bos> alone");
        let half = mask(0.5, 1);
        assert!(half.chunks(20).all(|row| row[0] == 1.0) && half == mask(0.5, 1) && half != mask(0.5, 2));
        // 950 coins: four standard deviations are 62.
        assert!((half.iter().sum::<f32>() - 50.0 - 475.0).abs() < 62.0);
        assert_eq!(forced(0.5, 1).tensors().len(), 6);
        for ratio in [-0.1, 1.1, f64::NAN] {
            let error = batch.clone().with_teacher_forcing(ratio, 1).unwrap_err();
            assert!(matches!(error, NnError::TeacherForcing { .. }), "{error}");
        }
    }

    #[test]
    fn batches_for_other_target_vocabularies_do_not_share_a_program() {
        let wider = TranslationVocab { target: 9, ..VOCAB };
        let key = |vocab| TranslationBatch::new(&[[1]], &[[3]], vocab).unwrap().key();
        assert_ne!(key(VOCAB), key(wider));
    }
}
