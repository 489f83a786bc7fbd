//! Long short-term memory over whole sequences.
//!
//! The cell state passes from step to step only through a product with the forget gate, so gradients reach far back
//! while that gate stays near 1. The price is two states and four gates.

use seqloom_graph::{Lengths, Params, Tensor};

use crate::recurrent::Recurrent;
use crate::recurrent::shapes::{RecurrentConfig, Run};
use crate::recurrent::stack::{Cell, Stack, Variant};

/// Stacked LSTM layers (Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000).
///
/// Formula, for each row, layer and step t, with h₋₁ = h0 and c₋₁ = c0:
///
/// ```text
/// i_t = sigmoid(W_ii·x_t + b_ii + W_hi·h_{t-1} + b_hi)        input gate
/// f_t = sigmoid(W_if·x_t + b_if + W_hf·h_{t-1} + b_hf)        forget gate
/// g_t =    tanh(W_ig·x_t + b_ig + W_hg·h_{t-1} + b_hg)        candidate
/// o_t = sigmoid(W_io·x_t + b_io + W_ho·h_{t-1} + b_ho)        output gate
/// c_t = f_t∘c_{t-1} + i_t∘g_t                                  cell
/// h_t = o_t∘tanh(c_t)                                          output, and the next layer's x_t
/// ```
///
/// Shapes: x [B, T, C] → output [B, T, D·H], h_n and c_n [L·D, B, H]; D is 2 for both directions, whose outputs stand side
/// by side (forward first), else 1.
///
/// Parameters of layer l, as PyTorch names and orders them, all uniform in ±1/√H: (gates i, f, g, o along the first
/// axis) `weight_ih_l{l}` [4H, C or D·H], `weight_hh_l{l}` [4H, H], `bias_ih_l{l}` \[4H\], `bias_hh_l{l}` \[4H\]; and
/// the same with the suffix `_reverse` for the other direction.
///
/// With lengths, row b has `lengths[b]` steps, from 1 to T: its outputs after them are 0, and its final state is the
/// one after its own last step (in the reverse direction, which starts at its own last step, after its first). No
/// gradient comes from padding, and padding costs no work.
///
/// Errors: operands of other shapes poison the outputs; a bad length is found on the host when the program runs.
#[derive(Clone, Debug)]
pub struct Lstm {
    stack: Stack,
}

/// What an LSTM does besides; the default is nothing.
///
/// With any of them the layer is recorded step by step, because its kernels have one product in a step and no place for more: T steps
/// make T times the launches and stored tensors, and the layer is several times slower than without.
///
/// ```text
/// z_i = W_ii·x_t + b_ii + W_hi·h_{t-1} + b_hi + p_i∘c_{t-1}       f alike; o with c_t; g has no peephole
/// i_t = sigmoid(min(max(z_i, −clip), clip))                        all four gates
/// h_t = W_hr·(o_t∘tanh(c_t))                                        output, and what the next step and layer see
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LstmOptions {
    /// P, the width that h is projected to, from 1 to H − 1 (Sak et al. 2014; PyTorch's `proj_size`). The layer's outputs and h are
    /// P wide then, c stays H wide; `weight_hh` is [4H, P], and there is `weight_hr_l{l}` [P, H] besides.
    pub projection: Option<usize>,
    /// The gates i, f and o see the cell (Gers & Schmidhuber 2000; ONNX's input P of LSTM). `weight_ch_l{l}` \[3H\] is p_i, p_f, p_o;
    /// ONNX has i, o, f.
    pub peepholes: bool,
    /// Bound of what the four gates' activations get, finite and above 0 (ONNX's `clip`, as ONNX Runtime takes it). No gradient
    /// passes where it is reached. The cell itself has no bound.
    pub clip: Option<f32>,
}

/// State of all layers and directions.
#[derive(Clone, Copy, Debug)]
pub struct LstmState<'g> {
    /// Hidden state [L·D, B, H], with a projection [L·D, B, P].
    pub h: Tensor<'g>,
    /// Cell state [L·D, B, H].
    pub c: Tensor<'g>,
}

/// The result of [`Lstm::forward`].
#[derive(Clone, Copy, Debug)]
pub struct LstmOutput<'g> {
    /// Hidden states of the last layer: [B, T, D·H], 0 on padded steps; or packed [N, D·H], 0 on surplus rows.
    pub output: Tensor<'g>,
    /// Hidden state of every layer and direction after each row's last step [L·D, B, H].
    pub h_n: Tensor<'g>,
    /// Cell state of every layer and direction after each row's last step [L·D, B, H].
    pub c_n: Tensor<'g>,
}

impl Lstm {
    /// Registers the parameters of all layers under `name`.
    pub fn new(params: &mut Params, name: &str, config: RecurrentConfig) -> Self {
        Self { stack: Stack::new(params, name, Cell::Lstm, config) }
    }

    /// Registers the parameters of layers with options.
    ///
    /// Errors: a projection or a clip out of range poisons what the layer records.
    pub fn with_options(
        params: &mut Params,
        name: &str,
        config: RecurrentConfig,
        options: LstmOptions,
    ) -> Self {
        let LstmOptions { projection, peepholes, clip } = options;
        let variant = Variant { projection, peepholes, clip, ..Variant::default() };
        Self { stack: Stack::with(params, name, Cell::Lstm, config, variant) }
    }

    /// Shapes of h and c for `batch` rows; they differ with a projection.
    #[must_use]
    pub fn state_shapes(&self, batch: usize) -> [[usize; 3]; 2] {
        [self.stack.state_shape(0, batch), self.stack.state_shape(1, batch)]
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> RecurrentConfig {
        self.stack.config()
    }

    /// Records the layers: x [B, T, C], a state of [L·D, B, H] to start from (zeros if `None`), and row lengths (all T if
    /// `None`) → [`LstmOutput`].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(
        &self,
        x: Tensor<'g>,
        state: Option<LstmState<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> LstmOutput<'g> {
        let state = state.map(|s| [s.h, s.c]);
        LstmOutput::of(self.stack.run(x, state.as_ref().map(<[_; 2]>::as_slice), lengths))
    }

    /// [`Self::forward`] over packed sequences: x [N, C] → output [N, D·H].
    #[track_caller]
    #[must_use]
    pub fn forward_packed<'g>(
        &self,
        x: Tensor<'g>,
        state: Option<LstmState<'g>>,
        lengths: Lengths<'g>,
    ) -> LstmOutput<'g> {
        let state = state.map(|s| [s.h, s.c]);
        LstmOutput::of(self.stack.run_packed(x, state.as_ref().map(<[_; 2]>::as_slice), lengths))
    }

    /// Records one step, for streams: x [B, C] and a state of [L, B, H] → the last layer's [B, H] and the new state. A
    /// bidirectional layer poisons the result, because it would need the end of the stream.
    #[track_caller]
    #[must_use]
    pub fn step<'g>(&self, x: Tensor<'g>, state: LstmState<'g>) -> (Tensor<'g>, LstmState<'g>) {
        let out = LstmOutput::of(self.stack.step(x, &[state.h, state.c]));
        (out.output, LstmState { h: out.h_n, c: out.c_n })
    }
}

impl<'g> LstmOutput<'g> {
    fn of(run: Run<'g>) -> Self {
        let state = |i: usize| run.state.get(i).copied().unwrap_or(run.output);
        Self { output: run.output, h_n: state(0), c_n: state(1) }
    }
}

impl Recurrent for Lstm {
    const NAME: &'static str = "lstm";
    const STATE: &'static [&'static str] = &["h", "c"];

    fn register(params: &mut Params, name: &str, config: RecurrentConfig) -> Self {
        Self::new(params, name, config)
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }
}
