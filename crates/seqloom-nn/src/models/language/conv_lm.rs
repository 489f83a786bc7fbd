//! The convolutional language model: stacked local windows.
//!
//! Each layer sees a few steps back, so L layers see L times as far, or 2^L times with doubling dilations. That is more
//! than one window ([`crate::models::language::window_lm`]) with fewer weights, and all steps are computed at once,
//! where a recurrent network goes step by step. The state holds, for each layer, the last steps that it sees of the
//! text before; so the layers themselves pad nothing.

use seqloom_graph::{Graph, Lengths, Params, Tensor};

use crate::batch::lm_batch::LmBatch;
use crate::layers::conv1d::{Conv1d, Conv1dConfig};
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::model::Model;
use crate::models::language::{LanguageModel, Reading, state_or_zeros};
use crate::state::{Past, StateShape};
use crate::vocab::Vocab;

/// Sizes of a [`ConvLm`].
#[derive(Clone, Debug, PartialEq)]
pub struct ConvLmConfig {
    /// Symbols that it reads and predicts, V.
    pub vocab: Vocab,
    /// Channels of the embedding and of every layer, C.
    pub channels: usize,
    /// Steps that a layer sees, its own included, k; at least 1.
    pub kernel: usize,
    /// Number of layers, L.
    pub layers: usize,
    /// Factor from one layer's dilation to the next one's: 1 for plain convolutions, 2 as van den Oord et al. 2016 have it.
    pub growth: usize,
}

impl ConvLmConfig {
    /// Plain convolutions of these sizes: every layer of dilation 1.
    #[must_use]
    pub fn new(vocab: Vocab, channels: usize, kernel: usize, layers: usize) -> Self {
        Self { vocab, channels, kernel, layers, growth: 1 }
    }
}

/// A language model of gated convolutions (Dauphin et al. 2017, "Language Modeling with Gated Convolutional Networks"; the
/// residual form of Gehring et al. 2017, "Convolutional Sequence to Sequence Learning").
///
/// ```text
/// x_0     = e(tokens)
/// [a; b]  = conv_l(x_{l-1})                      causal, k steps that lie growth^(l-1) apart
/// x_l     = x_{l-1} + a ⊙ σ(b)
/// logits  = W_head·x_L + b_head
/// ```
///
/// It sees [`ConvLm::reach`] steps back: L·(k−1), or (k−1)·(growth^L − 1)/(growth − 1).
///
/// Shapes: tokens [B, T] → logits [B, T, V]; parameters `embedding.weight` [V, C], `layers.{l}.weight` [2C, C, k],
/// `layers.{l}.bias` \[2C\], `head.weight` [V, C], `head.bias` \[V\]. State: each layer's last inputs, [B,
/// (k−1)·dilation, C].
#[derive(Clone, Debug)]
pub struct ConvLm {
    vocab: Vocab,
    channels: usize,
    embedding: Embedding,
    layers: Vec<Conv1d>,
    head: Linear,
}

impl ConvLm {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: ConvLmConfig) -> Self {
        let ConvLmConfig { vocab, channels, kernel, layers, growth } = config;
        let size = vocab.size();
        let embedding = Embedding::new(params, "embedding", size, channels);
        let mut dilation = 1usize;
        let layers = (0..layers).map(|l| {
            let config = Conv1dConfig { dilation, ..Conv1dConfig::new(channels, 2 * channels, kernel) };
            dilation = dilation.saturating_mul(growth.max(1));
            Conv1d::new(params, &format!("layers.{l}"), config)
        });
        let layers = layers.collect();
        Self { vocab, channels, embedding, layers, head: Linear::new(params, "head", channels, size) }
    }

    /// The farthest step back that it sees.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.layers.iter().map(Conv1d::reach).fold(0, usize::saturating_add)
    }
}

impl Model<LmBatch> for ConvLm {
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        self.next_token_loss(g, batch)
    }
}

impl LanguageModel for ConvLm {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        // A tensor of no steps would have no memory to bind.
        let reaches = self.layers.iter().map(Conv1d::reach).filter(|&reach| reach > 0);
        reaches.map(|reach| StateShape::new(&[rows, reach, self.channels], 0)).collect()
    }

    #[track_caller]
    fn read<'g>(
        &self,
        tokens: Tensor<'g>,
        past: Option<&Past<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> Reading<'g> {
        let mut before = state_or_zeros(self, "ConvLm", tokens, past).into_iter();
        let mut x = self.embedding.forward(tokens);
        let mut state = Vec::new();
        for layer in &self.layers {
            let reach = layer.reach();
            let before = if reach > 0 { before.next() } else { None };
            let all = before.map_or(x, |before| Tensor::concat(before, &[x], 1));
            if reach > 0 {
                state.push(newest(all, reach, lengths));
            }
            let both = layer.forward(all);
            let [value, gate] = [0, self.channels].map(|first| both.slice(2, first, self.channels));
            x = x + value * gate.sigmoid();
        }
        Reading { features: x, state }
    }

    #[track_caller]
    fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(features)
    }
}

/// The last `reach` true steps of rows [B, reach + T, C], where the first `reach` steps come before the T that lengths
/// count.
#[track_caller]
fn newest<'g>(all: Tensor<'g>, reach: usize, lengths: Option<Lengths<'g>>) -> Tensor<'g> {
    let (rows, steps) = (all.dim(0), all.dim(1));
    let Some(lengths) = lengths else { return all.slice(1, steps.saturating_sub(reach), reach) };
    // Row i of the picks has its 1 at step i + length.
    let ahead = (0..reach).flat_map(|i| (0..steps).map(move |s| s as f32 - i as f32)).collect();
    let ahead = all.graph().literal(&[reach, steps], ahead);
    lengths.tensor().to_f32().reshape(&[rows, 1, 1]).equal(ahead).matmul(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    fn model(params: &mut Params, kernel: usize, layers: usize, growth: usize) -> ConvLm {
        ConvLm::new(params, ConvLmConfig { vocab: Vocab::ids(7), channels: 3, kernel, layers, growth })
    }

    #[test]
    fn shapes_follow_the_sizes_and_the_reach_those_of_the_papers() {
        for ((kernel, layers, growth), reach) in
            [((3, 2, 1), 4), ((2, 4, 2), 15), ((1, 2, 1), 0), ((0, 0, 0), 0), ((4, 3, 0), 9)]
        {
            let mut params = Params::seeded(1);
            let model = model(&mut params, kernel, layers, growth);
            assert_eq!(model.reach(), reach);
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
        let model = model(&mut params, 3, 1, 1);
        let g = Graph::inference(&params);
        let state = g.input("state", &[2, 4, 3], DType::F32);
        let past = Past { state: vec![state], steps: g.following("read", 2, 6) };
        let _ = model.read(g.ids("tokens", &[2, 6], 7), Some(&past), None);
        let error = g.check().unwrap_err().to_string();
        assert!(error.contains("ConvLm") && error.contains("[2, 2, 3]"), "{error}");
    }
}
