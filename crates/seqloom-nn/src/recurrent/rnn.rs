//! The vanilla recurrent network.
//!
//! Gradients shrink or grow by W_hh at every step. It is here for comparison, and because nothing is cheaper for short
//! dependencies.

use seqloom_graph::{Activation, Lengths, Params, Tensor};

use crate::recurrent::Recurrent;
use crate::recurrent::shapes::{RecurrentConfig, RecurrentOutput};
use crate::recurrent::stack::{Cell, Stack};

/// Stacked vanilla RNN layers (Elman 1990).
///
/// Formula, for each row, layer and step t, with h₋₁ = h0 and φ one of tanh, max(0, ·) and sigmoid:
///
/// ```text
/// h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t-1} + b_hh)               output, and the next layer's x_t
/// ```
///
/// Shapes: x [B, T, C] → output [B, T, D·H], h_n [L·D, B, H]; D is 2 for both directions, whose outputs stand side by side
/// (forward first), else 1.
///
/// Parameters of layer l, as PyTorch names and orders them, all uniform in ±1/√H: `weight_ih_l{l}` [H, C or D·H],
/// `weight_hh_l{l}` [H, H], `bias_ih_l{l}` \[H\], `bias_hh_l{l}` \[H\]; and the same with the suffix `_reverse` for the
/// other direction.
///
/// With lengths, row b has `lengths[b]` steps, from 1 to T: its outputs after them are 0, and its final state is the
/// one after its own last step (in the reverse direction, which starts at its own last step, after its first). No
/// gradient comes from padding, and padding costs no work.
///
/// Errors: operands of other shapes poison the outputs; a bad length is found on the host when the program runs.
#[derive(Clone, Debug)]
pub struct Rnn {
    stack: Stack,
}

impl Rnn {
    /// Registers the parameters of all layers under `name`.
    pub fn new(params: &mut Params, name: &str, activation: Activation, config: RecurrentConfig) -> Self {
        Self { stack: Stack::new(params, name, Cell::Rnn(activation), config) }
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> RecurrentConfig {
        self.stack.config()
    }

    /// Records the layers: x [B, T, C], a state [L·D, B, H] to start from (zeros if `None`), and row lengths (all T if
    /// `None`) → [`RecurrentOutput`].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(
        &self,
        x: Tensor<'g>,
        state: Option<Tensor<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> RecurrentOutput<'g> {
        RecurrentOutput::of(self.stack.run(x, state.as_ref().map(std::slice::from_ref), lengths))
    }

    /// [`Self::forward`] over packed sequences: x [N, C] → output [N, D·H].
    #[track_caller]
    #[must_use]
    pub fn forward_packed<'g>(
        &self,
        x: Tensor<'g>,
        state: Option<Tensor<'g>>,
        lengths: Lengths<'g>,
    ) -> RecurrentOutput<'g> {
        RecurrentOutput::of(self.stack.run_packed(x, state.as_ref().map(std::slice::from_ref), lengths))
    }

    /// Records one step, for streams: x [B, C] and a state [L, B, H] → the last layer's [B, H] and the new state. A
    /// bidirectional layer poisons the result, because it would need the end of the stream.
    #[track_caller]
    #[must_use]
    pub fn step<'g>(&self, x: Tensor<'g>, state: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
        let out = RecurrentOutput::of(self.stack.step(x, &[state]));
        (out.output, out.h_n)
    }
}

impl Recurrent for Rnn {
    const NAME: &'static str = "rnn";
    const STATE: &'static [&'static str] = &["h"];

    fn register(params: &mut Params, name: &str, config: RecurrentConfig) -> Self {
        Self::new(params, name, Activation::Tanh, config)
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }
}
