//! `cargo xtask bench --startup`: time from the start of a process to the end of the demo model's first step.
//!
//! It is measured from outside, around a child process, so loading the program and opening the adapter count. *Cold*
//! runs find both Seqloom's pipeline cache and the driver's empty: each gets empty folders. *Warm* runs find what one
//! earlier run left.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use seqloom::prelude::*;

use super::rounds::give_caches;
use super::stats::median;
use crate::error::{Result, XtaskError, at};
use crate::{corpus, demo, workspace};

/// Runs of each kind; the median is reported.
const RUNS: usize = 5;
/// What the child writes when its step is done.
const DONE: &str = "first step done";

/// Options of the child process.
#[derive(clap::Args)]
pub struct FirstStepOptions {
    /// Folder of the pipeline cache
    #[arg(long)]
    cache_dir: Option<PathBuf>,
}

/// Measures, and prints one JSON line or a sentence.
///
/// # Errors
/// A child that fails or does not answer.
pub fn run(json: bool) -> Result<()> {
    let mut cold = Vec::new();
    for _ in 0..RUNS {
        cold.push(with_folder(measure)?);
    }
    let warm: Vec<f64> = with_folder(|folder| {
        measure(folder)?;
        (0..RUNS).map(|_| measure(folder)).collect()
    })?;
    let (cold_ms, warm_ms) = (median(&cold), median(&warm));
    if json {
        let version = env!("CARGO_PKG_VERSION");
        let line = serde_json::json!({
            "peer": "seqloom", "workload": "startup", "case": "demo", "cold_ms": cold_ms, "warm_ms": warm_ms,
            "runs": RUNS, "version": version,
        });
        println!("{line}");
    } else {
        println!(
            "process start to first step done: {cold_ms:.0} ms cold, {warm_ms:.0} ms warm (medians of {RUNS})"
        );
    }
    Ok(())
}

fn with_folder<T>(work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let folder = tempfile::tempdir().map_err(at(&std::env::temp_dir()))?;
    work(folder.path())
}

/// One child with its caches under `folder`: milliseconds until it reports that it is done.
fn measure(folder: &Path) -> Result<f64> {
    let program = std::env::current_exe().map_err(at(Path::new("the running program")))?;
    let mut command = Command::new(program);
    command.arg("first-step").arg("--cache-dir").arg(folder.join("seqloom"));
    give_caches(&mut command, folder)?;
    command.stdout(Stdio::piped());
    let shown = crate::process::shown(&command);
    let begin = Instant::now();
    let mut child = command.spawn().map_err(|source| XtaskError::Start { command: shown.clone(), source })?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        // An unreadable pipe leaves the line empty, which is the error below.
        let _ = BufReader::new(stdout).read_line(&mut line);
    }
    let elapsed = begin.elapsed().as_secs_f64() * 1e3;
    let status = child.wait().map_err(|source| XtaskError::Start { command: shown.clone(), source })?;
    if line.trim() != DONE || !status.success() {
        return Err(XtaskError::Answer { command: shown, answer: format!("{} ({status})", line.trim()) });
    }
    Ok(elapsed)
}

/// The child: the demo's first step and nothing else.
///
/// # Errors
/// As the demo.
pub fn first_step(options: &FirstStepOptions, started: Instant) -> Result<()> {
    let (text, _) = corpus::corpus(&workspace::root()?, None)?;
    let device = demo::device(options.cache_dir.clone())?;
    let opened = started.elapsed();
    let mut params = Params::seeded(42);
    let model = demo::model(&mut params, text.vocab());
    let mut trainer = Trainer::new(&device, params, demo::optimizer(), |g, b: &LmBatch| model.loss(g, b))?;
    trainer.step(&text.batches(demo::ROWS, demo::TIME).batch(0))?;
    let recorded = started.elapsed();
    let loss = trainer.loss()?;
    println!("{DONE}");
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    eprintln!(
        "device open at {:.0} ms, step asked for at {:.0} ms, done at {:.0} ms, loss {loss:.3}",
        ms(opened),
        ms(recorded),
        ms(started.elapsed())
    );
    Ok(())
}
