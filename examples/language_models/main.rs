//! Every autoregressive model of characters on one text, in one table: what a longer memory gains, and what it costs.
//!
//! A Markov chain sees one symbol, a window the last few, stacked convolutions some more. A latent linear state sees
//! all of them with decaying weights. An RNN's state decides by its input what to keep, gates let LSTM and GRU keep it
//! for long, and a Transformer keeps everything and looks it up. All are trained by the same optimizer on the same
//! batches, so the held-out bits per character differ only by the model. One exception: the chain's table takes larger
//! steps, because its parameters are the logits themselves, which must move by several units.

mod gpt;
mod text;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use seqloom::prelude::*;
use seqloom::train::{Axis, Chart, Line, line_chart};
use seqloom_examples::{advice, exit};

use gpt::{Form, Positions};

/// Part of the text that is not trained on.
const HELD_OUT: f64 = 0.1;
/// Most losses that a point of the plotted curve averages.
const SMOOTH: usize = 20;
/// Characters that each model writes.
const SAMPLE: usize = 80;
/// Learning rate of a table of logits, relative to that of a network.
const TABLE_STEP: f64 = 30.0;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Trains Markov chain, window, latent state, convolutions, RNN, GRU, LSTM and Transformer on one text and compares them
#[derive(Parser)]
struct Options {
    /// Text to learn; by default the Rust sources of this repository
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Steps of training for each model
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..))]
    steps: u64,
    /// Rows of a batch, B
    #[arg(long, value_name = "N", default_value_t = 32)]
    rows: usize,
    /// Steps of a window of text, T
    #[arg(long, value_name = "N", default_value_t = 64)]
    time: usize,
    /// Width of hidden states and layers, H
    #[arg(long, value_name = "N", default_value_t = 128)]
    hidden: usize,
    /// Symbols that the window model sees, τ
    #[arg(long, value_name = "N", default_value_t = 8)]
    order: usize,
    /// Learning rate, which falls to a tenth by a cosine
    #[arg(long, value_name = "X", default_value_t = 3e-3)]
    lr: f64,
    /// The Transformer's kind of positions
    #[arg(long, value_enum, default_value = "learned")]
    positions: Positions,
    /// The Transformer's blocks; its width gives it as many parameters as the LSTM
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    layers: u64,
    /// Its heads
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    heads: u64,
    /// Farthest step back that its blocks see [default: all]
    #[arg(long, value_name = "N")]
    window: Option<usize>,
    /// Only models whose name contains one of these
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Folder for the table and the loss curves
    #[arg(long, value_name = "DIR", default_value = "target/language_models")]
    out: PathBuf,
}

/// The results of one model.
struct Row {
    name: String,
    parameters: usize,
    bits: f64,
    tokens_per_s: f64,
    losses: Vec<(f64, f64)>,
    sample: String,
}

/// The data and settings that all models share.
struct Study<'a> {
    options: &'a Options,
    device: Device,
    train: CharCorpus,
    held_out: CharCorpus,
    rows: Vec<Row>,
}

fn main() -> ExitCode {
    exit(run(), |error| advice(error.as_ref()))
}

fn run() -> Outcome<()> {
    let options = Options::parse();
    let (text, source) = text::text(options.text.as_deref())?;
    std::fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let (train, held_out) = text.split(HELD_OUT)?;
    let device = Device::open(DeviceOptions::default())?;
    println!(
        "{} on {source}: {} characters, {} symbols",
        device.facts().name,
        text.len(),
        text.vocab().size()
    );

    let vocab = text.vocab();
    let Options { hidden, order, .. } = options;
    let recurrent =
        || RecurrentLmConfig { vocab: vocab.clone(), embed: hidden / 2, hidden, layers: 1, dropout: 0.0 };
    let mut study = Study { options: &options, device, train, held_out, rows: Vec::new() };
    study.model("Markov chain, order 1", TABLE_STEP, |p| MarkovLm::new(p, vocab.clone()))?;
    study.model(&format!("AR({order}), a window"), 1.0, |p| {
        WindowLm::new(p, WindowLmConfig { vocab: vocab.clone(), order, embed: hidden / 4, hidden })
    })?;
    study.model("latent linear state", 1.0, |p| {
        LatentLm::new(p, LatentLmConfig { vocab: vocab.clone(), state: 2 * hidden, hidden })
    })?;
    study.model("convolutions, dilated", 1.0, |p| {
        let channels = hidden.div_ceil(2);
        ConvLm::new(p, ConvLmConfig { vocab: vocab.clone(), channels, kernel: 4, layers: 3, growth: 2 })
    })?;
    study.model("RNN, tanh", 1.0, |p| RnnLm::new(p, recurrent()))?;
    study.model("GRU", 1.0, |p| GruLm::new(p, recurrent()))?;
    study.model("LSTM", 1.0, |p| LstmLm::new(p, recurrent()))?;
    let mut lstm = Params::seeded(0);
    let _ = LstmLm::new(&mut lstm, recurrent());
    let form = Form {
        heads: options.heads as usize,
        layers: options.layers as usize,
        time: options.time,
        positions: options.positions,
        window: options.window,
    };
    study.model("GPT", 1.0, |p| Gpt::new(p, form.of_size(&vocab, lstm.count())))?;
    study.report(text.unigram_entropy() / std::f64::consts::LN_2)
}

impl Study<'_> {
    /// Trains one model, at a multiple of the learning rate, and keeps its row.
    fn model<M: LanguageModel + Clone>(
        &mut self,
        name: &str,
        factor: f64,
        make: impl FnOnce(&mut Params) -> M,
    ) -> Outcome<()> {
        let Options { steps, rows, time, lr, only, .. } = self.options;
        if !only.is_empty() && !only.iter().any(|part| name.contains(part.as_str())) {
            return Ok(());
        }
        let mut params = Params::seeded(42);
        let model = make(&mut params);
        let parameters = params.count();
        let optimizer =
            AdamW { lr: factor * *lr, weight_decay: 0.0, clip_norm: Some(1.0), ..AdamW::default() };
        let mut trainer =
            Trainer::new(&self.device, params, optimizer, |g, batch: &LmBatch| model.loss(g, batch))?
                .with_schedule(Cosine { warmup: *steps / 20, total: *steps, floor: 0.1 })?
                .with_history();
        let mut batches = self.train.batches(*rows, *time).seeded(42);
        eprintln!("{name}: {parameters} parameters");
        // The first step compiles and is not timed.
        trainer.step(&batches.batch(0))?;
        trainer.loss()?;
        let begin = Instant::now();
        let mut tokens = 0;
        for batch in batches.steps(*steps).starting_at(1).reporting_to(Arc::new(Progress::bar(*steps, 1))) {
            trainer.step(&batch)?;
            tokens += batch.token_count();
        }
        trainer.finish()?;
        let tokens_per_s = tokens as f64 / begin.elapsed().as_secs_f64();
        let nats = trainer.evaluate_all(self.held_out.batches(*rows, *time).ordered(Order::Streams))?;
        // A Transformer writes as long as it has positions.
        let most = model.max_time().map_or(SAMPLE, |most| SAMPLE.min(most));
        let sample = model.generator(&trainer)?.with_temperature(0.7)?.sample("", most)?;
        let losses = smooth(trainer.history()?);
        let bits = nats / std::f64::consts::LN_2;
        self.rows.push(Row { name: name.to_owned(), parameters, bits, tokens_per_s, losses, sample });
        Ok(())
    }

    /// Prints the table; writes it and the curves.
    fn report(&self, unigram: f64) -> Outcome<()> {
        let mut table =
            format!("{:<24}{:>12}{:>20}{:>12}\n", "model", "parameters", "held-out bits/char", "chars/s");
        writeln!(table, "{:<24}{:>12}{unigram:>20.3}{:>12}", "single characters", "", "")?;
        for row in &self.rows {
            let Row { name, parameters, bits, tokens_per_s, .. } = row;
            writeln!(table, "{name:<24}{parameters:>12}{bits:>20.3}{tokens_per_s:>12.0}")?;
        }
        println!("{table}");
        for row in &self.rows {
            println!("{}: {:?}", row.name, row.sample);
        }
        let lines = self.rows.iter().map(|r| Line { label: &r.name, points: r.losses.clone() }).collect();
        let (x, y) = (
            Axis { label: "step", log: false },
            Axis { label: "training loss, bits per character", log: false },
        );
        let chart = self.options.out.join("losses.svg");
        line_chart(&chart, &Chart { title: "Autoregressive models of characters", x, y, lines })?;
        let json: Vec<_> = self
            .rows
            .iter()
            .map(|r| {
                serde_json::json!({"model": r.name, "parameters": r.parameters, "held_out_bits": r.bits,
                    "characters_per_s": r.tokens_per_s, "steps": self.options.steps})
            })
            .collect();
        let file = self.options.out.join("table.json");
        std::fs::write(&file, serde_json::to_string_pretty(&json)? + "\n")
            .map_err(|e| format!("{}: {e}", file.display()))?;
        println!("\nWritten: {} and {}", chart.display(), file.display());
        Ok(())
    }
}

/// (step, mean loss in bits) over parts of a history.
fn smooth(history: &[(u64, f32)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(u64, f32)]| {
        let sum: f64 = part.iter().map(|(_, loss)| f64::from(*loss)).sum();
        sum / part.len() as f64 / std::f64::consts::LN_2
    };
    history.chunks(SMOOTH).map(|part| (part[part.len() - 1].0 as f64, mean(part))).collect()
}
