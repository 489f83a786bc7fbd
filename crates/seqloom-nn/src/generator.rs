//! Text from a model, one symbol a time.
//!
//! A program of one row and one step is compiled once; the state it returns is fed to it again with the next symbol. So a
//! symbol costs the same wherever it stands in the text. (Running the whole text so far for each symbol, as a stateless
//! program would have to, costs more with every symbol.) The choice among symbols is made on the host: it needs V numbers,
//! and there the generator of random numbers is seeded, portable and exact.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use seqloom_graph::host_tensor::HostSliceMut;
use seqloom_graph::{Control, DType, HostTensor, ParamStore, Program, Request};

use crate::error::NnError;
use crate::language_model::LanguageModel;
use crate::vocab::Vocab;

/// Generates symbols from a [`LanguageModel`], greedily or by temperature.
///
/// Every call starts from a zero state and reads its prompt first. An empty prompt is defined as the start of a line: the
/// model reads a line feed if it knows one, else the symbol with id 0, and that symbol is no part of the result.
#[derive(Debug)]
pub struct Generator {
    vocab: Vocab,
    program: Program,
    temperature: f32,
    random: ChaCha8Rng,
    token: HostTensor,
    /// The model's state between symbols, for one row, under its inputs' names.
    state: Vec<(String, HostTensor)>,
    steps: u64,
}

impl Generator {
    pub(crate) fn new(model: &impl LanguageModel, store: &ParamStore) -> Result<Self, NnError> {
        let g = store.inference_graph();
        let shapes = model.state_shapes(1);
        let names: Vec<_> = (0..shapes.len()).map(|i| format!("state{i}")).collect();
        let size = model.vocab().size();
        let token = g.ids("token", &[1, 1], size);
        let before: Vec<_> = names.iter().zip(&shapes).map(|(n, s)| g.input(n, s, DType::F32)).collect();
        let after = model.predict(token, &before, None);
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(after.state.iter().copied()).collect();
        let outputs = &[&[("logits", after.logits.reshape(&[size]))], &outputs[..]].concat();
        let program = Program::compile(store, &g, Request { outputs, objective: None })?;
        let zeros = shapes.iter().map(|shape| HostTensor::f32(shape, vec![0.0; shape.iter().product()]));
        let zeros = zeros.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            vocab: model.vocab().clone(),
            program,
            temperature: 1.0,
            random: ChaCha8Rng::seed_from_u64(0),
            token: HostTensor::u32(&[1, 1], vec![0])?,
            state: names.into_iter().zip(zeros).collect(),
            steps: 0,
        })
    }

    /// The same generator sampling from softmax(logits / temperature); 1 if never set. Lower is more certain.
    ///
    /// # Errors
    /// [`NnError::Temperature`] unless it is finite and above 0.
    pub fn with_temperature(mut self, temperature: f32) -> Result<Self, NnError> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(NnError::Temperature { value: temperature });
        }
        self.temperature = temperature;
        Ok(self)
    }

    /// The same generator with its random numbers started from `seed`; 0 if never set. The same seed and parameters give
    /// the same text.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.random = ChaCha8Rng::seed_from_u64(seed);
        self
    }

    /// The prompt and `count` characters after it, each drawn from the model's distribution at the temperature.
    ///
    /// # Errors
    /// [`NnError::UnknownChar`] for a prompt the model cannot read; [`NnError::NamelessVocab`]; [`NnError::NotFinite`] if
    /// the parameters have gone bad; [`NnError::Graph`] if the device fails.
    pub fn sample(&mut self, prompt: &str, count: usize) -> Result<String, NnError> {
        let ids = self.vocab.encode(prompt)?;
        let more = self.sample_ids(&ids, count)?;
        Ok(format!("{prompt}{}", self.vocab.decode(&more)?))
    }

    /// The prompt and `count` characters after it, each the likeliest one.
    ///
    /// # Errors
    /// As [`Generator::sample`].
    pub fn greedy(&mut self, prompt: &str, count: usize) -> Result<String, NnError> {
        let ids = self.vocab.encode(prompt)?;
        let more = self.greedy_ids(&ids, count)?;
        Ok(format!("{prompt}{}", self.vocab.decode(&more)?))
    }

    /// `count` ids after the prompt's, drawn at the temperature; without the prompt.
    ///
    /// # Errors
    /// As [`Generator::sample`]; an id of V or more is a [`NnError::Graph`].
    pub fn sample_ids(&mut self, prompt: &[u32], count: usize) -> Result<Vec<u32>, NnError> {
        let temperature = f64::from(self.temperature);
        self.generate(prompt, count, |logits, random| draw(logits, temperature, uniform(random)))
    }

    /// `count` ids after the prompt's, each the likeliest one (the lowest of equals); without the prompt.
    ///
    /// # Errors
    /// As [`Generator::sample_ids`].
    pub fn greedy_ids(&mut self, prompt: &[u32], count: usize) -> Result<Vec<u32>, NnError> {
        self.generate(prompt, count, |logits, _| likeliest(logits))
    }

    /// The program that makes one symbol.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// How often the program has run: once for each symbol read or generated, less the last of each call.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn generate(
        &mut self,
        prompt: &[u32],
        count: usize,
        choose: impl Fn(&[f32], &mut ChaCha8Rng) -> usize,
    ) -> Result<Vec<u32>, NnError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        self.rewind();
        let start = [self.vocab.id('\n').unwrap_or(0)];
        let prompt = if prompt.is_empty() { &start } else { prompt };
        let mut logits = Vec::new();
        for &id in prompt {
            logits = self.step(id)?;
        }
        let mut ids = Vec::with_capacity(count);
        loop {
            let choice = choose(&logits, &mut self.random);
            let id = u32::try_from(choice).unwrap_or(u32::MAX);
            ids.push(id);
            if ids.len() == count {
                return Ok(ids);
            }
            logits = self.step(id)?;
        }
    }

    /// Reads one symbol: logits \[V\] of the next one; the state moves on.
    fn step(&mut self, id: u32) -> Result<Vec<f32>, NnError> {
        fill_u32(&mut self.token, id);
        let mut inputs = vec![("token", &self.token)];
        inputs.extend(self.state.iter().map(|(name, tensor)| (name.as_str(), tensor)));
        self.program.run(&inputs, &Control::default())?;
        self.steps += 1;
        // All are asked for before the first is waited for: one stop of the device, not one each.
        let logits = self.program.read("logits")?;
        let read = self.state.iter().map(|(name, _)| self.program.read(name));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        let logits = logits.wait()?;
        for ((_, state), read) in self.state.iter_mut().zip(read) {
            copy_f32(state, &read.wait()?);
        }
        match logits.iter().position(|l| !l.is_finite()) {
            Some(id) => Err(NnError::NotFinite { id }),
            None => Ok(logits),
        }
    }

    fn rewind(&mut self) {
        for (_, state) in &mut self.state {
            if let HostSliceMut::F32(values) = state.data_mut() {
                values.fill(0.0);
            }
        }
    }
}

fn fill_u32(tensor: &mut HostTensor, value: u32) {
    if let HostSliceMut::U32(values) = tensor.data_mut() {
        values.fill(value);
    }
}

fn copy_f32(tensor: &mut HostTensor, from: &[f32]) {
    if let HostSliceMut::F32(values) = tensor.data_mut() {
        for (to, from) in values.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

/// A number in [0, 1) with all 53 bits that an f64 has there.
pub(crate) fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 * (0.5_f64).powi(53)
}

/// Index of the greatest logit, the first of equals.
fn likeliest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best
}

/// Draws from softmax(logits / temperature) by inverting its distribution function at `at` in [0, 1).
fn draw(logits: &[f32], temperature: f64, at: f64) -> usize {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let weight = |logit: f32| ((f64::from(logit) - top) / temperature).exp();
    let total: f64 = logits.iter().map(|&l| weight(l)).sum();
    let mut left = at * total;
    for (id, &logit) in logits.iter().enumerate() {
        left -= weight(logit);
        if left < 0.0 {
            return id;
        }
    }
    // Rounding can leave a crumb after the last symbol; the likeliest one takes it.
    likeliest(logits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0, 3f32.ln(), f32::MIN];
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let ones = (0..4000).filter(|_| draw(&logits, 1.0, uniform(&mut random)) == 1).count();
        // 3/4 expected; the standard deviation of the count is 27.
        assert!((2860..3140).contains(&ones), "{ones}");
        assert_eq!(draw(&logits, 1.0, 0.0), 0);
        assert_eq!(draw(&logits, 1.0, 0.999_999), 1);
    }

    #[test]
    fn a_low_temperature_is_greedy_and_never_overflows() {
        let logits = [1.0, 90.0, -90.0, 89.9];
        for at in [0.0, 0.5, 0.999_999_9] {
            assert_eq!(draw(&logits, 1e-6, at), likeliest(&logits));
        }
        assert_eq!(likeliest(&[2.0, 5.0, 5.0]), 1);
    }
}
