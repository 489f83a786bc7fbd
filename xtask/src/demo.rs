//! `cargo xtask demo`: from nothing to a trained character model and a sample of its text.
//!
//! It uses only the public interface, as a user would. The first few steps are timed to find how many fit into the
//! time, so the bar knows its end and the learning rate its curve; `--steps` fixes the number instead. A tenth of the
//! text is held out: its loss, beside the entropy of single characters, tells learning from memorising.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use seqloom::prelude::*;
use seqloom::train::{Curve, loss_curve};

use crate::error::{Result, at};
use crate::{adapter, corpus, workspace};

/// Rows of a batch, B. They are few because the repository is a short text: more updates help it more than smoother
/// ones.
pub const ROWS: usize = 16;
/// Steps of a window, T.
pub const TIME: usize = 64;
/// Steps that are timed to learn how many fit; the first one compiles and is not counted.
const TRIAL: u64 = 4;
/// Passes after which a short text is only memorised; `--steps` may go beyond.
const MOST_EPOCHS: u64 = 30;
/// Part of the text that is not trained on.
const HELD_OUT: f64 = 0.1;
/// Characters of the printed sample.
const SAMPLE: usize = 400;

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Options {
    /// Text to learn; by default all Markdown in this repository
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Folder for the checkpoint, the loss curve and the summary
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    out: PathBuf,
    /// Seconds after which training ends, counted from the start
    #[arg(long, value_name = "N", default_value_t = 90)]
    seconds: u64,
    /// Train for exactly this many steps, however long they take
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
}

/// What the demo did, as `summary.json`. Losses and entropy are in nats a character.
#[derive(serde::Serialize)]
struct Summary {
    adapter: String,
    text: String,
    characters: usize,
    vocabulary: usize,
    parameters: usize,
    steps: u64,
    first_loss: f32,
    last_loss: f32,
    held_out_loss: f64,
    unigram_entropy: f64,
    /// After the first step, which compiles.
    tokens_per_s: f64,
    /// From the start of the process to the end of the first step.
    first_step_ms: f64,
    planned_bytes: u64,
    device_bytes: u64,
    seconds: f64,
}

/// The demo's model and optimizer: small enough for two CPU cores, large enough to spell.
pub fn model(params: &mut Params, vocab: Vocab) -> LstmLm {
    LstmLm::new(params, LstmLmConfig { vocab, embed: 64, hidden: 128, layers: 2, dropout: 0.1 })
}

/// The demo's optimizer.
pub fn optimizer() -> AdamW {
    AdamW { lr: 4e-3, clip_norm: Some(1.0), ..AdamW::default() }
}

/// The demo's device: kernels without run-time checks, even in a build that has them elsewhere.
pub fn device(cache_dir: Option<PathBuf>) -> Result<Device> {
    Ok(Device::open(DeviceOptions { checks: Some(false), cache_dir, ..DeviceOptions::default() })?)
}

/// Trains, writes the three files and prints a sample.
///
/// # Errors
/// No adapter; a text that is missing, empty, too short or not UTF-8; a folder that cannot be written.
pub fn run(options: &Options, started: Instant) -> Result<()> {
    let root = workspace::root()?;
    let out = if options.out.is_absolute() { options.out.clone() } else { root.join(&options.out) };
    // Checked now and not after the training: a folder that cannot be written, a text that cannot be read.
    std::fs::create_dir_all(&out).map_err(at(&out))?;
    let (text, source) = corpus::corpus(&root, options.text.as_deref())?;
    text.batches(ROWS, TIME).check().map_err(seqloom::Error::from)?;
    let (train, held_out) = text.split(HELD_OUT)?;
    train.batches(ROWS, TIME).check().map_err(seqloom::Error::from)?;
    adapter::prepare()?;

    let device = device(None)?;
    let adapter = format!("{} ({})", device.facts().name, device.facts().backend);
    let mut params = Params::seeded(42);
    let model = model(&mut params, text.vocab());
    let parameters = params.count();
    eprintln!("{adapter}: 2-layer LSTM of {parameters} parameters on {source}, {} characters", text.len());

    let trainer = Trainer::new(&device, params, optimizer(), |g, batch: &LmBatch| model.loss(g, batch))?;
    let mut trainer = trainer.with_vocab(model.vocab()).with_history();
    let entropy = text.unigram_entropy();
    let mut batches = train.batches(ROWS, TIME).seeded(42);
    let (mut first_loss, mut first_step, mut trial, mut tokens) =
        (f32::NAN, Duration::ZERO, Instant::now(), 0);
    for position in 0..options.steps.unwrap_or(TRIAL).min(TRIAL) {
        let batch = batches.batch(position);
        trainer.step(&batch)?;
        let loss = trainer.loss()?;
        if position == 0 {
            (first_loss, first_step, trial) = (loss, started.elapsed(), Instant::now());
        } else {
            tokens += batch.token_count();
        }
    }
    let tried = trainer.step_count();
    let steps = options.steps.unwrap_or_else(|| {
        let step = trial.elapsed().as_secs_f64() / (tried.max(2) - 1) as f64;
        let left = (options.seconds as f64 - started.elapsed().as_secs_f64()).max(0.0);
        (tried + (left / step.max(1e-6)) as u64).min(MOST_EPOCHS * batches.per_epoch()).max(tried)
    });

    let progress = Arc::new(Progress::bar(steps, tried));
    for batch in batches.steps(steps).starting_at(tried).reporting_to(progress) {
        trainer.step(&batch)?;
        tokens += batch.token_count();
        // In case the machine became slower than in the trial.
        if options.steps.is_none() && started.elapsed().as_secs() > options.seconds {
            break;
        }
    }
    let last_loss = trainer.loss()?;
    let tokens_per_s = tokens as f64 / trial.elapsed().as_secs_f64();

    // A short text may hold out less than one window; then the window is shorter.
    let window = TIME.min(held_out.len() - 1);
    let held_out_loss = trainer.evaluate_all(held_out.batches(ROWS, window).ordered(Order::Streams))?;

    trainer.save(out.join("model.safetensors"))?;
    let title = format!("LSTM on {source}");
    let curve = Curve { title: &title, losses: trainer.history()?, unigram_entropy: Some(entropy) };
    loss_curve(out.join("loss.svg"), curve)?;
    let summary = Summary {
        adapter,
        text: source,
        characters: text.len(),
        vocabulary: text.vocab().size(),
        parameters,
        steps: trainer.step_count(),
        first_loss,
        last_loss,
        held_out_loss,
        unigram_entropy: entropy,
        tokens_per_s,
        first_step_ms: first_step.as_secs_f64() * 1e3,
        planned_bytes: trainer.memory().total,
        device_bytes: device.allocated_bytes(),
        seconds: started.elapsed().as_secs_f64(),
    };
    workspace::write(&out.join("summary.json"), serde_json::to_string_pretty(&summary)? + "\n")?;
    let mut generator = model.generator(&trainer).map_err(seqloom::Error::from)?;
    generator = generator.with_temperature(0.7).map_err(seqloom::Error::from)?;
    let sample = generator.sample("", SAMPLE).map_err(seqloom::Error::from)?;
    report(&summary, &sample, &out);
    Ok(())
}

fn report(summary: &Summary, sample: &str, out: &Path) {
    println!("{sample}\n");
    println!(
        "{} steps in {:.0} s, {:.0} characters/s. Loss {:.3} at first, {:.3} at last, {:.3} on held-out text; single \
         characters have {:.3} nats.",
        summary.steps,
        summary.seconds,
        summary.tokens_per_s,
        summary.first_loss,
        summary.last_loss,
        summary.held_out_loss,
        summary.unigram_entropy,
    );
    println!("Written: model.safetensors, loss.svg, summary.json in {}", out.display());
}
