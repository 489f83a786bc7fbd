//! Recalling the first symbol of a sequence at its end, T − 1 meaningless symbols later.
//!
//! The first symbol is one of [`CUES`], all others are drawn from as many that never come first; only the last step is
//! scored. Guessing is right once in [`CUES`] times. Batches are made as they are needed and never repeat.

use std::time::Instant;

use seqloom::prelude::*;
use seqloom::train::{Axis, Chart, Line, line_chart};

use crate::cells::{CellUnderTest, Kind, Start};
use crate::{Options, Outcome};

/// Symbols that can come first.
const CUES: usize = 8;
/// Channels of the embedding.
const CHANNELS: usize = 16;
/// A loss below which the task counts as learnt, when it has stayed there for [`STREAK`] steps, nats.
const LEARNT: f32 = 0.05;
/// Steps in a row.
const STREAK: usize = 5;

/// The cells, and whether the gradient's norm is clipped to 1.
const CELLS: [(CellUnderTest, bool); 7] = [
    (CellUnderTest::new("RNN, tanh, radius 1", Kind::Rnn(Activation::Tanh), Start::Radius(1.0)), true),
    (CellUnderTest::new("RNN, ReLU, radius 2", Kind::Rnn(Activation::Relu), Start::Radius(2.0)), true),
    (
        CellUnderTest::new("RNN, ReLU, radius 2, no clip", Kind::Rnn(Activation::Relu), Start::Radius(2.0)),
        false,
    ),
    (CellUnderTest::new("LSTM", Kind::Lstm, Start::AsItIs), true),
    (CellUnderTest::new("LSTM, chrono biases", Kind::Lstm, Start::Chrono), true),
    (CellUnderTest::new("GRU", Kind::Gru, Start::AsItIs), true),
    (CellUnderTest::new("GRU, chrono biases", Kind::Gru, Start::Chrono), true),
];

/// Sequences and the symbol each began with.
struct RecallBatch {
    tokens: HostTensor,
    cues: HostTensor,
}

impl Batch for RecallBatch {
    fn tensors(&self) -> Vec<(&'static str, &HostTensor)> {
        vec![("tokens", &self.tokens), ("cues", &self.cues)]
    }

    fn token_count(&self) -> usize {
        self.cues.shape().len()
    }
}

impl RecallBatch {
    /// The batch number `step`.
    fn new(step: u64, rows: usize, time: usize) -> Outcome<Self> {
        // Knuth's 64-bit linear congruential generator; the low bits of such a one are poor.
        let mut state = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ time as u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u32 % CUES as u32
        };
        let mut tokens: Vec<u32> = (0..rows * time).map(|_| CUES as u32 + draw()).collect();
        let cues: Vec<u32> = (0..rows).map(|_| draw()).collect();
        for (row, cue) in tokens.chunks_mut(time).zip(&cues) {
            row[0] = *cue;
        }
        Ok(Self { tokens: HostTensor::u32(&[rows, time], tokens)?, cues: HostTensor::u32(&[rows], cues)? })
    }
}

/// How a cell fared at one length.
struct Run {
    /// The step after which it had learnt, if it had.
    learnt: Option<u64>,
    /// The last loss, nats.
    loss: f32,
    losses: Vec<(f64, f64)>,
}

/// Trains every cell at every length, prints a table and plots the losses at the longest.
pub fn study(device: &Device, options: &Options) -> Outcome<()> {
    println!(
        "\nRecall of the first of T symbols: steps until learnt, or the loss (guessing: {:.2} nats)",
        (CUES as f32).ln()
    );
    print!("{:<30}", "cell");
    options.times.iter().for_each(|time| print!("{:>14}", format!("T = {time}")));
    println!("{:>14}", "ms/step");
    let mut lines = Vec::new();
    for (cell, clipped) in CELLS.iter().filter(|(cell, _)| cell.name.contains(&options.only)) {
        print!("{:<30}", cell.name);
        let mut last = None;
        for &time in &options.times {
            let begin = Instant::now();
            let run = train(device, cell, *clipped, options, time)?;
            let cost = begin.elapsed().as_secs_f64() * 1e3 / run.losses.len().max(1) as f64;
            let shown = run.learnt.map_or_else(|| format!("({:.2})", run.loss), |step| format!("{step}"));
            print!("{shown:>14}");
            std::io::Write::flush(&mut std::io::stdout())?;
            last = Some((run, cost));
        }
        if let Some((run, cost)) = last {
            println!("{cost:>14.0}");
            lines.push(Line { label: cell.name, points: run.losses });
        }
    }
    let Some(longest) = options.times.last().filter(|_| !lines.is_empty()) else { return Ok(()) };
    let path = options.out.join("recall.svg");
    let title = format!("Recall over {longest} steps");
    let (x, y) = (Axis { label: "step", log: false }, Axis { label: "loss, nats", log: false });
    line_chart(&path, &Chart { title: &title, x, y, lines })?;
    println!("Written: {}", path.display());
    Ok(())
}

fn train(
    device: &Device,
    cell: &CellUnderTest,
    clipped: bool,
    options: &Options,
    time: usize,
) -> Outcome<Run> {
    let Options { hidden, rows, steps, .. } = *options;
    let mut params = Params::seeded(7);
    let embedding = Embedding::new(&mut params, "embedding", 2 * CUES, CHANNELS);
    let layer = cell.register(&mut params, CHANNELS, hidden);
    let head = Linear::new(&mut params, "head", hidden, CUES);
    let clip_norm = clipped.then_some(1.0);
    let optimizer = AdamW { lr: 5e-3, weight_decay: 0.0, clip_norm, ..AdamW::default() };
    let mut trainer = Trainer::new(device, params, optimizer, |g, _: &RecallBatch| {
        let states = layer.forward(embedding.forward(g.ids("tokens", &[rows, time], 2 * CUES)));
        let last = states.slice(1, time - 1, 1).reshape(&[rows, hidden]);
        head.forward(last).cross_entropy(g.ids("cues", &[rows], CUES), None)
    })?;
    cell.initialise(trainer.store(), hidden, time)?;
    let mut run = Run { learnt: None, loss: f32::NAN, losses: Vec::new() };
    let mut streak = 0;
    for step in 1..=steps {
        trainer.step(&RecallBatch::new(step, rows, time)?)?;
        run.loss = trainer.loss()?;
        run.losses.push((step as f64, f64::from(run.loss)));
        streak = if run.loss < LEARNT { streak + 1 } else { 0 };
        if streak == STREAK {
            run.learnt = Some(step);
            break;
        }
    }
    Ok(run)
}
