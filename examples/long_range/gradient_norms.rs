//! ‖∂L_T/∂x_t‖ for every t, through untrained cells.
//!
//! The input is made a parameter, so the graph derives its gradient like any other. The loss is a random projection of
//! the last hidden state, so only the cell shrinks or grows the gradient on its way back.

use seqloom::graph::{Arena, Control, Objective, Program, Request};
use seqloom::prelude::custom::*;
use seqloom::train::{Axis, Chart, Line, line_chart};

use crate::cells::{CellUnderTest, Kind, Start};
use crate::{Options, Outcome};

/// Channels of the input.
const CHANNELS: usize = 8;

const CELLS: [CellUnderTest; 8] = [
    CellUnderTest::new("RNN, sigmoid, radius 1", Kind::Rnn(Activation::Sigmoid), Start::Radius(1.0)),
    CellUnderTest::new("RNN, tanh, radius 1", Kind::Rnn(Activation::Tanh), Start::Radius(1.0)),
    CellUnderTest::new("RNN, ReLU, radius 1", Kind::Rnn(Activation::Relu), Start::Radius(1.0)),
    CellUnderTest::new("RNN, ReLU, radius 2", Kind::Rnn(Activation::Relu), Start::Radius(2.0)),
    CellUnderTest::new("LSTM", Kind::Lstm, Start::AsItIs),
    CellUnderTest::new("LSTM, chrono biases", Kind::Lstm, Start::Chrono),
    CellUnderTest::new("GRU", Kind::Gru, Start::AsItIs),
    CellUnderTest::new("GRU, chrono biases", Kind::Gru, Start::Chrono),
];

/// Prints how the norm changes over the whole distance, and plots it for every step.
pub fn study(device: &Device, options: &Options) -> Outcome<()> {
    println!("\n{:<28}{:>16}{:>14}", "gradient of the input", "norm, t=1 / t=T", "per step");
    let mut lines = Vec::new();
    for cell in CELLS.iter().filter(|cell| cell.name.contains(&options.only)) {
        let norms = norms(device, cell, options)?;
        let (first, last) = (norms[0], norms[norms.len() - 1]);
        let ratio = first / last;
        let verdict = match ratio {
            r if r < 1e-3 => "vanishes",
            r if r > 1e3 => "explodes",
            _ => "is kept",
        };
        println!(
            "{:<28}{ratio:>16.1e}{:>14.3}   {verdict}",
            cell.name,
            ratio.powf(1.0 / (norms.len() - 1) as f64)
        );
        let points = norms.iter().rev().enumerate().map(|(back, norm)| (back as f64, norm / last)).collect();
        lines.push(Line { label: cell.name, points });
    }
    if lines.is_empty() {
        return Ok(());
    }
    let path = options.out.join("gradient_norms.svg");
    let (x, y) = (
        Axis { label: "steps before the loss, T − t", log: false },
        Axis { label: "‖∂L/∂x_t‖ / ‖∂L/∂x_T‖", log: true },
    );
    line_chart(&path, &Chart { title: "Gradients on their way back through time", x, y, lines })?;
    println!("Written: {}", path.display());
    Ok(())
}

/// Norms of the gradient at steps 1 to T.
fn norms(device: &Device, cell: &CellUnderTest, options: &Options) -> Outcome<Vec<f64>> {
    let Options { hidden, rows, distance, .. } = *options;
    let mut params = Params::seeded(7);
    let x = params.add("x", &[rows, distance, CHANNELS], Init::Normal(1.0));
    let projection = params.add("projection", &[hidden], Init::Normal(1.0));
    let layer = cell.register(&mut params, CHANNELS, hidden);
    let store = ParamStore::new(device, params, StoreKind::Training)?;
    cell.initialise(&store, hidden, distance)?;

    let g = store.training_graph();
    let last = layer.forward(g.param(x)).slice(1, distance - 1, 1);
    let loss = (last * g.param(projection)).sum_all();
    let request = Request { outputs: &[], objective: Some(Objective { loss, update: None }) };
    Program::compile(&store, &g, request)?.run(&[], &Control::default())?;

    let gradient = store.read(Arena::Grads)?.swap_remove(0);
    let square = |step: usize| {
        let of_row = |row: usize| &gradient[(row * distance + step) * CHANNELS..][..CHANNELS];
        (0..rows).flat_map(of_row).map(|d| f64::from(*d).powi(2)).sum::<f64>()
    };
    Ok((0..distance).map(|step| square(step).sqrt()).collect())
}
