//! Long short-term memory over whole sequences.
//!
//! Each layer is two parts: one matrix product that projects the inputs of all steps at once, and the recurrence proper,
//! which the graph records as a single operation so that the kernels can keep the time loop on the device. Recording the
//! cell once per step would work with any cell, but would make T times the nodes, dispatches and stored activations.

use seqloom_graph::{Init, ParamId, Params, Tensor};

/// Sizes of an [`Lstm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LstmConfig {
    /// Channels of the input, C.
    pub input: usize,
    /// Width of the hidden state, H.
    pub hidden: usize,
    /// Stacked layers, L; at least 1 (0 is taken as 1).
    pub layers: usize,
    /// Probability of dropout between layers, while training; not after the last one.
    pub dropout: f32,
}

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
/// Shapes: x [B, T, C] → output [B, T, H], h_n and c_n [L, B, H].
///
/// Parameters of layer l, as PyTorch names and orders them (gates i, f, g, o along the first axis), all uniform in ±1/√H:
/// `weight_ih_l{l}` [4H, C or H], `weight_hh_l{l}` [4H, H], `bias_ih_l{l}` \[4H\], `bias_hh_l{l}` \[4H\].
///
/// With `lengths` \[B\], row b has `lengths[b]` steps, from 1 to T: its outputs after them are 0, its final state is the one
/// after its own last step, and no gradient comes from beyond.
///
/// Errors: operands of other shapes poison the outputs; a length outside 1..=T is found on the host when the program runs.
#[derive(Clone, Debug)]
pub struct Lstm {
    layers: Vec<Layer>,
    hidden: usize,
    dropout: f32,
}

/// Parameters of one layer.
#[derive(Clone, Copy, Debug)]
struct Layer {
    weight_ih: ParamId,
    weight_hh: ParamId,
    bias_ih: ParamId,
    bias_hh: ParamId,
}

/// State of all layers.
#[derive(Clone, Copy, Debug)]
pub struct LstmState<'g> {
    /// Hidden state [L, B, H].
    pub h: Tensor<'g>,
    /// Cell state [L, B, H].
    pub c: Tensor<'g>,
}

/// What [`Lstm::forward`] gives.
#[derive(Clone, Copy, Debug)]
pub struct LstmOutput<'g> {
    /// Hidden states of the last layer [B, T, H]; 0 on padded steps.
    pub output: Tensor<'g>,
    /// Hidden state of every layer after each row's last step [L, B, H].
    pub h_n: Tensor<'g>,
    /// Cell state of every layer after each row's last step [L, B, H].
    pub c_n: Tensor<'g>,
}

impl Lstm {
    /// Registers the parameters of all layers under `name`.
    pub fn new(params: &mut Params, name: &str, config: LstmConfig) -> Self {
        let LstmConfig { input, hidden, layers, dropout } = config;
        let init = Init::Uniform(1.0 / (hidden.max(1) as f32).sqrt());
        let layers = params.scope(name, |params| {
            (0..layers.max(1))
                .map(|l| {
                    let width = if l == 0 { input } else { hidden };
                    let mut add = |part: &str, shape: &[usize]| {
                        params.add(&format!("{part}_l{l}"), shape, init.clone())
                    };
                    Layer {
                        weight_ih: add("weight_ih", &[4 * hidden, width]),
                        weight_hh: add("weight_hh", &[4 * hidden, hidden]),
                        bias_ih: add("bias_ih", &[4 * hidden]),
                        bias_hh: add("bias_hh", &[4 * hidden]),
                    }
                })
                .collect()
        });
        Self { layers, hidden, dropout }
    }

    /// Number of layers, L.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Width of the hidden state, H.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Records the layers: x [B, T, C], a state [L, B, H] to start from (zeros if `None`), and row lengths \[B\] of u32 (all
    /// T if `None`) → [`LstmOutput`].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(
        &self,
        x: Tensor<'g>,
        state: Option<LstmState<'g>>,
        lengths: Option<Tensor<'g>>,
    ) -> LstmOutput<'g> {
        let g = x.graph();
        let (batch, hidden) = (x.dim(0), self.hidden);
        let mut output = x;
        let (mut h_n, mut c_n) = (Vec::new(), Vec::new());
        for (l, layer) in self.layers.iter().enumerate() {
            let start = |all: Option<Tensor<'g>>| match all {
                Some(all) => all.slice(0, l, 1).reshape(&[batch, hidden]),
                None => g.full(&[batch, hidden], 0.0),
            };
            let (h0, c0) = (start(state.map(|s| s.h)), start(state.map(|s| s.c)));
            let below = if l == 0 { output } else { output.dropout(self.dropout) };
            // [B, T, C or H] → [B, T, 4H]; both biases ride on the product.
            let x_proj =
                below.matmul_t(g.param(layer.weight_ih)) + g.param(layer.bias_ih) + g.param(layer.bias_hh);
            let step = x_proj.lstm(g.param(layer.weight_hh), h0, c0, lengths);
            output = step.y;
            h_n.push(step.h_n.reshape(&[1, batch, hidden]));
            c_n.push(step.c_n.reshape(&[1, batch, hidden]));
        }
        LstmOutput { output, h_n: stack(&h_n, x), c_n: stack(&c_n, x) }
    }
}

/// Layers' states [1, B, H] each → [L, B, H]. `Lstm` always has a layer, so the fallback never stands for a result.
#[track_caller]
fn stack<'g>(states: &[Tensor<'g>], fallback: Tensor<'g>) -> Tensor<'g> {
    match states {
        [] => fallback,
        [only] => *only,
        [first, rest @ ..] => Tensor::concat(*first, rest, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    #[test]
    fn names_shapes_and_outputs_follow_pytorch() {
        let mut params = Params::seeded(1);
        let config = LstmConfig { input: 3, hidden: 5, layers: 2, dropout: 0.5 };
        let lstm = Lstm::new(&mut params, "lstm", config);
        let names: Vec<_> = params.iter().map(|p| (p.name.as_str(), p.shape.to_vec())).collect();
        assert_eq!(names[0], ("lstm.weight_ih_l0", vec![20, 3]));
        assert_eq!(names[4], ("lstm.weight_ih_l1", vec![20, 5]));
        assert_eq!(names[7], ("lstm.bias_hh_l1", vec![20]));
        let g = Graph::training(&params);
        let x = g.input("x", &[2, 7, 3], DType::F32);
        let out = lstm.forward(x, None, Some(g.lengths("lengths", 2, 7)));
        g.check().unwrap();
        assert_eq!(out.output.shape()[..], [2, 7, 5]);
        assert_eq!(out.h_n.shape()[..], [2, 2, 5]);
        assert_eq!(out.c_n.shape()[..], [2, 2, 5]);
    }

    #[test]
    fn a_state_of_another_batch_is_an_error() {
        let mut params = Params::seeded(1);
        let config = LstmConfig { input: 3, hidden: 5, layers: 1, dropout: 0.0 };
        let lstm = Lstm::new(&mut params, "lstm", config);
        let g = Graph::inference(&params);
        let state = g.input("h", &[1, 3, 5], DType::F32);
        let x = g.input("x", &[2, 7, 3], DType::F32);
        let _ = lstm.forward(x, Some(LstmState { h: state, c: state }), None);
        assert!(g.check().is_err());
    }
}
