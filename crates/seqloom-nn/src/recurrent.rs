//! What all recurrent layers share with the models on top of them: sizes, and an interface that does not depend on the
//! layer.
//!
//! A model over any recurrent layer is generic over [`Recurrent`]. The layers also have their own methods with typed
//! states, because an LSTM's two tensors should not be told apart only by position.

pub mod gru;
pub mod lstm;
pub mod rnn;
pub mod shapes;
mod stack;
mod stepwise;

use seqloom_graph::{Lengths, Params, Tensor};

use crate::recurrent::shapes::{RecurrentConfig, Run};
use crate::recurrent::stack::Stack;

/// A recurrent layer as seen by models over any of them: [`crate::Rnn`], [`crate::Lstm`], [`crate::Gru`].
pub trait Recurrent: Sized {
    /// The layer's name in parameter names: `rnn`, `lstm`, `gru`.
    const NAME: &'static str;
    /// The tensors of a state, in order: `h`, and `c` for an LSTM.
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
