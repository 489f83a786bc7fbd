//! W7: 128 tokens from the model of W4, greedily, one row.
//!
//! With a cache of keys and values a token costs one step of the model. Without one, the whole text so far is read
//! again for each token. That runs here in one program of the full length, because a program per length would measure
//! compiling.

use seqloom::graph::HostSliceMut;
use seqloom::graph::{Control, Program, ReadTensors, Request};
use seqloom::prelude::*;

use super::subject::{About, Subject};
use super::transformer::{TIME, gpt};
use crate::error::Result;

/// Tokens that are written: all except the first of the longest row.
const COUNT: usize = TIME;

/// The token that the text starts with, the same as the peers'.
const FIRST: u32 = 1;

/// `generate_kv` or `generate_nocache`.
///
/// # Errors
/// The device's.
pub fn subject(device: &Device, case: &str) -> Result<Box<dyn Subject>> {
    let mut params = Params::seeded(42);
    let model = gpt(&mut params);
    let count = params.count();
    let store = ParamStore::new(device, params, StoreKind::Inference).map_err(seqloom::Error::from)?;
    if case == "generate_kv" {
        let generator = model.generator(&store).map_err(seqloom::Error::from)?;
        return Ok(Box::new(Cached { generator, params: count }));
    }
    let g = store.inference_graph();
    let tokens = g.ids("tokens", &[1, TIME], model.vocab().size());
    let logits = model.logits(model.features(tokens));
    let request = Request { outputs: &[("logits", logits)], objective: None };
    let program = Program::compile(&store, &g, request).map_err(seqloom::Error::from)?;
    Ok(Box::new(Whole { program, params: count }))
}

fn about(params: usize, runs: usize) -> About {
    About { params: Some(params), tokens: Some(COUNT), runs, ..About::default() }
}

struct Cached {
    generator: Generator<Gpt>,
    params: usize,
}

impl Subject for Cached {
    fn step(&mut self) -> Result<Option<f32>> {
        self.generator.greedy_ids(&[FIRST], COUNT).map_err(seqloom::Error::from)?;
        Ok(None)
    }

    fn program(&self) -> Option<&Program> {
        Some(self.generator.program())
    }

    fn planned_bytes(&self) -> u64 {
        self.generator.program().memory().total()
    }

    fn about(&self) -> About {
        about(self.params, COUNT)
    }
}

struct Whole {
    program: Program,
    params: usize,
}

impl Subject for Whole {
    fn step(&mut self) -> Result<Option<f32>> {
        let wrong = seqloom::Error::from;
        let mut text = HostTensor::u32(&[1, TIME], vec![FIRST; TIME]).map_err(wrong)?;
        for read in 1..=COUNT {
            let told = self.program.call(&[("tokens", &text)], &Control::default(), ["logits"]);
            let [logits] = told.and_then(ReadTensors::wait).map_err(wrong)?;
            let width = logits.len() / TIME;
            let last = &logits[(read - 1) * width..][..width];
            let best = (0..width).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap_or(0);
            if let HostSliceMut::U32(text) = text.data_mut()
                && read < TIME
            {
                text[read] = best as u32;
            }
        }
        Ok(None)
    }

    fn program(&self) -> Option<&Program> {
        Some(&self.program)
    }

    fn planned_bytes(&self) -> u64 {
        self.program.memory().total()
    }

    fn about(&self) -> About {
        about(self.params, COUNT)
    }
}
