//! The Markov chain of order 1 as a trained network: the simplest autoregressive model.
//!
//! It remembers only the last symbol, so its parameters are one table of logits. Counting pairs would give the same
//! chain at once (the loss is minimal at the logarithms of the pairs' frequencies). It is trained by gradient so that
//! it can be compared with the other models on equal terms.

use seqloom_graph::{Graph, Init, Lengths, ParamId, Params, Tensor};

use crate::batch::lm_batch::LmBatch;
use crate::model::Model;
use crate::models::language::{LanguageModel, Reading, state_or_zeros};
use crate::state::{Past, StateShape};
use crate::vocab::Vocab;

/// A language model in which a symbol depends only on the one before it (Markov 1913; Shannon 1948, the "digram"
/// model).
///
/// Formula: P(x_{t+1} = v | x_1 .. x_t) = softmax(W\[x_t\])_v.
///
/// Shapes: tokens [B, T] → logits [B, T, V]; parameter `transition.weight` [V, V], zeros initially (all symbols equally
/// likely). No state.
#[derive(Clone, Debug)]
pub struct MarkovLm {
    vocab: Vocab,
    transition: ParamId,
}

impl MarkovLm {
    /// Registers the table over the symbols of `vocab`.
    pub fn new(params: &mut Params, vocab: Vocab) -> Self {
        let size = vocab.size();
        let transition =
            params.scope("transition", |params| params.add("weight", &[size, size], Init::Zeros));
        Self { vocab, transition }
    }
}

impl Model<LmBatch> for MarkovLm {
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        self.next_token_loss(g, batch)
    }
}

impl LanguageModel for MarkovLm {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn state_shapes(&self, _rows: usize) -> Vec<StateShape> {
        Vec::new()
    }

    #[track_caller]
    fn read<'g>(
        &self,
        tokens: Tensor<'g>,
        past: Option<&Past<'g>>,
        _lengths: Option<Lengths<'g>>,
    ) -> Reading<'g> {
        let state = state_or_zeros(self, "MarkovLm", tokens, past);
        Reading { features: tokens.graph().param(self.transition).gather_rows(tokens), state }
    }

    /// What it reads is the answer.
    fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        features
    }
}
