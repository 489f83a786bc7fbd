//! `cargo example translate`: an encoder–decoder from two parallel texts to translations, scores and attention maps.
//!
//! It uses only the public interface. In order: text to ids ([`data`]), a model of the chosen kind and sizes
//! ([`settings`]), training, then the test on held-out sentences: perplexity, translations by greedy or beam search,
//! exact matches and BLEU, and the attention map of one sentence ([`report`]). README.md beside this file says how to
//! run it.

mod data;
mod error;
mod model;
mod options;
mod recurrent;
mod report;
mod settings;
mod transformer;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use seqloom::nn::BeamSearch;
use seqloom::prelude::custom::*;
use seqloom::train::{Curve, loss_curve};
use seqloom_examples::exit;

use data::{Data, skipped};
use error::{Error, Result, at};
use model::Learner;
use options::Options;
use recurrent::Cell;
use report::{Summary, Test};
use settings::{Model, Settings};

/// Default epochs of a run on files.
const FILE_EPOCHS: u64 = 10;
/// Lengths are rounded up to a multiple of this many pieces: little padding, few shapes.
const ROUND: usize = 4;
/// Sentences translated at once.
const ROWS: usize = 50;
/// Parameters and moments in a saved model's folder.
const PARAMETERS: &str = "model.safetensors";

fn main() -> ExitCode {
    let options = Options::parse();
    exit(choose(&options), Error::advice)
}

/// Runs the model that is asked for.
fn choose(options: &Options) -> Result<()> {
    let settings = Settings::of(options)?;
    let Settings { layers, dropout, longest, .. } = settings;
    match &settings.model {
        Model::Recurrent(sizes) => {
            let config = |vocab| sizes.config(vocab, layers, dropout, longest);
            match sizes.cell {
                Cell::Gru => run::<Seq2Seq<Gru>>(options, &settings, config),
                Cell::Lstm => run::<Seq2Seq<Lstm>>(options, &settings, config),
            }
        }
        Model::Transformer(sizes) => {
            run::<Transformer>(options, &settings, |vocab| sizes.config(vocab, layers, dropout, longest))
        }
    }
}

fn run<M: Learner>(
    options: &Options,
    settings: &Settings,
    config: impl FnOnce(TranslationVocab) -> M::Config,
) -> Result<()> {
    let started = Instant::now();
    // Checked now and not after the training: invalid search settings, a folder that cannot be written.
    let search = BeamSearch {
        width: options.beam,
        length_penalty: options.length_penalty,
        ..BeamSearch::greedy(0, 0, 0)
    };
    search.check()?;
    for folder in [Some(&options.out), options.save.as_ref()].into_iter().flatten() {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let data = Data::new(options, settings)?;
    for (text, corpus) in [("training", &data.train), ("test", &data.test)] {
        eprintln!("{text}: {} pairs{}", corpus.len(), left_out(corpus));
    }

    let device = Device::open(DeviceOptions::default())?;
    let adapter = format!("{} ({})", device.facts().name, device.facts().backend);
    let mut params = Params::seeded(options.training.seed);
    let model = M::register(&mut params, config(data.train.vocab()));
    let parameters = params.count();
    eprintln!("{adapter}: {} with {parameters} parameters", data.name);

    let training = &options.training;
    let batches = data.train.batches(training.batch).rounded_to(ROUND).seeded(training.seed);
    batches.check()?;
    let by_epochs = |epochs: u64| epochs.saturating_mul(batches.per_epoch());
    let steps = match (training.steps, training.epochs) {
        (Some(steps), _) => steps,
        (None, Some(epochs)) => by_epochs(epochs),
        (None, None) if data.dates.is_some() => settings.date_steps(),
        (None, None) => by_epochs(FILE_EPOCHS),
    };
    let lr = training.lr.unwrap_or(settings.lr(data.dates.is_some()));
    let adam = AdamW { lr, weight_decay: 0.0, clip_norm: Some(1.0), ..AdamW::default() };
    let schedule = Cosine {
        warmup: training.warmup.unwrap_or(steps / 20).min(steps.saturating_sub(1)),
        total: steps.max(1),
        floor: 0.05,
    };
    let mut trainer =
        Trainer::new(&device, params, adam, |g, batch: &TranslationBatch| model.loss(g, batch))?
            .with_schedule(schedule)?
            .with_history();
    if let Some(folder) = &options.load {
        trainer.load(folder.join(PARAMETERS))?;
    }

    let done = trainer.step_count();
    let progress = Arc::new(Progress::bar(steps, done.min(steps)));
    let (watch, mut tokens) = (Instant::now(), 0);
    let per_epoch = batches.per_epoch();
    let save = |trainer: &mut Trainer<_, _>| match &options.save {
        Some(folder) => {
            trainer.save(folder.join(PARAMETERS))?;
            data.save(folder)?;
            settings.save(folder)
        }
        None => Ok(()),
    };
    for batch in batches.steps(steps).starting_at(done).reporting_to(progress) {
        let step = trainer.step_count();
        let batch = batch.with_teacher_forcing(training.teacher_forcing, training.seed ^ step)?;
        trainer.step(&batch)?;
        tokens += batch.token_count();
        if trainer.step_count().is_multiple_of(per_epoch) {
            // A bad end does not lose hours of training.
            save(&mut trainer)?;
            trainer.finish()?;
            let epoch =
                trainer.history()?.iter().rev().take(per_epoch as usize).map(|(_, loss)| f64::from(*loss));
            let (count, sum) = epoch.fold((0.0, 0.0), |(count, sum), loss| (count + 1.0, sum + loss));
            eprintln!("epoch {}: loss {:.3}", trainer.step_count() / per_epoch, sum / count);
        }
        if training.seconds.is_some_and(|seconds| watch.elapsed().as_secs_f64() >= seconds) {
            break;
        }
    }
    trainer.finish()?;
    let training_s = watch.elapsed().as_secs_f64();
    if !trainer.history()?.is_empty() {
        let curve = Curve { title: &data.name, losses: trainer.history()?, unigram_entropy: None };
        loss_curve(options.out.join("loss.svg"), curve)?;
    }
    save(&mut trainer)?;

    let scored = data.test.batches(training.batch).rounded_to(ROUND).every_pair();
    let perplexity = trainer.evaluate_all(scored)?.exp();
    let sources: Vec<&[u32]> = data.test.pairs().iter().map(|(source, _)| source.as_slice()).collect();
    let mut translator = model.translator(&trainer);
    // No translation is longer than the longest that was trained on.
    let longest = data.train.pairs().iter().map(|(_, target)| target.len()).max().unwrap_or(0);
    let found = translator.beam_by_rows(&sources, ROWS, options.beam, options.length_penalty, longest)?;
    // Every sentence has a best translation, because these models give every piece a probability above 0.
    let best: Vec<Translation> = found.into_iter().filter_map(|found| found.into_iter().next()).collect();
    let mut written = vec!["summary.json"];
    if report::draw(&options.out.join("attention.svg"), &data, &best)? {
        written.push("attention.svg");
    }
    let summary = Summary {
        adapter,
        task: data.name.clone(),
        model: settings.clone(),
        parameters,
        training_pairs: data.train.len(),
        left_out: skipped(data.train.skipped()),
        steps: trainer.step_count(),
        training_loss: trainer.history()?.last().map(|(_, loss)| *loss),
        tokens_per_s: tokens as f64 / training_s,
        training_s,
        test: Test::new(&data, settings, perplexity, &best)?,
        total_s: started.elapsed().as_secs_f64(),
    };
    let path = options.out.join("summary.json");
    std::fs::write(&path, serde_json::to_string_pretty(&summary)? + "\n").map_err(at(&path))?;
    summary.print();
    println!("written: {} in {}", written.join(", "), options.out.display());
    Ok(())
}

fn left_out(corpus: &ParallelCorpus) -> String {
    let reasons = skipped(corpus.skipped());
    if reasons.is_empty() { String::new() } else { format!(", left out: {}", reasons.join(", ")) }
}
