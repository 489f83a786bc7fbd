//! The latent autoregressive model in its simplest form: a linear state that summarises the whole past.
//!
//! The state is linear and each channel is separate, so the states of all steps are sums with known weights. Doubling
//! computes them in log₂ T pointwise passes over the whole sequence instead of T sequential steps: after k passes, step
//! t has summed its last 2ᵏ inputs. A recurrent network with a nonlinear state (`Rnn`) has no such shortcut.

use seqloom_graph::{Graph, Init, Lengths, ParamId, Params, Tensor};

use crate::batch::lm_batch::LmBatch;
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::model::Model;
use crate::models::language::{LanguageModel, Reading, last_step, state_or_zeros};
use crate::state::{Past, StateShape};
use crate::vocab::Vocab;

/// Initial half-lives, in steps, of the fastest and the slowest channel: from just the last symbol to a few lines.
const HALF_LIVES: (f32, f32) = (0.25, 64.0);

/// Sizes of a [`LatentLm`].
#[derive(Clone, Debug, PartialEq)]
pub struct LatentLmConfig {
    /// Symbols that it reads and predicts, V.
    pub vocab: Vocab,
    /// Channels of the state, N; also those of the embedding.
    pub state: usize,
    /// Width of the readout's hidden layer, H.
    pub hidden: usize,
}

impl LatentLmConfig {
    /// A config with these sizes.
    #[must_use]
    pub fn new(vocab: Vocab, state: usize, hidden: usize) -> Self {
        Self { vocab, state, hidden }
    }
}

/// A language model whose hidden state summarises the past: h_t = g(h_{t-1}, x_t), then P(x_{t+1} | h_t).
///
/// Here g is linear, with one trained decay rate per channel, so the state is a set of moving averages of the embedded
/// symbols over short and long times (Mozer 1992, "Induction of Multiscale Temporal Structure"; the scale γ, which
/// keeps the state's variance at the inputs', is that of the linear recurrent unit of Orvieto et al. 2023). The readout
/// is a network with one hidden layer. It is an RNN without a nonlinearity in its recurrence and without products
/// between its channels: what it forgets does not depend on what it reads.
///
/// ```text
/// a      = sigmoid(decay)                      in (0, 1), for each channel
/// γ      = √(1 − a²)
/// h_t    = a∘h_{t-1} + γ∘e(x_t)
/// logits = W_head·tanh(W_hidden·h_t + b_hidden) + b_head
/// ```
///
/// Shapes: tokens [B, T] → logits [B, T, V]; parameters `embedding.weight` [V, N], `decay` \[N\] (at first of half-lives from
/// 1/4 to 64 steps), `hidden.weight` [H, N], `hidden.bias` \[H\], `head.weight` [V, H], `head.bias` \[V\]. State: h [B, N].
#[derive(Clone, Debug)]
pub struct LatentLm {
    vocab: Vocab,
    channels: usize,
    embedding: Embedding,
    decay: ParamId,
    hidden: Linear,
    head: Linear,
}

impl LatentLm {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: LatentLmConfig) -> Self {
        let LatentLmConfig { vocab, state, hidden } = config;
        let size = vocab.size();
        Self {
            vocab,
            channels: state,
            embedding: Embedding::new(params, "embedding", size, state),
            decay: params.add("decay", &[state], Init::Values(decays(state))),
            hidden: Linear::new(params, "hidden", state, hidden),
            head: Linear::new(params, "head", hidden, size),
        }
    }

    /// Records the states after every step: inputs γ∘e(x) [B, T, N] and the state before them [B, N] → [B, T, N].
    #[track_caller]
    fn states<'g>(&self, inputs: Tensor<'g>, a: Tensor<'g>, before: Tensor<'g>) -> Tensor<'g> {
        let (rows, time) = (inputs.dim(0), inputs.dim(1));
        // The past enters as if it were part of the first input.
        let first = (before * a).reshape(&[rows, 1, self.channels]);
        let mut sums = inputs + first.pad(1, 0, time.saturating_sub(1));
        let (mut reach, mut factor) = (1, a);
        while reach < time {
            sums = sums + sums.slice(1, 0, time - reach).pad(1, reach, 0) * factor;
            (reach, factor) = (reach * 2, factor.square());
        }
        sums
    }
}

/// Values of `decay` whose half-lives are spread evenly over [`HALF_LIVES`] in their logarithm.
fn decays(channels: usize) -> Vec<f32> {
    let (fastest, slowest) = HALF_LIVES;
    let ratio = slowest / fastest;
    let half_life = |i: usize| fastest * ratio.powf(i as f32 / channels.saturating_sub(1).max(1) as f32);
    // a = 2^(−1/half-life), and its logit.
    (0..channels).map(|i| (-1.0 / half_life(i)).exp2()).map(|a| (a / (1.0 - a)).ln()).collect()
}

impl Model<LmBatch> for LatentLm {
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        self.next_token_loss(g, batch)
    }
}

impl LanguageModel for LatentLm {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        vec![StateShape::new(&[rows, self.channels], 0)]
    }

    #[track_caller]
    fn read<'g>(
        &self,
        tokens: Tensor<'g>,
        past: Option<&Past<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> Reading<'g> {
        let embedded = self.embedding.forward(tokens);
        let decay = tokens.graph().param(self.decay);
        let a = decay.sigmoid();
        // 1 − a² = (1 − a)(1 + a) with 1 − a as a sigmoid of its own: it never rounds to 0, where the root has no gradient.
        let scale = ((-decay).sigmoid() * (1.0 + a)).sqrt();
        let inputs = embedded * scale;
        let before = state_or_zeros(self, "LatentLm", tokens, past);
        let states = before.first().map_or(inputs, |before| self.states(inputs, a, *before));
        let features = self.hidden.forward(states).tanh();
        Reading { features, state: vec![last_step(states, lengths)] }
    }

    #[track_caller]
    fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::Graph;

    #[test]
    fn half_lives_are_spread_over_their_range() {
        let lives = |channels| {
            let rate = |d: f32| 1.0 / (1.0 + (-d).exp());
            decays(channels).into_iter().map(|d| -1.0 / rate(d).log2()).collect::<Vec<_>>()
        };
        let five = lives(5);
        for (life, expected) in five.iter().zip([0.25, 1.0, 4.0, 16.0, 64.0]) {
            // A logit of some 4.5 rounded to f32, and its sigmoid: a few 1e-6 of 1 − a, which the half-life is inverse to.
            assert!((life / expected - 1.0).abs() < 1e-4, "{five:?}");
        }
        assert_eq!((lives(1).len(), lives(0).len()), (1, 0));
    }

    #[test]
    fn shapes_and_count() {
        let mut params = Params::seeded(1);
        let model = LatentLm::new(&mut params, LatentLmConfig { vocab: Vocab::ids(7), state: 5, hidden: 4 });
        assert_eq!(params.count(), 7 * 5 + 5 + 4 * 5 + 4 + 7 * 4 + 7);
        let g = Graph::training(&params);
        let out = model.read(g.ids("tokens", &[2, 6], 7), None, Some(g.lengths("lengths", 2, 6)));
        let logits = model.logits(out.features);
        g.check().unwrap();
        assert_eq!((logits.shape().to_vec(), out.state[0].shape().to_vec()), (vec![2, 6, 7], vec![2, 5]));
    }
}
