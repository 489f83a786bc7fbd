//! Translations from an encoder–decoder: the encoder once for a batch of sentences, then one step of the decoder per
//! token.
//!
//! Both are programs, compiled for each new batch shape. The encoder's outputs and the decoder's state stay on the
//! device. In each step the host gives tokens and receives log-probabilities, which the search needs there, and
//! attention weights. The encoder's outputs are held once per sentence, not once per beam: the beams of a sentence are
//! several queries to one memory.

use seqloom_graph::HostSliceMut;
use seqloom_graph::{Control, Graph, HostTensor, ParamStore, Program, ProgramCache, Request, Tensor};

use crate::batch::padded_time;
use crate::error::{NnError, SentenceFault, Side};
use crate::generate::beam::{BeamSearch, Hypothesis, StepModel};
use crate::generate::carried::{Carried, GenerationMemory};
use crate::models::encoder_decoder::{EncoderDecoder, Source};
use crate::state::Past;

/// Default number of shapes whose programs a translator keeps. Each has its own encodings and caches on the device.
const SHAPES: usize = 16;

/// Translates with an [`EncoderDecoder`], greedily or by beam search.
///
/// A shape is a number of sentences, a padded length ([`padded_time`]) and a beam width. Programs are compiled for each
/// new shape and kept for the last 16 shapes ([`Translator::with_shapes`]). Padding is masked. A token costs one step
/// of the decoder: constant for a recurrent decoder, and proportional to the text before it for a Transformer.
#[derive(Debug)]
pub struct Translator<M> {
    model: M,
    store: ParamStore,
    programs: ProgramCache<Sizes, Programs>,
}

/// What makes a [`Translator`] of any [`EncoderDecoder`].
pub trait Translate: EncoderDecoder + Clone {
    /// A translator over the parameters in `store`, which keep changing if they are trained further.
    #[must_use]
    fn translator(&self, store: &impl AsRef<ParamStore>) -> Translator<Self> {
        Translator { model: self.clone(), store: store.as_ref().clone(), programs: ProgramCache::new(SHAPES) }
    }
}

impl<M: EncoderDecoder + Clone> Translate for M {}

/// A translation of one sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// Its ids, without start and end.
    pub tokens: Vec<u32>,
    /// ln P of its ids, the end included if it was reached.
    pub log_prob: f64,
    /// What translations are ranked by: `log_prob` over the length penalty ([`BeamSearch::length_penalty`]).
    pub score: f64,
    /// Whether it ended; if not, it was cut off at the greatest length.
    pub ended: bool,
    /// Attention weights [target, source]: for each id, and for the end if it was reached, how much each source token
    /// mattered; for a Transformer the mean over the heads of the last block. `None` without attention.
    pub attention: Option<HostTensor>,
}

/// What a pair of programs is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sizes {
    sentences: usize,
    positions: usize,
    width: usize,
}

#[derive(Debug)]
struct Programs {
    sizes: Sizes,
    /// What goes from step to step.
    carried: Carried,
    encode: Program,
    step: Program,
    /// Whether a step tells attention weights.
    weights: bool,
}

impl<M: EncoderDecoder> Translator<M> {
    /// The likeliest id after id of each sentence, up to `max_tokens` of them.
    ///
    /// # Errors
    /// As [`Self::beam`].
    pub fn greedy<S: AsRef<[u32]>>(
        &mut self,
        sources: &[S],
        max_tokens: usize,
    ) -> Result<Vec<Translation>, NnError> {
        let found = self.beam(sources, 1, 0.0, max_tokens)?;
        Ok(found.into_iter().flatten().collect())
    }

    /// For each sentence its best translations, best first, at most `width`, of up to `max_tokens` ids each;
    /// [`BeamSearch`] explains the search and `length_penalty`. A token with a logit of −∞ is banned: no translation
    /// contains it.
    ///
    /// # Errors
    /// [`NnError::BeamWidth`], [`NnError::LengthPenalty`], [`NnError::TargetTooLong`]; [`NnError::Sentence`]
    /// names the first source that is empty, holds an id beyond its vocabulary, or is longer than the model reads;
    /// [`NnError::NotFinite`] if the parameters have gone bad or the model bans every token; [`NnError::NoneAllowed`]
    /// if nothing can follow a sentence's translation so far; [`NnError::Graph`] if the store is another model's or the
    /// device fails.
    pub fn beam<S: AsRef<[u32]>>(
        &mut self,
        sources: &[S],
        width: usize,
        length_penalty: f64,
        max_tokens: usize,
    ) -> Result<Vec<Vec<Translation>>, NnError> {
        let (start, end) = (self.model.vocab().bos, self.model.vocab().eos);
        let search = BeamSearch { width, length_penalty, max_tokens, start, end };
        search.check()?;
        let longest = self.check(sources)?;
        // The start is read as well.
        let most = self.model.max_target().map_or(usize::MAX, |steps| steps.saturating_sub(1));
        if max_tokens > most {
            return Err(NnError::TargetTooLong { asked: max_tokens, most });
        }
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        let positions = padded_time(longest).min(self.model.max_source());
        let sizes = Sizes { sentences: sources.len(), positions, width };
        let (model, store) = (&self.model, &self.store);
        let programs = self.programs.get_or_try(&sizes, || Programs::compile(model, store, sizes))?;
        let mut session = Session::start(programs, sources)?;
        let found = search.run(&mut session, sources.len())?;
        let translations = found.into_iter().zip(sources).map(|(found, source)| {
            let length = source.as_ref().len();
            found.into_iter().map(|hypothesis| session.translation(hypothesis, length)).collect()
        });
        translations.collect()
    }

    /// [`Self::beam`] for any number of sentences. They are sorted by length and searched `rows` at a time, so few
    /// shapes are compiled and there is little padding. Copies of the longest sentence fill the last batch.
    ///
    /// # Errors
    /// As [`Self::beam`], where an [`NnError::Sentence`] names the place among all sources; [`NnError::Batch`] for `rows` of 0.
    pub fn beam_by_rows<S: AsRef<[u32]>>(
        &mut self,
        sources: &[S],
        rows: usize,
        width: usize,
        length_penalty: f64,
        max_tokens: usize,
    ) -> Result<Vec<Vec<Translation>>, NnError> {
        if rows == 0 {
            return Err(NnError::Batch { detail: "0 rows hold no sentence".to_owned() });
        }
        self.check(sources)?;
        let mut order: Vec<usize> = (0..sources.len()).collect();
        order.sort_by_key(|&place| sources[place].as_ref().len());
        let mut found = vec![Vec::new(); sources.len()];
        for places in order.chunks(rows.min(sources.len()).max(1)) {
            let mut batch: Vec<&[u32]> = places.iter().map(|&place| sources[place].as_ref()).collect();
            if let Some(&longest) = batch.last() {
                batch.resize(rows.min(sources.len()), longest);
            }
            let translations = self.beam(&batch, width, length_penalty, max_tokens)?;
            places.iter().zip(translations).for_each(|(&place, told)| found[place] = told);
        }
        Ok(found)
    }

    /// The same translator keeping the programs of up to `most` shapes instead of 16. With more shapes, the least
    /// recently used one is dropped and compiled again when it returns.
    #[must_use]
    pub fn with_shapes(mut self, most: usize) -> Self {
        self.programs = ProgramCache::new(most);
        self
    }

    /// Number of shapes whose programs it keeps.
    #[must_use]
    pub fn shapes(&self) -> usize {
        self.programs.usage().held
    }

    /// The device memory that it holds besides the parameters, and how many shapes it keeps, may keep and has dropped.
    #[must_use]
    pub fn memory(&self) -> GenerationMemory {
        let start = GenerationMemory { shapes: self.programs.usage(), ..GenerationMemory::default() };
        self.programs.values().fold(start, |memory, programs| {
            memory.with(&programs.carried, [&programs.encode, &programs.step].into_iter())
        })
    }

    /// The longest sentence, if all can be read.
    fn check<S: AsRef<[u32]>>(&self, sources: &[S]) -> Result<usize, NnError> {
        let (size, room) = (self.model.vocab().source, self.model.max_source());
        for (row, source) in sources.iter().enumerate() {
            let (source, side) = (source.as_ref(), Side::Source);
            let fault = |fault| Err(NnError::Sentence { side, row, fault });
            if source.is_empty() {
                return fault(SentenceFault::Empty);
            }
            if source.len() > room {
                return fault(SentenceFault::TooLong { steps: source.len(), room });
            }
            if let Some(position) = source.iter().position(|&id| id as usize >= size) {
                return fault(SentenceFault::UnknownId { id: source[position], position, size });
            }
        }
        Ok(sources.iter().map(|source| source.as_ref().len()).max().unwrap_or(0))
    }
}

impl Programs {
    fn compile(model: &impl EncoderDecoder, store: &ParamStore, sizes: Sizes) -> Result<Self, NnError> {
        let rows = sizes.sentences * sizes.width;
        let carried = Carried::new(store, rows, model.state_shapes(rows));
        let encode = Self::encoder(model, &carried, sizes)?;
        let (step, weights) = Self::decoder(model, &carried, sizes)?;
        Ok(Self { sizes, carried, encode, step, weights })
    }

    /// Sources and their lengths → the memory, and the state of one row per sentence, copied for each beam.
    fn encoder(model: &impl EncoderDecoder, carried: &Carried, sizes: Sizes) -> Result<Program, NnError> {
        let Sizes { sentences, positions, width } = sizes;
        let g = carried.store().inference_graph();
        let sources = g.ids("sources", &[sentences, positions], model.vocab().source);
        let begun = model.begin(sources, g.lengths("source_lengths", sentences, positions));
        let _ = memory(&g, model, sizes);
        begun.memory.iter().enumerate().for_each(|(i, tensor)| g.keep(&memory_name(i), *tensor));
        carried.begin(&g, &begun.state, width);
        Ok(Program::compile(carried.store(), &g, Request::default())?)
    }

    /// Tokens, the memory and the state of every beam → log-probabilities, weights and the state after.
    fn decoder(
        model: &impl EncoderDecoder,
        carried: &Carried,
        sizes: Sizes,
    ) -> Result<(Program, bool), NnError> {
        let Sizes { sentences, positions, width } = sizes;
        let rows = sentences * width;
        let g = carried.store().inference_graph();
        let lengths = g.lengths("source_lengths", sentences, positions);
        let source = Source { memory: memory(&g, model, sizes), lengths };
        let past = Past { state: carried.before(&g), steps: g.following("read", rows, 1) };
        let after = model.next(g.ids("token", &[rows], model.vocab().target), &past, &source);
        carried.keep(&g, &after.state);
        let answer = ("log_probs", after.logits.log_softmax());
        let weights = after.weights.map(|weights| ("weights", weights));
        let outputs: Vec<_> = std::iter::once(answer).chain(weights).collect();
        let program = Program::compile(carried.store(), &g, Request { outputs: &outputs, objective: None })?;
        Ok((program, weights.is_some()))
    }
}

/// What the encoder left.
fn memory<'g>(g: &'g Graph, model: &impl EncoderDecoder, sizes: Sizes) -> Vec<Tensor<'g>> {
    let shapes = model.memory_shapes(sizes.sentences, sizes.positions);
    shapes.iter().enumerate().map(|(i, shape)| g.state(&memory_name(i), shape)).collect()
}

fn memory_name(index: usize) -> String {
    format!("memory{index}")
}

/// One search over a batch of sentences.
struct Session<'a> {
    programs: &'a mut Programs,
    lengths: HostTensor,
    token: HostTensor,
    /// Steps that were read, and the same for each row.
    steps: usize,
    read: HostTensor,
    /// Attention weights [R, S] of each step.
    weights: Vec<Vec<f32>>,
}

impl<'a> Session<'a> {
    /// Runs the encoder.
    fn start<S: AsRef<[u32]>>(programs: &'a mut Programs, sources: &[S]) -> Result<Self, NnError> {
        let Sizes { sentences, positions, width } = programs.sizes;
        let mut ids = vec![0; sentences * positions];
        for (row, source) in ids.chunks_exact_mut(positions).zip(sources) {
            row[..source.as_ref().len()].copy_from_slice(source.as_ref());
        }
        let ids = HostTensor::u32(&[sentences, positions], ids)?;
        let lengths = sources.iter().map(|s| u32::try_from(s.as_ref().len()).unwrap_or(u32::MAX));
        let lengths = HostTensor::u32(&[sentences], lengths.collect())?;
        programs.encode.run(&[("sources", &ids), ("source_lengths", &lengths)], &Control::default())?;
        let row = HostTensor::u32(&[sentences * width], vec![0; sentences * width])?;
        Ok(Self { programs, lengths, token: row.clone(), read: row, steps: 0, weights: Vec::new() })
    }

    /// A found sequence with its attention to a source of `length` tokens.
    fn translation(&self, found: Hypothesis, length: usize) -> Result<Translation, NnError> {
        let Hypothesis { tokens, log_prob, score, ended, rows } = found;
        let positions = self.programs.sizes.positions;
        let attention = if self.weights.is_empty() {
            None
        } else {
            let rows = rows.iter().zip(&self.weights);
            let map: Vec<_> =
                rows.flat_map(|(&row, told)| &told[row * positions..][..length]).copied().collect();
            Some(HostTensor::f32(&[map.len() / length, length], map)?)
        };
        Ok(Translation { tokens, log_prob, score, ended, attention })
    }
}

impl StepModel for Session<'_> {
    fn step(&mut self, tokens: &[u32], parents: &[usize]) -> Result<Vec<f32>, NnError> {
        self.programs.carried.reorder(parents, self.steps)?;
        if let HostSliceMut::U32(to) = self.token.data_mut() {
            to.copy_from_slice(tokens);
        }
        if let HostSliceMut::U32(read) = self.read.data_mut() {
            read.fill(u32::try_from(self.steps).unwrap_or(u32::MAX));
        }
        let step = &self.programs.step;
        let inputs = [("token", &self.token), ("read", &self.read), ("source_lengths", &self.lengths)];
        let control = Control::default();
        if !self.programs.weights {
            let told = step.call(&inputs, &control, ["log_probs"])?;
            self.steps += 1;
            let [answer] = told.wait()?;
            return Ok(answer);
        }
        let told = step.call(&inputs, &control, ["log_probs", "weights"])?;
        self.steps += 1;
        let [answer, weights] = told.wait()?;
        self.weights.push(weights);
        Ok(answer)
    }
}
