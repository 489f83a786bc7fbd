//! The cells that are compared, and their different initial weights.

use seqloom::graph::Arena;
use seqloom::prelude::custom::*;

use crate::Outcome;

/// A change of PyTorch's initial weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Nothing.
    AsItIs,
    /// W_hh is scaled to this spectral radius (that of a random matrix: √H times the deviation of its elements).
    Radius(f32),
    /// The biases of the forget and input gates are ±ln(u), u uniform in 1..T, so units remember for about u steps
    /// (Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", eq. 16).
    Chrono,
}

/// The recurrent layer.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A vanilla RNN.
    Rnn(Activation),
    /// An LSTM.
    Lstm,
    /// A GRU.
    Gru,
}

/// A cell of the study.
#[derive(Clone, Copy, Debug)]
pub struct CellUnderTest {
    /// Its name in plots and tables.
    pub name: &'static str,
    /// The layer.
    pub kind: Kind,
    /// Its initial weights.
    pub start: Start,
}

/// A registered layer of any kind.
pub enum Layer {
    /// A vanilla RNN.
    Rnn(Rnn),
    /// An LSTM.
    Lstm(Lstm),
    /// A GRU.
    Gru(Gru),
}

impl CellUnderTest {
    /// A cell.
    pub const fn new(name: &'static str, kind: Kind, start: Start) -> Self {
        Self { name, kind, start }
    }

    /// Registers one layer under `cell`.
    pub fn register(&self, params: &mut Params, input: usize, hidden: usize) -> Layer {
        let config = RecurrentConfig::new(input, hidden);
        match self.kind {
            Kind::Rnn(activation) => Layer::Rnn(Rnn::new(params, "cell", activation, config)),
            Kind::Lstm => Layer::Lstm(Lstm::new(params, "cell", config)),
            Kind::Gru => Layer::Gru(Gru::new(params, "cell", config)),
        }
    }

    /// Changes the initial weights as the cell asks, for sequences of `time` steps.
    pub fn initialise(&self, store: &ParamStore, hidden: usize, time: usize) -> Outcome<()> {
        match self.start {
            Start::AsItIs => Ok(()),
            // PyTorch's weights are uniform in ±1/√H, so their deviation is 1/√(3H) and their radius 1/√3.
            Start::Radius(radius) => change(store, "cell.weight_hh_l0", |_, w| w * radius * 3f32.sqrt()),
            Start::Chrono => {
                // Evenly spread instead of drawn, so the same for every seed.
                let span = |unit: usize| 1.0 + (time - 2) as f32 * unit as f32 / hidden.max(2) as f32;
                let chrono = |gate: usize, unit: usize| match (self.kind, gate) {
                    (Kind::Lstm, 0) => -span(unit).ln(),
                    (Kind::Lstm | Kind::Gru, 1) => span(unit).ln(),
                    _ => 0.0,
                };
                change(store, "cell.bias_hh_l0", |_, _| 0.0)?;
                change(store, "cell.bias_ih_l0", |i, _| chrono(i / hidden, i % hidden))
            }
        }
    }
}

impl Layer {
    /// Hidden states of all steps: x [B, T, C] → [B, T, H].
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        match self {
            Layer::Rnn(rnn) => rnn.forward(x, None, None).output,
            Layer::Lstm(lstm) => lstm.forward(x, None, None).output,
            Layer::Gru(gru) => gru.forward(x, None, None).output,
        }
    }
}

/// Replaces every element of a parameter by `new(index, old)`.
fn change(store: &ParamStore, name: &str, new: impl Fn(usize, f32) -> f32) -> Outcome<()> {
    let index = store.specs().iter().position(|spec| spec.name == name);
    let index = index.ok_or_else(|| format!("no parameter {name}"))?;
    let values = store.read(Arena::Params)?.swap_remove(index);
    let values: Vec<f32> = values.into_iter().enumerate().map(|(i, old)| new(i, old)).collect();
    Ok(store.write(Arena::Params, index, &values)?)
}
