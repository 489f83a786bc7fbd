//! What all recurrent layers share with the models that stand on them: sizes, and an interface that does not say which
//! layer it is.
//!
//! A model over "some recurrent layer" is generic over [`Recurrent`]. The layers have methods of their own besides, with
//! the types of their own states, because an LSTM's two tensors should not be told apart by position alone.

pub mod gru;
pub mod lstm;
pub mod rnn;
mod stack;

use seqloom_graph::{Lengths, Params, Tensor};

use crate::recurrent::stack::Stack;

/// Sizes of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecurrentConfig {
    /// Channels of the input, C.
    pub input: usize,
    /// Width of the hidden state, H.
    pub hidden: usize,
    /// Stacked layers, L; at least 1 (0 is taken as 1).
    pub layers: usize,
    /// Whether each layer runs over the sequence in both directions, D = 2; the next layer sees both outputs side by side.
    pub bidirectional: bool,
    /// Probability of dropout between layers, while training; not after the last one.
    pub dropout: f32,
}

impl RecurrentConfig {
    /// One layer in one direction without dropout.
    #[must_use]
    pub fn new(input: usize, hidden: usize) -> Self {
        Self { input, hidden, layers: 1, bidirectional: false, dropout: 0.0 }
    }

    /// D: 2 if bidirectional, else 1.
    #[must_use]
    pub fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// Shape [L·D, B, H] of each tensor of a state.
    #[must_use]
    pub fn state_shape(&self, batch: usize) -> [usize; 3] {
        [self.layers * self.directions(), batch, self.hidden]
    }
}

/// A recurrent layer as models that stand on any of them see it: [`crate::Rnn`], [`crate::Lstm`], [`crate::Gru`].
pub trait Recurrent: Sized {
    /// What models call the layer in the names of parameters: `rnn`, `lstm`, `gru`.
    const NAME: &'static str;
    /// The tensors of a state, in order: `h`, and in an LSTM `c`.
    const STATE: &'static [&'static str];

    /// Registers the layer's parameters under `name`; the RNN's activation is tanh.
    fn register(params: &mut Params, name: &str, config: RecurrentConfig) -> Self;

    /// Its layers.
    #[doc(hidden)]
    fn stack(&self) -> &Stack;

    /// Its sizes.
    fn config(&self) -> RecurrentConfig {
        self.stack().config()
    }

    /// Records the layers over padded sequences [B, T, C], from a state of [L·D, B, H] each (`None` is zeros).
    #[track_caller]
    fn run<'g>(&self, x: Tensor<'g>, state: Option<&[Tensor<'g>]>, lengths: Option<Lengths<'g>>) -> Run<'g> {
        self.stack().run(x, state, lengths)
    }

    /// Records the layers over packed sequences [N, C].
    #[track_caller]
    fn run_packed<'g>(&self, x: Tensor<'g>, state: Option<&[Tensor<'g>]>, lengths: Lengths<'g>) -> Run<'g> {
        self.stack().run_packed(x, state, lengths)
    }
}

/// What [`Recurrent::run`] gives.
#[derive(Clone, Debug)]
pub struct Run<'g> {
    /// Hidden states of the last layer: [B, T, D·H], 0 on padded steps; or packed [N, D·H], 0 on surplus rows.
    pub output: Tensor<'g>,
    /// The state after each row's last step, of the tensors that [`Recurrent::STATE`] names, [L·D, B, H] each.
    pub state: Vec<Tensor<'g>>,
}

/// What [`crate::Rnn`] and [`crate::Gru`] give.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentOutput<'g> {
    /// Hidden states of the last layer: [B, T, D·H], 0 on padded steps; or packed [N, D·H], 0 on surplus rows.
    pub output: Tensor<'g>,
    /// Hidden state of every layer and direction after each row's last step [L·D, B, H].
    pub h_n: Tensor<'g>,
}

impl<'g> RecurrentOutput<'g> {
    pub(crate) fn of(run: Run<'g>) -> Self {
        Self { output: run.output, h_n: run.state.first().copied().unwrap_or(run.output) }
    }
}
