//! The autoregressive model over a fixed window, AR(τ), as a feed-forward network.
//!
//! The windows of all steps are τ shifted copies of the embedded sequence side by side, so one matrix product serves
//! the whole batch. Embedding every window separately would look up each token τ times.

use seqloom_graph::{Graph, Lengths, Params, Tensor};

use crate::batch::lm_batch::LmBatch;
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::model::Model;
use crate::models::language::{LanguageModel, Reading, last_step, state_or_zeros};
use crate::state::{Past, StateShape};
use crate::vocab::Vocab;

/// Sizes of a [`WindowLm`].
#[derive(Clone, Debug, PartialEq)]
pub struct WindowLmConfig {
    /// Symbols that it reads and predicts, V.
    pub vocab: Vocab,
    /// Symbols that it sees, τ; at least 1 (0 is taken as 1).
    pub order: usize,
    /// Channels of the embedding, C.
    pub embed: usize,
    /// Width of the hidden layer, H.
    pub hidden: usize,
}

impl WindowLmConfig {
    /// A config with these sizes.
    #[must_use]
    pub fn new(vocab: Vocab, order: usize, embed: usize, hidden: usize) -> Self {
        Self { vocab, order, embed, hidden }
    }
}

/// A language model in which a symbol depends on the last τ (Bengio et al. 2003, "A Neural Probabilistic Language Model",
/// without the optional direct connections).
///
/// ```text
/// w_t    = [e(x_{t-τ+1}); ..; e(x_t)]          the window, oldest first; zeros before the start
/// logits = W_head·tanh(W_hidden·w_t + b_hidden) + b_head
/// ```
///
/// Shapes: tokens [B, T] → logits [B, T, V]; parameters `embedding.weight` [V, C], `hidden.weight` [H, τC], `hidden.bias`
/// \[H\], `head.weight` [V, H], `head.bias` \[V\]. State: the embeddings of the last τ − 1 symbols [B, τ−1, C]; none for τ = 1.
#[derive(Clone, Debug)]
pub struct WindowLm {
    vocab: Vocab,
    order: usize,
    channels: usize,
    embedding: Embedding,
    hidden: Linear,
    head: Linear,
}

impl WindowLm {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: WindowLmConfig) -> Self {
        let WindowLmConfig { vocab, order, embed, hidden } = config;
        let (size, order) = (vocab.size(), order.max(1));
        Self {
            vocab,
            order,
            channels: embed,
            embedding: Embedding::new(params, "embedding", size, embed),
            hidden: Linear::new(params, "hidden", order * embed, hidden),
            head: Linear::new(params, "head", hidden, size),
        }
    }

    /// Symbols that it sees, τ.
    #[must_use]
    pub fn order(&self) -> usize {
        self.order
    }
}

impl Model<LmBatch> for WindowLm {
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        self.next_token_loss(g, batch)
    }
}

impl LanguageModel for WindowLm {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        // A tensor of no steps would have no memory to bind.
        if self.order == 1 {
            Vec::new()
        } else {
            vec![StateShape::new(&[rows, self.order - 1, self.channels], 0)]
        }
    }

    #[track_caller]
    fn read<'g>(
        &self,
        tokens: Tensor<'g>,
        past: Option<&Past<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> Reading<'g> {
        let (rows, time) = (tokens.dim(0), tokens.dim(1));
        let embedded = self.embedding.forward(tokens);
        let before = state_or_zeros(self, "WindowLm", tokens, past);
        // [B, τ−1+T, C]: the symbols before, and the present ones.
        let all = before.first().map_or(embedded, |before| Tensor::concat(*before, &[embedded], 1));
        // Element k holds, for every step, the k-th oldest symbol of its window.
        let parts: Vec<_> = (0..self.order).map(|k| all.slice(1, k, time)).collect();
        let window = parts.split_first().map_or(all, |(first, rest)| Tensor::concat(*first, rest, 2));
        let features = self.hidden.forward(window).tanh();
        // The window without its oldest symbol is what the next step needs.
        let kept = self.state_shapes(rows).into_iter();
        let newest = (self.order - 1) * self.channels;
        let state = kept
            .map(|shape| last_step(window.slice(2, self.channels, newest), lengths).reshape(&shape.dims))
            .collect();
        Reading { features, state }
    }

    #[track_caller]
    fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    fn model(params: &mut Params, order: usize) -> WindowLm {
        WindowLm::new(params, WindowLmConfig { vocab: Vocab::ids(7), order, embed: 3, hidden: 4 })
    }

    #[test]
    fn shapes_follow_the_order() {
        for order in [0, 1, 2, 5] {
            let mut params = Params::seeded(1);
            let model = model(&mut params, order);
            let g = Graph::inference(&params);
            let out = model.read(g.ids("tokens", &[2, 6], 7), None, Some(g.lengths("lengths", 2, 6)));
            g.check().unwrap();
            assert_eq!(model.logits(out.features).shape()[..], [2, 6, 7]);
            let shapes: Vec<_> = out.state.iter().map(|s| StateShape::new(&s.shape(), 0)).collect();
            assert_eq!(shapes, model.state_shapes(2));
        }
    }

    #[test]
    fn a_state_of_another_shape_is_refused() {
        let mut params = Params::seeded(1);
        let model = model(&mut params, 4);
        let g = Graph::inference(&params);
        let state = g.input("state", &[2, 4, 3], DType::F32);
        let past = Past { state: vec![state], steps: g.following("read", 2, 6) };
        let _ = model.read(g.ids("tokens", &[2, 6], 7), Some(&past), None);
        let error = g.check().unwrap_err().to_string();
        assert!(error.contains("WindowLm") && error.contains("[2, 3, 3]"), "{error}");
    }
}
