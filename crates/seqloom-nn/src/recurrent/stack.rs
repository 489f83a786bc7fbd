//! The stack of layers and directions under every recurrent layer.
//!
//! A layer has two parts: one product that projects the inputs of all steps at once, and the recurrence itself, which
//! the graph records as one operation, or step by step where a cell is a variant that no kernel has. With lengths, everything
//! between the first layer's input and the last one's
//! output is packed, so products, dropout and recurrences see only true steps; sequences are packed once and unpacked
//! once. The cells differ in a few lines here, so they share one stack; their equations and names are in their own
//! files.

use seqloom_graph::{Activation, Init, Lengths, ParamId, Params, Tensor};

use crate::layers::dropout::Dropout;
use crate::recurrent::shapes::{RecurrentConfig, Run};
use crate::recurrent::stepwise::{self, LstmWeights, Walk};

/// Which equations a [`Stack`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    Rnn(Activation),
    Lstm,
    Gru,
}

/// What an LSTM or a GRU does besides its usual equations, or otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Variant {
    /// P, of an LSTM: what h is projected to.
    pub projection: Option<usize>,
    /// Of an LSTM: gates that see the cell.
    pub peepholes: bool,
    /// Of an LSTM: bound of what the gates' activations get.
    pub clip: Option<f32>,
    /// Of a GRU: the reset gate before the product.
    pub reset_before: bool,
}

/// Layers of one cell.
#[derive(Clone, Debug)]
pub struct Stack {
    cell: Cell,
    config: RecurrentConfig,
    variant: Variant,
    /// By layer, its directions.
    layers: Vec<Vec<Direction>>,
}

/// Parameters of one direction of one layer.
#[derive(Clone, Copy, Debug)]
struct Direction {
    weight_ih: ParamId,
    weight_hh: ParamId,
    bias_ih: ParamId,
    bias_hh: ParamId,
    /// The projection, [P, H].
    weight_hr: Option<ParamId>,
    /// The peepholes of i, f and o, \[3H\].
    weight_ch: Option<ParamId>,
    reverse: bool,
}

impl Stack {
    /// Registers `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, then those of `l0_reverse`, and so on; all
    /// uniform in ±1/√H.
    pub(crate) fn new(params: &mut Params, name: &str, cell: Cell, config: RecurrentConfig) -> Self {
        Self::with(params, name, cell, config, Variant::default())
    }

    /// [`Self::new`] of a variant, with `weight_hr_l0` and `weight_ch_l0` behind the others where it has them.
    pub(crate) fn with(
        params: &mut Params,
        name: &str,
        cell: Cell,
        config: RecurrentConfig,
        variant: Variant,
    ) -> Self {
        let config = RecurrentConfig { layers: config.layers.max(1), ..config };
        let hidden = config.hidden;
        let gates = hidden * cell.gates();
        let output = variant.projection.unwrap_or(hidden);
        let init = Init::Uniform(1.0 / (hidden.max(1) as f32).sqrt());
        let layers = params.scope(name, |params| {
            let mut direction = |l: usize, reverse: bool| {
                let width = if l == 0 { config.input } else { config.directions() * output };
                let suffix = if reverse { "_reverse" } else { "" };
                let mut add = |part: &str, shape: &[usize]| {
                    params.add(&format!("{part}_l{l}{suffix}"), shape, init.clone())
                };
                Direction {
                    weight_ih: add("weight_ih", &[gates, width]),
                    weight_hh: add("weight_hh", &[gates, output]),
                    bias_ih: add("bias_ih", &[gates]),
                    bias_hh: add("bias_hh", &[gates]),
                    weight_hr: variant.projection.map(|_| add("weight_hr", &[output, hidden])),
                    weight_ch: variant.peepholes.then(|| add("weight_ch", &[3 * hidden])),
                    reverse,
                }
            };
            let directions = &[false, true][..config.directions()];
            (0..config.layers).map(|l| directions.iter().map(|&r| direction(l, r)).collect()).collect()
        });
        Self { cell, config, variant, layers }
    }

    /// Width of a tensor of the state: that of h is the output's.
    fn width(&self, state: usize) -> usize {
        let projected = self.variant.projection.filter(|_| state == 0);
        projected.unwrap_or(self.config.hidden)
    }

    /// Shape [L·D, B, ·] of a tensor of the state.
    pub(crate) fn state_shape(&self, state: usize, batch: usize) -> [usize; 3] {
        let [all, batch, _] = self.config.state_shape(batch);
        [all, batch, self.width(state)]
    }

    /// What is wrong with the settings.
    fn fault(&self) -> Option<String> {
        let (RecurrentConfig { hidden, dropout, .. }, Variant { projection, clip, .. }) =
            (self.config, self.variant);
        // Also for a single layer, which would drop nothing.
        if !(0.0..1.0).contains(&dropout) {
            return Some(format!("dropout = {dropout} is not in 0 <= p < 1"));
        }
        if let Some(projection) = projection.filter(|&projection| projection == 0 || projection >= hidden) {
            return Some(format!("projection = {projection} is not in 1 <= p < {hidden}, the hidden units"));
        }
        let clip = clip.filter(|clip| !(clip.is_finite() && *clip > 0.0))?;
        Some(format!("clip = {clip} is not finite and above 0"))
    }

    pub(crate) fn config(&self) -> RecurrentConfig {
        self.config
    }

    /// Over [B, T, C].
    #[track_caller]
    pub(crate) fn run<'g>(
        &self,
        x: Tensor<'g>,
        state: Option<&[Tensor<'g>]>,
        lengths: Option<Lengths<'g>>,
    ) -> Run<'g> {
        match lengths {
            None if x.rank() != 3 => self.refuse(x, "needs sequences [B, T, C]"),
            None if x.dim(1) == 0 => self.refuse(x, "needs T of 1 or more"),
            None => self.layers(x, x.dim(0), state, None),
            Some(lengths) => {
                let run = self.layers(lengths.pack(x), lengths.batch(), state, Some(lengths));
                Run { output: lengths.unpack(run.output), ..run }
            }
        }
    }

    /// Over packed [N, C].
    #[track_caller]
    pub(crate) fn run_packed<'g>(
        &self,
        x: Tensor<'g>,
        state: Option<&[Tensor<'g>]>,
        lengths: Lengths<'g>,
    ) -> Run<'g> {
        self.layers(x, lengths.batch(), state, Some(lengths))
    }

    /// One step of one direction: x [B, C] → the last layer's [B, H] and the new state.
    #[track_caller]
    pub(crate) fn step<'g>(&self, x: Tensor<'g>, state: &[Tensor<'g>]) -> Run<'g> {
        if self.config.bidirectional {
            return self
                .refuse(x, "a bidirectional layer cannot run step by step: it needs the sequence's end");
        }
        if x.rank() != 2 {
            return self.refuse(x, "a step needs x [B, C]");
        }
        let (batch, input) = (x.dim(0), x.dim(1));
        let run = self.layers(x.reshape(&[batch, 1, input]), batch, Some(state), None);
        Run { output: run.output.reshape(&[batch, self.width(0)]), ..run }
    }

    #[track_caller]
    fn layers<'g>(
        &self,
        x: Tensor<'g>,
        batch: usize,
        state: Option<&[Tensor<'g>]>,
        lengths: Option<Lengths<'g>>,
    ) -> Run<'g> {
        for (i, given) in state.into_iter().flatten().enumerate() {
            let shape = self.state_shape(i, batch);
            if !given.is_poisoned() && given.shape()[..] != shape {
                return self.refuse(*given, &format!("needs a state of [L·D, B, H], {shape:?}"));
            }
        }
        if !x.is_poisoned() && x.shape().last() != Some(&self.config.input) {
            return self.refuse(x, &format!("needs an input of {} channels", self.config.input));
        }
        if let Some(fault) = self.fault() {
            return self.refuse(x, &fault);
        }
        let RecurrentConfig { dropout, variational, .. } = self.config;
        let dropout = if variational { Dropout::variational(dropout) } else { Dropout::new(dropout) };
        let mut output = x;
        // For each tensor of the state, the final ones of each layer and direction.
        let mut finals = vec![Vec::new(); self.cell.states()];
        for (l, directions) in self.layers.iter().enumerate() {
            let below = match lengths {
                _ if l == 0 => output,
                None => dropout.forward(output),
                Some(lengths) => dropout.forward_packed(output, lengths),
            };
            let outputs: Vec<_> = directions
                .iter()
                .enumerate()
                .map(|(d, direction)| {
                    let index = l * directions.len() + d;
                    let start = |i: usize| match state.and_then(|state| state.get(i)) {
                        Some(all) => all.slice(0, index, 1).reshape(&[batch, self.width(i)]),
                        None => x.graph().full(&[batch, self.width(i)], 0.0),
                    };
                    let (y, last) = self.direction(*direction, below, start, lengths);
                    for (i, (finals, last)) in finals.iter_mut().zip(last).enumerate() {
                        finals.push(last.reshape(&[1, batch, self.width(i)]));
                    }
                    y
                })
                .collect();
            output = joined(&outputs, -1, x);
        }
        Run { output, state: finals.iter().map(|of| joined(of, 0, x)).collect() }
    }

    /// One direction over all steps: outputs and final states.
    #[track_caller]
    fn direction<'g>(
        &self,
        direction: Direction,
        x: Tensor<'g>,
        start: impl Fn(usize) -> Tensor<'g>,
        lengths: Option<Lengths<'g>>,
    ) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let (g, hidden, reverse) = (x.graph(), self.config.hidden, direction.reverse);
        let (w_hh, bias_hh) = (g.param(direction.weight_hh), g.param(direction.bias_hh));
        // Biases are added by the product.
        let x_proj = x.matmul_t(g.param(direction.weight_ih)) + g.param(direction.bias_ih);
        match self.cell {
            Cell::Rnn(activation) => {
                let out = (x_proj + bias_hh).rnn(w_hh, start(0), activation, reverse, lengths);
                (out.y, vec![out.h_n])
            }
            Cell::Lstm if self.variant != Variant::default() => {
                let weights = LstmWeights {
                    w_hh,
                    projection: direction.weight_hr.map(|id| g.param(id)),
                    peepholes: direction.weight_ch.map(|id| g.param(id)),
                    clip: self.variant.clip,
                };
                let walk = Walk { reverse, lengths };
                let (y, last) = stepwise::lstm(x_proj + bias_hh, weights, [start(0), start(1)], walk);
                (y, last.to_vec())
            }
            Cell::Lstm => {
                let out = (x_proj + bias_hh).lstm(w_hh, start(0), start(1), reverse, lengths);
                (out.y, vec![out.h_n, out.c_n])
            }
            Cell::Gru if self.variant.reset_before => {
                let (y, last) = stepwise::gru(x_proj + bias_hh, w_hh, start(0), Walk { reverse, lengths });
                (y, last.to_vec())
            }
            Cell::Gru => {
                // The reset gate multiplies the candidate's bias, so that one stays with the recurrence.
                let (r_z, n) = (bias_hh.slice(0, 0, 2 * hidden), bias_hh.slice(0, 2 * hidden, hidden));
                let out = (x_proj + r_z.pad(0, 0, hidden)).gru(w_hh, n, start(0), reverse, lengths);
                (out.y, vec![out.h_n])
            }
        }
    }

    #[track_caller]
    fn refuse<'g>(&self, operand: Tensor<'g>, detail: &str) -> Run<'g> {
        let poisoned = operand.refused(self.cell.name(), detail);
        Run { output: poisoned, state: vec![poisoned; self.cell.states()] }
    }
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Cell::Rnn(_) => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    fn states(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }

    fn name(self) -> &'static str {
        match self {
            Cell::Rnn(_) => "rnn",
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }
}

/// Tensors side by side along `axis`. A stack always has a layer and a direction, so the fallback is never a result.
#[track_caller]
fn joined<'g>(parts: &[Tensor<'g>], axis: isize, fallback: Tensor<'g>) -> Tensor<'g> {
    match parts {
        [] => fallback,
        [only] => *only,
        [first, rest @ ..] => Tensor::concat(*first, rest, axis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqloom_graph::{DType, Graph};

    fn stack(cell: Cell, config: RecurrentConfig) -> (Params, Stack) {
        let mut params = Params::seeded(1);
        let stack = Stack::new(&mut params, "net", cell, config);
        (params, stack)
    }

    const TWO: RecurrentConfig = RecurrentConfig {
        input: 3,
        hidden: 5,
        layers: 2,
        bidirectional: true,
        dropout: 0.5,
        variational: false,
    };

    #[test]
    fn names_shapes_and_outputs_follow_pytorch() {
        for (cell, gates) in [(Cell::Rnn(Activation::Relu), 1), (Cell::Lstm, 4), (Cell::Gru, 3)] {
            let (params, stack) = stack(cell, TWO);
            let all: Vec<_> = params.iter().map(|p| (p.name.as_str(), p.shape.to_vec())).collect();
            assert_eq!(all.len(), 16);
            assert_eq!(all[0], ("net.weight_ih_l0", vec![5 * gates, 3]));
            assert_eq!(all[5], ("net.weight_hh_l0_reverse", vec![5 * gates, 5]));
            assert_eq!(all[8], ("net.weight_ih_l1", vec![5 * gates, 10]));
            assert_eq!(all[15], ("net.bias_hh_l1_reverse", vec![5 * gates]));
            for ragged in [false, true] {
                let g = Graph::training(&params);
                let x = g.input("x", &[2, 7, 3], DType::F32);
                let lengths = ragged.then(|| g.lengths("lengths", 2, 7).within(9));
                let out = stack.run(x, None, lengths);
                g.check().unwrap();
                assert_eq!(out.output.shape()[..], [2, 7, 10]);
                assert_eq!(out.state.len(), stack.cell.states());
                assert!(out.state.iter().all(|s| s.shape()[..] == [4, 2, 5]));
            }
        }
    }

    #[test]
    fn mistakes_are_errors_that_say_what_is_needed() {
        let (params, stack) = stack(Cell::Gru, TWO);
        let refused = |wanted: &str, record: &dyn for<'g> Fn(&'g Graph) -> Run<'g>| {
            let g = Graph::inference(&params);
            assert!(record(&g).output.is_poisoned());
            let message = g.check().unwrap_err().to_string();
            assert!(message.contains(wanted) && message.contains("gru"), "{message}");
        };
        refused("a state of [L·D, B, H], [4, 2, 5]", &|g| {
            let state = g.input("h", &[4, 3, 5], DType::F32);
            stack.run(g.input("x", &[2, 7, 3], DType::F32), Some(&[state]), None)
        });
        refused("an input of 3 channels", &|g| stack.run(g.input("x", &[2, 7, 4], DType::F32), None, None));
        refused("sequences [B, T, C]", &|g| stack.run(g.input("x", &[2, 3], DType::F32), None, None));
        refused("step by step", &|g| stack.step(g.input("x", &[2, 3], DType::F32), &[]));
    }

    #[test]
    fn a_projection_narrows_outputs_and_h_alone() {
        let mut params = Params::seeded(1);
        let variant = Variant { projection: Some(2), peepholes: true, ..Variant::default() };
        let stack = Stack::with(&mut params, "net", Cell::Lstm, TWO, variant);
        let all: Vec<_> = params.iter().map(|p| (p.name.as_str(), p.shape.to_vec())).collect();
        assert_eq!(all.len(), 24);
        assert_eq!(all[1], ("net.weight_hh_l0", vec![20, 2]));
        assert_eq!(all[4], ("net.weight_hr_l0", vec![2, 5]));
        assert_eq!(all[11], ("net.weight_ch_l0_reverse", vec![15]));
        assert_eq!(all[12], ("net.weight_ih_l1", vec![20, 4]));
        let g = Graph::training(&params);
        let out = stack.run(g.input("x", &[3, 7, 3], DType::F32), None, None);
        g.check().unwrap();
        assert_eq!(out.output.shape()[..], [3, 7, 4]);
        assert_eq!([0, 1].map(|i| out.state[i].shape().to_vec()), [[4, 3, 2], [4, 3, 5]]);
        assert_eq!([0, 1].map(|i| stack.state_shape(i, 3)), [[4, 3, 2], [4, 3, 5]]);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let plain = Variant::default();
        let mut wrong: Vec<_> = [0.0, -1.0, f32::NAN, f32::INFINITY]
            .map(|clip| ("clip = ", Variant { clip: Some(clip), ..plain }))
            .to_vec();
        wrong.extend([0, 5, 6].map(|p| ("projection = ", Variant { projection: Some(p), ..plain })));
        for (words, variant) in wrong {
            let mut params = Params::seeded(1);
            let stack = Stack::with(&mut params, "net", Cell::Lstm, RecurrentConfig::new(3, 5), variant);
            let g = Graph::training(&params);
            assert!(stack.run(g.input("x", &[2, 7, 3], DType::F32), None, None).output.is_poisoned());
            let message = g.check().unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("lstm"), "{message}");
        }
    }

    #[test]
    fn a_single_layer_refuses_what_is_no_probability() {
        for dropout in [1.0, -0.1, f32::NAN] {
            for cell in [Cell::Gru, Cell::Lstm, Cell::Rnn(Activation::Tanh)] {
                let (params, stack) = stack(cell, RecurrentConfig { dropout, ..RecurrentConfig::new(3, 5) });
                let record: [&dyn for<'g> Fn(&'g Graph) -> Run<'g>; 3] = [
                    &|g| stack.run(g.input("x", &[2, 7, 3], DType::F32), None, None),
                    &|g| {
                        let lengths = g.lengths("lengths", 2, 7).within(9);
                        stack.run_packed(g.input("x", &[9, 3], DType::F32), None, lengths)
                    },
                    &|g| {
                        let state = g.input("h", &[1, 2, 5], DType::F32);
                        stack.step(g.input("x", &[2, 3], DType::F32), &[state, state][..cell.states()])
                    },
                ];
                for record in record {
                    for g in [Graph::training(&params), Graph::inference(&params)] {
                        assert!(record(&g).output.is_poisoned());
                        let message = g.check().unwrap_err().to_string();
                        assert!(message.contains("dropout = ") && message.contains(cell.name()), "{message}");
                    }
                }
            }
        }
    }
}
