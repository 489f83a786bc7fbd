//! Translations from an encoder–decoder: the encoder once for a batch of sentences, then one step of the decoder a token.
//!
//! Both are programs, compiled when a batch of a new shape is met. Between steps the state comes to the host and goes back:
//! beams change places there, and it is small beside the log-probabilities, which the search needs on the host anyway. The
//! encoder's outputs are held once a sentence, not once a beam: the beams of a sentence are several queries to one memory.

use std::collections::HashMap;

use seqloom_graph::host_tensor::HostSliceMut;
use seqloom_graph::{Control, DType, Graph, HostTensor, ParamStore, Program, Request, Tensor};

use crate::attention_scores::Memory;
use crate::beam::{BeamSearch, Hypothesis, StepModel};
use crate::error::NnError;
use crate::recurrent::Recurrent;
use crate::seq2seq::{DecoderState, Seq2Seq};
use crate::translation_batch::{SentenceFault, Side};

/// Sources are padded to a multiple of so many tokens, so that batches of like lengths share programs. Padding is masked.
const GRANULE: usize = 8;

/// Translates with a [`Seq2Seq`], greedily or by beam search.
///
/// Each number of sentences, padded length and beam width that is met compiles two programs once; they stay. The cost of a
/// token does not depend on how many were written before.
#[derive(Debug)]
pub struct Translator<L> {
    model: Seq2Seq<L>,
    store: ParamStore,
    programs: HashMap<Sizes, Programs>,
}

/// A translation of one sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// Its ids, without start and end.
    pub tokens: Vec<u32>,
    /// ln P of its ids, the end among them if it was reached.
    pub log_prob: f64,
    /// What translations are ranked by: `log_prob` over the length penalty ([`BeamSearch::length_penalty`]).
    pub score: f64,
    /// Whether it ended; if not, it was cut off at the greatest length.
    pub ended: bool,
    /// Attention weights [target, source]: for each id, and for the end if it was reached, how much each source token
    /// mattered. `None` without attention.
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
    encode: Program,
    step: Program,
    /// Names of the tensors that go from the encoder to every step, and from step to step.
    memory: Vec<String>,
    state: Vec<String>,
}

impl<L: Recurrent + Clone> Seq2Seq<L> {
    /// A translator over the parameters in `store`, which keep changing if they are trained further.
    #[must_use]
    pub fn translator(&self, store: &impl AsRef<ParamStore>) -> Translator<L> {
        Translator { model: self.clone(), store: store.as_ref().clone(), programs: HashMap::new() }
    }
}

impl<L: Recurrent> Translator<L> {
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

    /// For each sentence its best translations, best first, `width` at most ([`BeamSearch`] says how they are found and what
    /// `length_penalty` is), of up to `max_tokens` ids each.
    ///
    /// # Errors
    /// [`NnError::BeamWidth`], [`NnError::LengthPenalty`]; [`NnError::Sentence`] names the first source that is empty, holds an
    /// id beyond its vocabulary, or is longer than the model reads; [`NnError::NotFinite`] if the parameters have gone bad;
    /// [`NnError::Graph`] if the store is another model's or the device fails.
    pub fn beam<S: AsRef<[u32]>>(
        &mut self,
        sources: &[S],
        width: usize,
        length_penalty: f64,
        max_tokens: usize,
    ) -> Result<Vec<Vec<Translation>>, NnError> {
        let config = self.model.config();
        let (start, end) = (config.vocab.bos, config.vocab.eos);
        let search = BeamSearch { width, length_penalty, max_tokens, start, end };
        search.check()?;
        let longest = self.check(sources)?;
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        let positions = longest.next_multiple_of(GRANULE).min(config.max_source);
        let sizes = Sizes { sentences: sources.len(), positions, width };
        if !self.programs.contains_key(&sizes) {
            let programs = Programs::compile(&self.model, &self.store, sizes)?;
            self.programs.insert(sizes, programs);
        }
        let Some(programs) = self.programs.get(&sizes) else { return Ok(Vec::new()) };
        let mut session = Session::start(&self.model, programs, sizes, sources)?;
        let found = search.run(&mut session, sources.len())?;
        let translations = found.into_iter().zip(sources).map(|(found, source)| {
            let length = source.as_ref().len();
            found.into_iter().map(|hypothesis| session.translation(hypothesis, length)).collect()
        });
        translations.collect()
    }

    /// What [`Self::beam`] gives for any number of sentences: they are sorted by length and searched `rows` at a time, so
    /// that few shapes are compiled and little is padding. The last few search along with copies of the longest.
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

    /// Number of shapes that were compiled.
    #[must_use]
    pub fn shapes(&self) -> usize {
        self.programs.len()
    }

    /// The longest sentence, if all can be read.
    fn check<S: AsRef<[u32]>>(&self, sources: &[S]) -> Result<usize, NnError> {
        let (size, room) = (self.model.config().vocab.source, self.model.config().max_source);
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
    fn compile<L: Recurrent>(model: &Seq2Seq<L>, store: &ParamStore, sizes: Sizes) -> Result<Self, NnError> {
        let numbered = |name: &str, count| (0..count).map(|i| format!("{name}{i}")).collect::<Vec<_>>();
        let memory = numbered("memory", model.memory_shapes(1, 1).len());
        let state = numbered("state", model.state_shapes(1).len());
        let encode = Self::encoder(model, store, sizes, &memory, &state)?;
        let step = Self::decoder(model, store, sizes, &memory, &state)?;
        Ok(Self { encode, step, memory, state })
    }

    /// Sources and their lengths → the memory, and the state of one row a sentence.
    fn encoder<L: Recurrent>(
        model: &Seq2Seq<L>,
        store: &ParamStore,
        sizes: Sizes,
        memory: &[String],
        state: &[String],
    ) -> Result<Program, NnError> {
        let Sizes { sentences, positions, .. } = sizes;
        let g = store.inference_graph();
        let sources = g.ids("sources", &[sentences, positions], model.config().vocab.source);
        let encoded = model.encode(sources, Some(g.lengths("source_lengths", sentences, positions)));
        let told = encoded.memory.iter().flat_map(|memory| [memory.values, memory.keys]);
        let outputs = named(memory, told).chain(named(state, encoded.state.tensors()));
        compiled(store, &g, outputs.collect())
    }

    /// Tokens, the memory and the state of every beam → log-probabilities, weights and the state after.
    fn decoder<L: Recurrent>(
        model: &Seq2Seq<L>,
        store: &ParamStore,
        sizes: Sizes,
        memory: &[String],
        state: &[String],
    ) -> Result<Program, NnError> {
        let Sizes { sentences, positions, width } = sizes;
        let rows = sentences * width;
        let g = store.inference_graph();
        let told = memory.iter().zip(model.memory_shapes(sentences, positions));
        let told: Vec<_> = told.map(|(name, shape)| g.input(name, &shape, DType::F32)).collect();
        let looked_at = told.first().map(|&values| Memory {
            values,
            keys: told.get(1).copied().unwrap_or(values),
            lengths: Some(g.lengths("source_lengths", sentences, positions)),
        });
        let before = state.iter().zip(model.state_shapes(rows));
        let mut recurrent: Vec<_> = before.map(|(name, shape)| g.input(name, &shape, DType::F32)).collect();
        let fed = recurrent.split_off(L::STATE.len()).pop();
        let token = model.embed(g.ids("token", &[rows], model.config().vocab.target));
        let after = model.step(token, &DecoderState { recurrent, fed }, looked_at.as_ref());
        let answer = [("log_probs".to_owned(), model.logits(after.features).log_softmax())];
        let weights = after.weights.map(|weights| ("weights".to_owned(), weights));
        let outputs = answer.into_iter().chain(weights).chain(named(state, after.state.tensors()));
        compiled(store, &g, outputs.collect())
    }
}

fn named<'a, 'g: 'a>(
    names: &'a [String],
    tensors: impl IntoIterator<Item = Tensor<'g>> + 'a,
) -> impl Iterator<Item = (String, Tensor<'g>)> + 'a {
    names.iter().cloned().zip(tensors)
}

fn compiled<'g>(
    store: &ParamStore,
    g: &'g Graph,
    outputs: Vec<(String, Tensor<'g>)>,
) -> Result<Program, NnError> {
    let outputs: Vec<_> = outputs.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    Ok(Program::compile(store, g, Request { outputs: &outputs, objective: None })?)
}

/// One search over a batch of sentences.
struct Session<'a> {
    programs: &'a Programs,
    sizes: Sizes,
    /// What every step reads and none changes: the memory and the sources' lengths.
    fixed: Vec<(&'a str, HostTensor)>,
    /// What goes from step to step.
    state: Vec<(&'a str, HostTensor)>,
    token: HostTensor,
    /// Attention weights [R, S] of each step.
    weights: Vec<Vec<f32>>,
}

impl<'a> Session<'a> {
    /// Runs the encoder.
    fn start<L: Recurrent, S: AsRef<[u32]>>(
        model: &Seq2Seq<L>,
        programs: &'a Programs,
        sizes: Sizes,
        sources: &[S],
    ) -> Result<Self, NnError> {
        let Sizes { sentences, positions, width } = sizes;
        let mut ids = vec![0; sentences * positions];
        for (row, source) in ids.chunks_exact_mut(positions).zip(sources) {
            row[..source.as_ref().len()].copy_from_slice(source.as_ref());
        }
        let ids = HostTensor::u32(&[sentences, positions], ids)?;
        let lengths = sources.iter().map(|s| u32::try_from(s.as_ref().len()).unwrap_or(u32::MAX));
        let lengths = HostTensor::u32(&[sentences], lengths.collect())?;
        let encode = &programs.encode;
        encode.run(&[("sources", &ids), ("source_lengths", &lengths)], &Control::default())?;
        let reads = |names: &'a [String]| {
            names
                .iter()
                .map(|name| Ok((name.as_str(), encode.read(name)?)))
                .collect::<Result<Vec<_>, NnError>>()
        };
        // All are asked for before the first is waited for: one stop of the device, not one each.
        let (memory, state) = (reads(&programs.memory)?, reads(&programs.state)?);
        let mut fixed = Vec::new();
        for ((name, read), shape) in memory.into_iter().zip(model.memory_shapes(sentences, positions)) {
            fixed.push((name, HostTensor::f32(&shape, read.wait()?)?));
        }
        if !fixed.is_empty() {
            fixed.push(("source_lengths", lengths));
        }
        let rows = sentences * width;
        let mut start = Vec::new();
        for ((name, read), shape) in state.into_iter().zip(model.state_shapes(rows)) {
            // One row a sentence becomes one a beam.
            let hidden = shape.last().copied().unwrap_or(1).max(1);
            let copies = read.wait()?.chunks_exact(hidden).flat_map(|row| row.repeat(width)).collect();
            start.push((name, HostTensor::f32(&shape, copies)?));
        }
        let token = HostTensor::u32(&[rows], vec![0; rows])?;
        Ok(Self { programs, sizes, fixed, state: start, token, weights: Vec::new() })
    }

    /// A found sequence with its attention to a source of `length` tokens.
    fn translation(&self, found: Hypothesis, length: usize) -> Result<Translation, NnError> {
        let Hypothesis { tokens, log_prob, score, ended, rows } = found;
        let positions = self.sizes.positions;
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
        if let HostSliceMut::U32(to) = self.token.data_mut() {
            to.copy_from_slice(tokens);
        }
        for (_, state) in &mut self.state {
            reorder(state, parents);
        }
        let mut inputs = vec![("token", &self.token)];
        inputs.extend(self.fixed.iter().chain(&self.state).map(|(name, tensor)| (*name, tensor)));
        let step = &self.programs.step;
        step.run(&inputs, &Control::default())?;
        // All are asked for before the first is waited for: one stop of the device, not one each.
        let answer = step.read("log_probs")?;
        let weights = if self.fixed.is_empty() { None } else { Some(step.read("weights")?) };
        let state = self.state.iter().map(|(name, _)| step.read(name));
        let state = state.collect::<Result<Vec<_>, _>>()?;
        let answer = answer.wait()?;
        if let Some(weights) = weights {
            self.weights.push(weights.wait()?);
        }
        for ((_, tensor), read) in self.state.iter_mut().zip(state) {
            if let HostSliceMut::F32(to) = tensor.data_mut() {
                to.copy_from_slice(&read.wait()?);
            }
        }
        Ok(answer)
    }
}

/// Puts row `parents[r]` of [.., R, H] at r.
fn reorder(state: &mut HostTensor, parents: &[usize]) {
    let hidden = state.shape().last().copied().unwrap_or(0);
    let HostSliceMut::F32(values) = state.data_mut() else { return };
    if hidden == 0 || parents.iter().enumerate().all(|(row, &parent)| row == parent) {
        return;
    }
    for layer in values.chunks_exact_mut(parents.len() * hidden) {
        let before = layer.to_vec();
        for (row, &parent) in layer.chunks_exact_mut(hidden).zip(parents) {
            row.copy_from_slice(&before[parent * hidden..][..hidden]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::HostData;

    #[test]
    fn rows_follow_their_parents_in_every_layer() {
        let mut state = HostTensor::f32(&[2, 3, 2], (0..12).map(|i| i as f32).collect()).unwrap();
        reorder(&mut state, &[2, 0, 2]);
        let moved = [4, 5, 0, 1, 4, 5, 10, 11, 6, 7, 10, 11].map(|i| i as f32);
        assert_eq!(state.data(), &HostData::F32(moved.to_vec()));
    }
}
