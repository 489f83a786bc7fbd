//! Recalling a sequence's first symbol at its end, after T − 1 meaningless symbols.
//!
//! The first symbol is one of [`CUES`]; all others are drawn from a few that never come first. Only the last step is
//! scored. Guessing is right once in [`CUES`] times. Batches are made on demand and never repeat.

use std::time::Instant;

use seqloom::prelude::custom::*;
use seqloom::train::{Axis, Chart, Line, line_chart};

use crate::cells::{CellUnderTest, Kind, Start};
use crate::{Options, Outcome};

/// Symbols that can come first.
const CUES: usize = 8;
/// Channels of the embedding.
const CHANNELS: usize = 16;
/// The task counts as learnt when the loss has stayed below this for [`STREAK`] steps, nats.
const LEARNT: f32 = 0.05;
/// Steps in a row.
const STREAK: usize = 5;
/// Consecutive steps without a finite gradient (each changes nothing) after which a cell is given up.
const LOST: usize = 20;
/// Number of last steps whose mean loss is reported for a cell that has not learnt.
const TAIL: usize = 20;
/// Largest loss that is plotted, nats; exploding cells reach any.
const PLOTTED: f64 = 4.0;

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

/// The batch number `step`: sequences and the symbol each began with.
fn batch(step: u64, rows: usize, time: usize, fillers: u32) -> Inputs {
    // Knuth's 64-bit linear congruential generator; the low bits of such a one are poor.
    let mut state = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ time as u64;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32 % below
    };
    let mut tokens: Vec<u32> = (0..rows * time).map(|_| CUES as u32 + draw(fillers)).collect();
    let cues: Vec<u32> = (0..rows).map(|_| draw(CUES as u32)).collect();
    for (row, cue) in tokens.chunks_mut(time).zip(&cues) {
        row[0] = *cue;
    }
    Inputs::new().ids("tokens", &[rows, time], tokens).ids("cues", &[rows], cues).counting(rows)
}

/// How a training ended.
enum End {
    /// It had learnt after this step.
    Learnt(u64),
    /// It did not learn within the steps.
    Over,
    /// Its gradients were no longer finite.
    Lost,
}

/// A cell's result at one length.
struct Run {
    end: End,
    /// (step, nats).
    losses: Vec<(f64, f64)>,
}

impl Run {
    /// Its cell in the table.
    fn shown(&self) -> String {
        let tail = &self.losses[self.losses.len().saturating_sub(TAIL)..];
        match self.end {
            End::Learnt(step) => step.to_string(),
            End::Over => {
                format!("({:.2})", tail.iter().map(|(_, loss)| loss).sum::<f64>() / tail.len() as f64)
            }
            End::Lost => "overflow".to_owned(),
        }
    }
}

/// Trains every cell at every length, prints a table and plots the losses at the longest.
pub fn study(device: &Device, options: &Options) -> Outcome<()> {
    println!(
        "\nRecall of the first of T symbols: steps until learnt, or the loss then (guessing: {:.2} nats)",
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
            print!("{:>14}", run.shown());
            std::io::Write::flush(&mut std::io::stdout())?;
            last = Some((run, cost));
        }
        if let Some((run, cost)) = last {
            println!("{cost:>14.0}");
            let points = run.losses.iter().map(|&(step, loss)| (step, loss.min(PLOTTED))).collect();
            lines.push(Line { label: cell.name, points });
        }
    }
    let Some(longest) = options.times.last().filter(|_| !lines.is_empty()) else { return Ok(()) };
    let path = options.out.join("recall.svg");
    let title = format!("Recall over {longest} steps");
    let y = format!("loss, nats, at most {PLOTTED}");
    let (x, y) = (Axis { label: "step", log: false }, Axis { label: &y, log: false });
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
    let Options { hidden, rows, steps, fillers, lr, .. } = *options;
    let symbols = CUES + fillers as usize;
    let mut params = Params::seeded(7);
    let embedding = Embedding::new(&mut params, "embedding", symbols, CHANNELS);
    let layer = cell.register(&mut params, CHANNELS, hidden);
    let head = Linear::new(&mut params, "head", hidden, CUES);
    let clip_norm = clipped.then_some(1.0);
    let optimizer = AdamW { lr, weight_decay: 0.0, clip_norm, ..AdamW::default() };
    let mut trainer = Trainer::new(device, params, optimizer, |g, batch: &Inputs| {
        let inputs = batch.bind(g);
        let states = layer.forward(embedding.forward(inputs.get("tokens")));
        let last = states.slice(1, time - 1, 1).reshape(&[rows, hidden]);
        head.forward(last).cross_entropy(inputs.get("cues"), None)
    })?;
    cell.initialise(trainer.store(), hidden, time)?;
    let mut run = Run { end: End::Over, losses: Vec::new() };
    let (mut learnt, mut lost) = (0, 0);
    for step in 1..=steps {
        trainer.step(&batch(step, rows, time, fillers))?;
        let loss = trainer.loss()?;
        run.losses.push((step as f64, f64::from(loss)));
        learnt = if loss < LEARNT { learnt + 1 } else { 0 };
        lost = if trainer.grad_norm()?.is_finite() { 0 } else { lost + 1 };
        if learnt == STREAK {
            run.end = End::Learnt(step);
            break;
        }
        if lost == LOST {
            run.end = End::Lost;
            break;
        }
    }
    Ok(run)
}
