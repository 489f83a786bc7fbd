//! A model that fills in hidden characters: an encoder-only Transformer, trained as BERT is.
//!
//! In each window of text some characters are hidden, and the model sees the others on both sides. Its share of right
//! answers on held-out text is printed beside that of guessing the most frequent character. The held-out windows and
//! their hidden characters are the same for both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use seqloom::graph::{Control, Program, Request};
use seqloom::prelude::*;
use seqloom::train::random::{below, mix};

/// Part of the text that is not trained on.
const HELD_OUT: f64 = 0.1;
/// Number of batches of held-out windows for the test.
const LOOKS: u64 = 20;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Trains an encoder-only Transformer to say which characters of a text were hidden
#[derive(Parser)]
struct Options {
    /// Text to learn; by default all Markdown of this repository
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Steps of training
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..))]
    steps: u64,
    /// Rows of a batch, B
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = positive)]
    rows: usize,
    /// Characters of a window, T
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    time: usize,
    /// Channels of the model, C
    #[arg(long, value_name = "N", default_value_t = 64)]
    channels: usize,
    /// Heads of each attention, H
    #[arg(long, value_name = "N", default_value_t = 4)]
    heads: usize,
    /// Blocks, L
    #[arg(long, value_name = "N", default_value_t = 2)]
    layers: usize,
    /// Share of the characters that is hidden
    #[arg(long, value_name = "X", default_value_t = 0.15)]
    ratio: f64,
    /// Learning rate, which rises over a tenth of the steps and falls to a tenth by a cosine
    #[arg(long, value_name = "X", default_value_t = 3e-3)]
    lr: f64,
    /// Folder for the checkpoint and the figures
    #[arg(long, value_name = "DIR", default_value = "target/masked_language")]
    out: PathBuf,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number above 0".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// Windows of a text with some characters hidden, each batch a pure function of its number.
struct Windows<'a> {
    text: &'a CharCorpus,
    masking: &'a Masking,
    rows: usize,
    time: usize,
    seed: u64,
}

impl Windows<'_> {
    /// Batch `number`: windows from random places.
    fn batch(&self, number: u64) -> Outcome<MaskedBatch> {
        let ids = self.text.ids();
        let places = (ids.len() + 1).saturating_sub(self.time);
        if places == 0 {
            let has = ids.len();
            return Err(format!("a part of {has} characters holds no window of {}", self.time).into());
        }
        let seed = mix(self.seed, number);
        let windows: Vec<_> =
            (0..self.rows as u64).map(|row| &ids[below(seed, row, places)..][..self.time]).collect();
        Ok(MaskedBatch::new(&windows, self.masking, seed)?)
    }
}

/// How many hidden characters were right, and the cost of all of them.
#[derive(Default)]
struct Score {
    hidden: usize,
    model: usize,
    unigram: usize,
    /// Sum of −log₂ p of the original characters.
    bits: f64,
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    let (text, source) = text(options.text.as_deref())?;
    std::fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let (train, held_out) = text.split(HELD_OUT)?;
    let device = Device::open(DeviceOptions { checks: Some(false), ..DeviceOptions::default() })
        .map_err(|e| format!("{e}\n`cargo xtask doctor` says what this machine has."))?;
    // The mask symbol is one more.
    let symbols = text.vocab().size();
    let masking = Masking { ratio: options.ratio, ..Masking::new(symbols + 1, symbols as u32) };
    println!("{} on {source}: {} characters, {symbols} symbols", device.facts().name, text.len());

    let Options { rows, time, channels, heads, layers, steps, lr, .. } = options;
    let mut params = Params::seeded(42);
    let config = BertConfig::new(Vocab::ids(symbols + 1), channels, heads, layers, time);
    // Neighbours predict a character best. With positions only in embeddings, heads find them slowly; slopes make some
    // heads look near from the start.
    let block = BlockConfig {
        relative: RelativePositions::Alibi,
        dropout: TransformerDropout::default(),
        ..config.block
    };
    let model = Bert::new(&mut params, BertConfig { block, ..config });
    println!("{} parameters", params.count());
    let optimizer = AdamW { lr, clip_norm: Some(1.0), ..AdamW::default() };
    let mut trainer =
        Trainer::new(&device, params, optimizer, |g, batch: &MaskedBatch| model.loss(g, batch))?
            .with_schedule(Cosine { warmup: steps / 10, total: steps, floor: 0.1 })?;
    let windows = |text, seed| Windows { text, masking: &masking, rows, time, seed };
    let bar = Arc::new(Progress::bar(steps, 0));
    let batches = windows(&train, 42);
    for step in 0..steps {
        trainer.step(&batches.batch(step)?.with_listener(bar.clone()))?;
    }
    trainer.finish()?;

    let score = score(&model, trainer.store(), &windows(&held_out, 43), &train)?;
    let share = |right: usize| right as f64 / score.hidden as f64;
    let (accuracy, baseline) = (share(score.model), share(score.unigram));
    let (bits, unigram) =
        (score.bits / score.hidden as f64, train.unigram_entropy() / std::f64::consts::LN_2);
    println!("\nof {} hidden characters of held-out text", score.hidden);
    println!("{:<34}{:>10}{:>18}", "", "right", "bits/character");
    println!("{:<34}{:>9.1}%{unigram:>18.3}", "the most frequent character", 100.0 * baseline);
    println!("{:<34}{:>9.1}%{bits:>18.3}", "the model", 100.0 * accuracy);
    fill(&model, trainer.store(), &windows(&held_out, 44))?;

    let (checkpoint, figures) = (options.out.join("model.safetensors"), options.out.join("figures.json"));
    trainer.save(&checkpoint)?;
    let json = serde_json::json!({"text": source, "steps": steps, "hidden": score.hidden,
        "accuracy": accuracy, "bits_per_character": bits,
        "most_frequent_accuracy": baseline, "unigram_entropy_bits": unigram});
    std::fs::write(&figures, serde_json::to_string_pretty(&json)? + "\n")
        .map_err(|e| format!("{}: {e}", figures.display()))?;
    println!("\nWritten: {} and {}", checkpoint.display(), figures.display());
    Ok(())
}

/// A model's results for batches of one shape: logits [M, V] of their hidden characters.
struct Reader {
    program: Program,
}

impl Reader {
    fn new(model: &Bert, store: &ParamStore, like: &MaskedBatch) -> Outcome<Self> {
        let g = store.inference_graph();
        let outputs = [("logits", model.hidden_logits(&g, like))];
        Ok(Self { program: Program::compile(store, &g, Request { outputs: &outputs, objective: None })? })
    }

    fn logits(&self, batch: &MaskedBatch) -> Outcome<Vec<f32>> {
        let read: Vec<_> = batch.tensors().into_iter().filter(|(name, _)| *name != "targets").collect();
        let [logits] = self.program.call(&read, &Control::default(), ["logits"])?.wait()?;
        Ok(logits)
    }
}

/// Elements of a batch's tensor of ids.
fn ids(tensor: Option<&HostTensor>) -> &[u32] {
    match tensor.map(HostTensor::data) {
        Some(seqloom::graph::HostData::U32(ids)) => ids,
        _ => &[],
    }
}

/// The likeliest symbol.
fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(id, _)| id as u32)
}

/// Scores held-out windows, beside guessing the training text's most frequent character.
fn score(model: &Bert, store: &ParamStore, windows: &Windows<'_>, train: &CharCorpus) -> Outcome<Score> {
    let mut counts = vec![0u64; windows.masking.vocab];
    train.ids().iter().for_each(|&id| counts[id as usize] += 1);
    let frequent = counts.iter().enumerate().max_by_key(|(_, count)| **count).map_or(0, |(id, _)| id as u32);
    let reader = Reader::new(model, store, &windows.batch(0)?)?;
    let mut score = Score::default();
    for number in 0..LOOKS {
        let batch = windows.batch(number)?;
        let logits = reader.logits(&batch)?;
        for (row, &target) in logits.chunks(windows.masking.vocab).zip(ids(batch.targets())) {
            let top = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            let sum: f64 = row.iter().map(|&logit| f64::from(logit - top).exp()).sum();
            score.hidden += 1;
            score.model += usize::from(likeliest(row) == target);
            score.unigram += usize::from(frequent == target);
            score.bits += (sum.ln() - f64::from(row[target as usize] - top)) / std::f64::consts::LN_2;
        }
    }
    Ok(score)
}

/// Prints a held-out window as the model read it, with hidden characters as `▒`, and with its guesses in their places.
fn fill(model: &Bert, store: &ParamStore, windows: &Windows<'_>) -> Outcome<()> {
    let one = Windows { rows: 1, ..*windows };
    let batch = one.batch(0)?;
    let logits = Reader::new(model, store, &batch)?.logits(&batch)?;
    let vocab = one.text.vocab();
    let mask = one.masking.mask;
    let (mut read, mut filled) = (String::new(), String::new());
    let places = ids(batch.places());
    for (step, &id) in ids(batch.tokens()).iter().enumerate() {
        let place = places.iter().position(|&place| place as usize == step);
        let guess = place.map_or(id, |at| likeliest(&logits[at * one.masking.vocab..][..one.masking.vocab]));
        for (line, id) in [(&mut read, id), (&mut filled, guess)] {
            *line += &(if id == mask { "▒".to_owned() } else { vocab.decode(&[id])?.replace('\n', "⏎") });
        }
    }
    println!("\nread:   {read}\nfilled: {filled}");
    Ok(())
}

/// The text of a file, or of this repository's Markdown in the order of its paths, and what to call it.
fn text(file: Option<&Path>) -> Outcome<(CharCorpus, String)> {
    if let Some(file) = file {
        return Ok((CharCorpus::read(file)?, file.display().to_string()));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    documents(&root, &mut files)?;
    files.sort();
    let mut all = String::new();
    for file in &files {
        all += &seqloom::train::read_text(file)?;
    }
    Ok((CharCorpus::from_text(&all)?, format!("{} Markdown files of this repository", files.len())))
}

/// Markdown files under `folder`, built and hidden folders left out.
fn documents(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && !path.is_symlink() {
                documents(&path, files)?;
            }
        } else if name.ends_with(".md") {
            files.push(path);
        }
    }
    Ok(())
}
