//! Text from any language model, one symbol at a time, for a batch of rows.
//!
//! One program reads the prompts at once, padded to one length. Then a program of one step runs for each symbol, with
//! the state that the last run left on the device. So a symbol costs one step of the model: constant for a recurrent
//! network, and proportional to the text before it for a Transformer, whose state is a cache of keys and values. Only
//! the symbols and each row's position change from step to step; nothing is compiled again. Only logits come to the
//! host, where the symbol is chosen (`sampling`).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seqloom_graph::HostSliceMut;
use seqloom_graph::{Control, HostData, HostTensor, ParamStore, Program, ProgramCache, Request};

use crate::batch::padded_time;
use crate::error::NnError;
use crate::generate::beam::{BeamSearch, Hypothesis, StepModel};
use crate::generate::carried::{Carried, GenerationMemory};
use crate::generate::sampling::{Sampling, likeliest, possible};
use crate::models::language::{LanguageModel, last_step};
use crate::random::uniform;
use crate::state::Past;

/// Most programs that read prompts: one per padded length. Padding is not seen.
const READERS: usize = 8;

/// Generates symbols from a [`LanguageModel`]: greedily, by sampling, or by beam search.
///
/// Every call starts anew and reads its prompts first. An empty prompt means the start of a line: the model reads a
/// line feed if it knows one, else the symbol with id 0, and the result does not include it. Programs are kept for the
/// last number of rows, and among them those that read prompts of the last 8 padded lengths ([`padded_time`]).
///
/// A symbol with a logit of −∞ is banned: no way of generating ever chooses it. If every symbol is banned after a text,
/// that is [`NnError::NoneAllowed`]; NaN or +∞ is [`NnError::NotFinite`]. Beam search drops such a text as long as it
/// has another.
#[derive(Debug)]
pub struct Generator<M> {
    model: M,
    store: ParamStore,
    sampling: Sampling,
    /// The symbol that ends a text.
    end: Option<u32>,
    random: ChaCha8Rng,
    session: Session,
    steps: u64,
}

/// What makes a [`Generator`] of any [`LanguageModel`].
pub trait Generate: LanguageModel + Clone {
    /// A generator of text over the parameters in `store`, which keep changing if they are trained further.
    ///
    /// # Errors
    /// [`NnError::Graph`] if the store is another model's or the device has no room for the program.
    fn generator(&self, store: &impl AsRef<ParamStore>) -> Result<Generator<Self>, NnError> {
        Generator::new(self.clone(), store.as_ref())
    }
}

impl<M: LanguageModel + Clone> Generate for M {}

impl<M: LanguageModel> Generator<M> {
    pub(crate) fn new(model: M, store: &ParamStore) -> Result<Self, NnError> {
        let session = Session::new(&model, store, 1, 1)?;
        let random = ChaCha8Rng::seed_from_u64(0);
        let (store, sampling) = (store.clone(), Sampling::default());
        Ok(Self { model, store, sampling, end: None, random, session, steps: 0 })
    }

    /// The same generator drawing from softmax(logits / temperature); 1 if never set. Lower is more certain.
    ///
    /// # Errors
    /// [`NnError::Temperature`] unless it is finite and above 0.
    pub fn with_temperature(self, temperature: f32) -> Result<Self, NnError> {
        self.with(|sampling| sampling.temperature = temperature)
    }

    /// The same generator drawing only among the k likeliest symbols (of equal ones the lowest ids); among all if never
    /// set.
    ///
    /// # Errors
    /// [`NnError::TopK`] for k = 0.
    pub fn with_top_k(self, k: usize) -> Result<Self, NnError> {
        self.with(|sampling| sampling.top_k = Some(k))
    }

    /// The same generator drawing among the fewest likeliest symbols that together have at least the probability p, at the
    /// temperature and of the k likeliest if that is set (nucleus sampling, Holtzman et al. 2020); 1 if never set.
    ///
    /// # Errors
    /// [`NnError::TopP`] unless 0 < p ≤ 1.
    pub fn with_top_p(self, p: f32) -> Result<Self, NnError> {
        self.with(|sampling| sampling.top_p = p)
    }

    /// The same generator, whose texts end when the symbol `end` is chosen, greedily, by sampling or by beam search. If
    /// never set, texts have their greatest length. The symbol is not part of a text. Until it ends, a text is the same
    /// as without an end, whichever other rows have ended.
    ///
    /// # Errors
    /// [`NnError::UnknownId`] if it is not in the vocabulary.
    pub fn with_end(mut self, end: u32) -> Result<Self, NnError> {
        self.end = Some(self.known(end)?);
        Ok(self)
    }

    fn with(mut self, change: impl FnOnce(&mut Sampling)) -> Result<Self, NnError> {
        change(&mut self.sampling);
        self.sampling.check()?;
        Ok(self)
    }

    /// The same generator with its random numbers started from `seed`; 0 if never set. The same seed and parameters give
    /// the same text.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.random = ChaCha8Rng::seed_from_u64(seed);
        self
    }

    /// The prompt and `count` characters after it, each drawn from the model's distribution; fewer if the text ends before
    /// ([`Generator::with_end`]), here and below.
    ///
    /// # Errors
    /// [`NnError::UnknownChar`] for a prompt the model cannot read; [`NnError::NamelessVocab`]; [`NnError::PromptTooLong`];
    /// [`NnError::NotFinite`] if the parameters have gone bad; [`NnError::NoneAllowed`] if the model bans every symbol;
    /// [`NnError::Graph`] if the device fails.
    pub fn sample(&mut self, prompt: &str, count: usize) -> Result<String, NnError> {
        let ids = self.model.vocab().encode(prompt)?;
        let more = self.sample_ids(&ids, count)?;
        Ok(format!("{prompt}{}", self.model.vocab().decode(&more)?))
    }

    /// The prompt and `count` characters after it, each the likeliest one.
    ///
    /// # Errors
    /// As [`Generator::sample`].
    pub fn greedy(&mut self, prompt: &str, count: usize) -> Result<String, NnError> {
        let ids = self.model.vocab().encode(prompt)?;
        let more = self.greedy_ids(&ids, count)?;
        Ok(format!("{prompt}{}", self.model.vocab().decode(&more)?))
    }

    /// `count` ids after the prompt's, drawn; without the prompt.
    ///
    /// # Errors
    /// As [`Generator::sample`]; an id of V or more is a [`NnError::Graph`].
    pub fn sample_ids(&mut self, prompt: &[u32], count: usize) -> Result<Vec<u32>, NnError> {
        Ok(self.sample_batch(&[prompt], count)?.pop().unwrap_or_default())
    }

    /// `count` ids after the prompt's, each the likeliest one (the lowest of equals); without the prompt.
    ///
    /// # Errors
    /// As [`Generator::sample_ids`].
    pub fn greedy_ids(&mut self, prompt: &[u32], count: usize) -> Result<Vec<u32>, NnError> {
        Ok(self.greedy_batch(&[prompt], count)?.pop().unwrap_or_default())
    }

    /// `count` ids after each of the prompts, which may have any lengths; without the prompts. Rows draw in turn from
    /// one sequence of random numbers.
    ///
    /// # Errors
    /// As [`Generator::sample_ids`]; [`NnError::NoPrompts`] for none.
    pub fn sample_batch<S: AsRef<[u32]>>(
        &mut self,
        prompts: &[S],
        count: usize,
    ) -> Result<Vec<Vec<u32>>, NnError> {
        let sampling = self.sampling;
        self.generate(prompts, count, true, |logits, at| sampling.draw(logits, at))
    }

    /// `count` ids after each of the prompts, each the likeliest one; without the prompts.
    ///
    /// # Errors
    /// As [`Generator::sample_batch`].
    pub fn greedy_batch<S: AsRef<[u32]>>(
        &mut self,
        prompts: &[S],
        count: usize,
    ) -> Result<Vec<Vec<u32>>, NnError> {
        self.generate(prompts, count, false, |logits, _| likeliest(logits))
    }

    /// For each prompt its likeliest continuations, best first, at most `width`; [`BeamSearch`] explains the search and
    /// `length_penalty`. Each has `count` ids, or fewer if `end` ends it; with `None` the generator's own end
    /// ([`Generator::with_end`]) applies, if it has one. Without the prompts.
    ///
    /// # Errors
    /// As [`Generator::sample_batch`]; [`NnError::BeamWidth`]; [`NnError::LengthPenalty`]; [`NnError::UnknownId`] if `end` is
    /// not in the vocabulary.
    pub fn beam<S: AsRef<[u32]>>(
        &mut self,
        prompts: &[S],
        width: usize,
        length_penalty: f64,
        count: usize,
        end: Option<u32>,
    ) -> Result<Vec<Vec<Hypothesis>>, NnError> {
        let size = self.model.vocab().size();
        let end = end.map(|id| self.known(id)).transpose()?.or(self.end);
        // An end that no vocabulary has, if nothing ends a text.
        let never = u32::try_from(size).unwrap_or(u32::MAX);
        let end = end.unwrap_or(never);
        let search = BeamSearch { width, length_penalty, max_tokens: count, start: end, end };
        search.check()?;
        let reads = if end == never { count.saturating_sub(1) } else { count };
        let prompts = self.started(prompts, reads)?;
        if count == 0 && end == never {
            return Ok(vec![Vec::new(); prompts.len()]);
        }
        self.prepare(prompts.len(), width)?;
        let told = Some(self.session.begin(&self.model, &prompts)?);
        let mut beams = Beams { session: &mut self.session, told, reads, ends: end != never };
        let found = search.run(&mut beams, prompts.len())?;
        self.steps += (reads - beams.reads) as u64;
        Ok(found)
    }

    /// The program that makes one symbol of each row.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.session.step
    }

    /// The device memory that it holds besides the parameters, and for how many padded lengths of prompts it keeps a
    /// program, may keep one, and has dropped one.
    #[must_use]
    pub fn memory(&self) -> GenerationMemory {
        let Session { carried, step, reading, .. } = &self.session;
        let start = GenerationMemory { shapes: reading.usage(), ..GenerationMemory::default() };
        start.with(carried, reading.values().chain([step]))
    }

    /// How often that program has run: once per symbol of a row, except the last symbol of each call.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Texts whose symbols `choose` picks from a row's logits and, if it `draws`, a random number in [0, 1).
    fn generate<S: AsRef<[u32]>>(
        &mut self,
        prompts: &[S],
        count: usize,
        draws: bool,
        choose: impl Fn(&[f32], f64) -> usize,
    ) -> Result<Vec<Vec<u32>>, NnError> {
        let prompts = self.started(prompts, count.saturating_sub(1))?;
        let mut texts = vec![Vec::with_capacity(count); prompts.len()];
        if count == 0 {
            return Ok(texts);
        }
        self.prepare(prompts.len(), 1)?;
        let size = self.model.vocab().size();
        let (mut ids, mut ended) = (vec![0; prompts.len()], vec![false; prompts.len()]);
        let mut logits = self.session.begin(&self.model, &prompts)?;
        let mut left = count;
        loop {
            for (row, logits) in logits.chunks_exact(size).enumerate() {
                // A row that has ended still takes its number, so other rows draw the same as without it. It goes on
                // reading its end.
                let at = if draws { uniform(&mut self.random) } else { 0.0 };
                if ended[row] {
                    continue;
                }
                possible(logits, row)?;
                ids[row] = u32::try_from(choose(logits, at)).unwrap_or(u32::MAX);
                ended[row] = self.end == Some(ids[row]);
                if !ended[row] {
                    texts[row].push(ids[row]);
                }
            }
            left -= 1;
            if left == 0 || ended.iter().all(|&ended| ended) {
                return Ok(texts);
            }
            logits = self.session.step(&ids)?;
            self.steps += 1;
        }
    }

    /// An id that the vocabulary has.
    fn known(&self, id: u32) -> Result<u32, NnError> {
        let size = self.model.vocab().size();
        if (id as usize) < size { Ok(id) } else { Err(NnError::UnknownId { id, index: 0, size }) }
    }

    /// The prompts, empty ones replaced by a text's start symbol, if there are any and all fit.
    fn started<S: AsRef<[u32]>>(&self, prompts: &[S], more: usize) -> Result<Vec<Vec<u32>>, NnError> {
        if prompts.is_empty() {
            return Err(NnError::NoPrompts);
        }
        let start = self.model.vocab().id('\n').unwrap_or(0);
        let started = prompts.iter().map(|prompt| match prompt.as_ref() {
            [] => vec![start],
            ids => ids.to_vec(),
        });
        let started: Vec<_> = started.collect();
        let most = self.model.max_time().unwrap_or(usize::MAX);
        match started.iter().position(|prompt| prompt.len().saturating_add(more) > most) {
            Some(row) => Err(NnError::PromptTooLong { row, prompt: started[row].len(), more, most }),
            None => Ok(started),
        }
    }

    /// Sets the session to this many prompts with this many copies each.
    fn prepare(&mut self, prompts: usize, copies: usize) -> Result<(), NnError> {
        if (self.session.prompts, self.session.copies) != (prompts, copies) {
            self.session = Session::new(&self.model, &self.store, prompts, copies)?;
        }
        Ok(())
    }
}

/// The programs and the state of a number of rows: each prompt's copies side by side.
#[derive(Debug)]
struct Session {
    prompts: usize,
    copies: usize,
    vocab: usize,
    carried: Carried,
    step: Program,
    /// Programs that read prompts, by the length that they are padded to.
    reading: ProgramCache<usize>,
    tokens: HostTensor,
    /// Steps that each row has read.
    read: HostTensor,
}

impl Session {
    fn new(
        model: &impl LanguageModel,
        store: &ParamStore,
        prompts: usize,
        copies: usize,
    ) -> Result<Self, NnError> {
        let (rows, vocab) = (prompts * copies, model.vocab().size());
        let carried = Carried::new(store, rows, model.state_shapes(rows));
        let g = carried.store().inference_graph();
        let tokens = g.ids("tokens", &[rows, 1], vocab);
        let past = Past { state: carried.before(&g), steps: g.following("read", rows, 1) };
        let after = model.read(tokens, Some(&past), None);
        carried.keep(&g, &after.state);
        let request = Request { outputs: &[("logits", model.logits(after.features))], objective: None };
        let step = Program::compile(carried.store(), &g, request)?;
        let tokens = HostTensor::u32(&[rows, 1], vec![0; rows])?;
        let read = HostTensor::u32(&[rows], vec![0; rows])?;
        Ok(Self { prompts, copies, vocab, carried, step, reading: ProgramCache::new(READERS), tokens, read })
    }

    /// Reads the prompts: logits [R, V] of what follows them.
    fn begin(&mut self, model: &impl LanguageModel, prompts: &[Vec<u32>]) -> Result<Vec<f32>, NnError> {
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(1);
        let time = padded_time(longest).min(model.max_time().unwrap_or(usize::MAX)).max(longest);
        let mut tokens = vec![0; prompts.len() * time];
        for (row, prompt) in tokens.chunks_exact_mut(time).zip(prompts) {
            row[..prompt.len()].copy_from_slice(prompt);
        }
        let lengths: Vec<_> = prompts.iter().map(|p| u32::try_from(p.len()).unwrap_or(u32::MAX)).collect();
        if let HostSliceMut::U32(read) = self.read.data_mut() {
            let rows = read.chunks_exact_mut(self.copies).zip(&lengths);
            rows.for_each(|(copies, &length)| copies.fill(length));
        }
        let tokens = HostTensor::u32(&[prompts.len(), time], tokens)?;
        let lengths = HostTensor::u32(&[prompts.len()], lengths)?;
        let Self { prompts, copies, vocab, carried, reading, .. } = self;
        let reading = reading
            .get_or_try(&time, || compile_reading(model, carried, (*prompts, *copies, *vocab), time))?;
        let inputs = [("tokens", &tokens), ("lengths", &lengths)];
        let [logits] = reading.call(&inputs, &Control::default(), ["logits"])?.wait()?;
        Ok(logits)
    }

    /// Reads a symbol of each row: logits [R, V] of the next one; the state moves on.
    fn step(&mut self, ids: &[u32]) -> Result<Vec<f32>, NnError> {
        if let HostSliceMut::U32(tokens) = self.tokens.data_mut() {
            tokens.copy_from_slice(ids);
        }
        let inputs = [("tokens", &self.tokens), ("read", &self.read)];
        let logits = self.step.call(&inputs, &Control::default(), ["logits"])?;
        if let HostSliceMut::U32(read) = self.read.data_mut() {
            read.iter_mut().for_each(|steps| *steps = steps.saturating_add(1));
        }
        let [logits] = logits.wait()?;
        Ok(logits)
    }

    /// Steps of the row that has read most.
    fn longest(&self) -> usize {
        let HostData::U32(read) = self.read.data() else { return 0 };
        read.iter().copied().max().unwrap_or(0) as usize
    }
}

/// The program that reads prompts of up to `time` symbols and carries on the state of each of their copies.
fn compile_reading(
    model: &impl LanguageModel,
    carried: &Carried,
    (prompts, copies, vocab): (usize, usize, usize),
    time: usize,
) -> Result<Program, NnError> {
    let g = carried.store().inference_graph();
    let tokens = g.ids("tokens", &[prompts, time], vocab);
    let lengths = g.lengths("lengths", prompts, time);
    let after = model.read(tokens, None, Some(lengths));
    carried.begin(&g, &after.state, copies);
    let logits = model.logits(last_step(after.features, Some(lengths)));
    let request = Request { outputs: &[("logits", logits)], objective: None };
    Ok(Program::compile(carried.store(), &g, request)?)
}

/// A session as a beam search sees it.
struct Beams<'a> {
    session: &'a mut Session,
    /// The logits after the prompts, until the search's first step takes them.
    told: Option<Vec<f32>>,
    /// Steps that fit.
    reads: usize,
    /// Whether a symbol ends a text; if not, the search gets an end that never comes.
    ends: bool,
}

impl StepModel for Beams<'_> {
    fn step(&mut self, tokens: &[u32], parents: &[usize]) -> Result<Vec<f32>, NnError> {
        let (rows, copies) = (tokens.len(), self.session.copies);
        let logits = match self.told.take() {
            Some(told) => {
                told.chunks_exact(self.session.vocab.max(1)).flat_map(|row| row.repeat(copies)).collect()
            }
            // Without an end there is nothing to ask after the last symbol.
            None if self.reads == 0 => Vec::new(),
            None => {
                self.reads -= 1;
                let steps = self.session.longest();
                self.session.carried.reorder(parents, steps)?;
                // Idle rows read an end, which may not be one of the model's symbols.
                let known = |&id: &u32| if (id as usize) < self.session.vocab { id } else { 0 };
                let tokens: Vec<_> = tokens.iter().map(known).collect();
                self.session.step(&tokens)?
            }
        };
        let (size, end) = (self.session.vocab, (!self.ends).then_some(f32::NEG_INFINITY));
        if logits.is_empty() {
            return Ok(vec![f32::NEG_INFINITY; rows * (size + usize::from(!self.ends))]);
        }
        Ok(logits.chunks_exact(size).flat_map(|row| log_softmax(row).into_iter().chain(end)).collect())
    }
}

/// ln softmax. Logits that allow no choice (NaN, +∞, or only −∞) stay as they are, so the search can report them.
fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - top).exp()).sum();
    let all = top + sum.ln();
    if !all.is_finite() {
        return logits.to_vec();
    }
    logits.iter().map(|&logit| (f64::from(logit) - all) as f32).collect()
}
