//! The gradient of the last result with respect to the input of every earlier step.
//!
//! Every step reads a different symbol, so row s of the embedding's gradient is the gradient at the step that read s,
//! in any model with an embedding. The loss is a random projection of the last step's features.

use seqloom::graph::{Arena, Control, Objective, Program, Request};
use seqloom::prelude::*;

use crate::Outcome;
use crate::systems::Visit;

/// Follows the gradient over this many steps; returns its norm at every distance, 0 first.
pub struct Follow<'a> {
    pub device: &'a Device,
    pub time: usize,
    pub seed: u64,
}

impl Visit for Follow<'_> {
    type Output = Outcome<Vec<f64>>;

    fn visit<M: LanguageModel>(self, make: impl FnOnce(&mut Params) -> M) -> Self::Output {
        let Self { device, time, seed } = self;
        let mut params = Params::seeded(seed);
        let model = make(&mut params);
        let embedding = params.iter().position(|spec| spec.name == "embedding.weight");
        let embedding = embedding.ok_or("the model has no parameter embedding.weight")?;
        let store = ParamStore::new(device, params, StoreKind::Training)?;
        let g = store.training_graph();
        let tokens = g.ids("tokens", &[1, time], time);
        let last = model.read(tokens, None, None).features.slice(1, time - 1, 1);
        let width = last.dim(2);
        // Any fixed weights of both signs.
        let weights = (0..width).map(|k| ((k as f32 + 1.0) * 1.7).sin()).collect();
        let loss = (last * g.literal(&[width], weights)).sum_all();
        let request = Request { outputs: &[], objective: Some(Objective { loss, update: None }) };
        let ids = HostTensor::u32(&[1, time], (0..time as u32).collect())?;
        Program::compile(&store, &g, request)?.run(&[("tokens", &ids)], &Control::default())?;
        let gradient = store.read(Arena::Grads)?.swap_remove(embedding);
        let norm = |row: &[f32]| row.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt();
        Ok(gradient.chunks(gradient.len() / time).rev().map(norm).collect())
    }
}

/// The farthest distance with any gradient.
pub fn reach(norms: &[f64]) -> usize {
    norms.iter().rposition(|&norm| norm > 0.0).unwrap_or(0)
}
