//! The gated recurrent unit.
//!
//! The reset gate multiplies h·W_hnᵀ + b_hn after the product, as in cuDNN and PyTorch, so all three gates share one
//! product. Cho et al. reset h before it, which is an option.

use seqloom_graph::{Lengths, Params, Tensor};

use crate::recurrent::Recurrent;
use crate::recurrent::shapes::{RecurrentConfig, RecurrentOutput};
use crate::recurrent::stack::{Cell, Stack, Variant};

/// Stacked GRU layers (Cho et al. 2014, with the reset gate after the product).
///
/// Formula, for each row, layer and step t, with h₋₁ = h0:
///
/// ```text
/// r_t = sigmoid(W_ir·x_t + b_ir + W_hr·h_{t-1} + b_hr)         reset gate
/// z_t = sigmoid(W_iz·x_t + b_iz + W_hz·h_{t-1} + b_hz)         update gate
/// n_t =    tanh(W_in·x_t + b_in + r_t∘(W_hn·h_{t-1} + b_hn))   candidate
/// h_t = (1 − z_t)∘n_t + z_t∘h_{t-1}                             output, and the next layer's x_t
/// ```
///
/// Shapes: x [B, T, C] → output [B, T, D·H], h_n [L·D, B, H]; D is 2 for both directions, whose outputs stand side by side
/// (forward first), else 1.
///
/// Parameters of layer l, as PyTorch names and orders them, all uniform in ±1/√H: (gates r, z, n along the first axis)
/// `weight_ih_l{l}` [3H, C or D·H], `weight_hh_l{l}` [3H, H], `bias_ih_l{l}` \[3H\], `bias_hh_l{l}` \[3H\]; and the
/// same with the suffix `_reverse` for the other direction.
///
/// With lengths, row b has `lengths[b]` steps, from 1 to T: its outputs after them are 0, and its final state is the
/// one after its own last step (in the reverse direction, which starts at its own last step, after its first). No
/// gradient comes from padding, and padding costs no work.
///
/// Errors: operands of other shapes poison the outputs; a bad length is found on the host when the program runs.
#[derive(Clone, Debug)]
pub struct Gru {
    stack: Stack,
}

/// What a GRU does otherwise; the default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GruOptions {
    /// n_t = tanh(W_in·x_t + b_in + W_hn·(r_t∘h_{t-1}) + b_hn): the reset gate before the product (Cho et al. 2014; ONNX's
    /// `linear_before_reset=0`, Keras' `reset_after=False`). Parameters have the same names and shapes.
    ///
    /// The layer is recorded step by step, because its kernels have one product in a step and this takes two: T steps make T times
    /// the launches and stored tensors, and the layer is several times slower than without.
    pub reset_before: bool,
}

impl Gru {
    /// Registers the parameters of all layers under `name`.
    pub fn new(params: &mut Params, name: &str, config: RecurrentConfig) -> Self {
        Self { stack: Stack::new(params, name, Cell::Gru, config) }
    }

    /// Registers the parameters of layers with options.
    pub fn with_options(
        params: &mut Params,
        name: &str,
        config: RecurrentConfig,
        options: GruOptions,
    ) -> Self {
        let variant = Variant { reset_before: options.reset_before, ..Variant::default() };
        Self { stack: Stack::with(params, name, Cell::Gru, config, variant) }
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

impl Recurrent for Gru {
    const NAME: &'static str = "gru";
    const STATE: &'static [&'static str] = &["h"];

    fn register(params: &mut Params, name: &str, config: RecurrentConfig) -> Self {
        Self::new(params, name, config)
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }
}
