//! `cargo xtask bench`: training steps, measured in the way and the words in which other frameworks are measured.
//!
//! Each case runs in a process of its own, so that its first step is cold and its peak memory its own. The device's work is
//! part of every timed step: it ends when the loss has come back. A build with debug assertions measures nothing worth
//! knowing, so the command starts itself again in release.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use seqloom::prelude::*;

use crate::error::{Result, XtaskError, at};
use crate::{adapter, process, startup};

/// Workloads and their cases.
const WORKLOADS: &[(&str, &[&str])] = &[("W2", &["lstm1", "lstm2"])];
/// Sizes of W2: symbols, rows, steps, channels of the embedding, width of the state.
const VOCAB: usize = 96;
const ROWS: usize = 32;
const TIME: usize = 64;
const EMBED: usize = 128;
const HIDDEN: usize = 256;
/// Steps that are not timed, after the first.
const WARM_UP: usize = 3;
/// Timed steps, unless told otherwise: at least this many and this long, at most so many.
const LEAST_STEPS: usize = 10;
const LEAST_SECONDS: f64 = 3.0;
const MOST_STEPS: usize = 200;
/// Steps over which the host's own time is measured.
const HOST_STEPS: usize = 20;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Workload: W2 (LSTM language model, one training step)
    #[arg(long, default_value = "W2")]
    workload: String,
    /// Only this case of the workload
    #[arg(long)]
    case: Option<String>,
    /// One JSON line a case instead of a table
    #[arg(long)]
    json: bool,
    /// Time exactly this many steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Measure the time from process start to the demo's first step instead
    #[arg(long)]
    startup: bool,
}

/// Options of a case's own process.
#[derive(clap::Args)]
pub struct CaseOptions {
    #[arg(long)]
    workload: String,
    #[arg(long)]
    case: String,
    #[arg(long)]
    steps: Option<u32>,
}

/// One measured case; times in milliseconds unless the name says otherwise, losses in nats a token.
#[derive(serde::Serialize, serde::Deserialize)]
struct Row {
    peer: String,
    workload: String,
    case: String,
    first_ms: f64,
    median_ms: f64,
    min_ms: f64,
    timed_steps: usize,
    loss_first: f32,
    loss_last: f32,
    params: usize,
    /// Absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    peak_rss_mb: Option<f64>,
    tokens_per_s: f64,
    device: String,
    version: String,
    adapter: String,
    planned_bytes: u64,
    device_bytes: u64,
    dispatches: usize,
    /// Microseconds of the calling thread's processor time in `step`, divided by the dispatches.
    host_us_per_dispatch: f64,
}

/// Measures the asked cases.
///
/// # Errors
/// [`XtaskError::Unknown`] for a workload or case that does not exist; what a case's process reports.
pub fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return in_release();
    }
    adapter::prepare()?;
    if options.startup {
        return startup::run(options.json);
    }
    let cases = cases(&options.workload, options.case.as_deref())?;
    if !options.json {
        println!(
            "{:<8}{:>10}{:>10}{:>10}{:>12}{:>12}",
            "case", "first ms", "median ms", "min ms", "tokens/s", "MiB"
        );
    }
    for case in cases {
        let program = std::env::current_exe().map_err(at(Path::new("the running program")))?;
        let mut command = Command::new(program);
        command.args(["bench-case", "--workload", &options.workload, "--case", case]);
        if let Some(steps) = options.steps {
            command.args(["--steps", &steps.to_string()]);
        }
        let answer = process::output(&mut command)?;
        let line = answer.trim();
        if options.json {
            println!("{line}");
            continue;
        }
        let row: Row = serde_json::from_str(line)?;
        println!(
            "{:<8}{:>10.1}{:>10.1}{:>10.1}{:>12.0}{:>12.1}",
            row.case,
            row.first_ms,
            row.median_ms,
            row.min_ms,
            row.tokens_per_s,
            row.device_bytes as f64 / f64::from(1 << 20)
        );
    }
    Ok(())
}

/// Runs the same command line again, built in release.
fn in_release() -> Result<()> {
    let mut command = process::cargo();
    command
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(std::env::args_os().skip(1));
    process::run(&mut command)
}

/// The cases of a workload, or the one asked for.
fn cases<'a>(workload: &str, case: Option<&'a str>) -> Result<Vec<&'a str>> {
    let unknown = |what, asked: &str, known: Vec<&str>| {
        Err(XtaskError::Unknown { what, asked: asked.to_owned(), known: known.join(", ") })
    };
    let Some((_, all)) = WORKLOADS.iter().find(|(name, _)| *name == workload) else {
        return unknown("workload", workload, WORKLOADS.iter().map(|(name, _)| *name).collect());
    };
    match case {
        None => Ok(all.to_vec()),
        Some(case) if all.contains(&case) => Ok(vec![case]),
        Some(case) => unknown("case", case, all.to_vec()),
    }
}

/// The process of one case: measures and prints its JSON line.
///
/// # Errors
/// The device's or the trainer's.
pub fn case(options: &CaseOptions) -> Result<()> {
    let case = cases(&options.workload, Some(&options.case))?.remove(0);
    let layers = if case == "lstm2" { 2 } else { 1 };
    let device = Device::open(DeviceOptions::default())?;
    let mut params = Params::seeded(42);
    let config =
        LstmLmConfig { vocab: Vocab::ids(VOCAB), embed: EMBED, hidden: HIDDEN, layers, dropout: 0.0 };
    let model = LstmLm::new(&mut params, config);
    let count = params.count();
    // Adam is AdamW without decay.
    let adam = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, clip_norm: None };
    let mut trainer = Trainer::new(&device, params, adam, |g, batch: &LmBatch| model.loss(g, batch))?;
    let batch = batch()?;

    let (mut millis, mut losses) = (Vec::new(), Vec::new());
    // The first step, the warm-up, then the timed ones.
    while millis.len() < 1 + WARM_UP || !enough(&millis[1 + WARM_UP..], options.steps) {
        let begin = Instant::now();
        trainer.step(&batch)?;
        losses.push(trainer.loss()?);
        millis.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let (first_ms, timed) = (millis[0], &millis[1 + WARM_UP..]);

    // The device is idle before each, so that the host never waits for room in the queue.
    let mut host = Vec::new();
    for _ in 0..HOST_STEPS {
        device.wait()?;
        let begin = host_time();
        trainer.step(&batch)?;
        host.push((host_time() - begin) * 1e6);
    }
    device.wait()?;

    let facts = device.facts();
    let dispatches = trainer.program().map_or(0, seqloom::graph::Program::dispatches);
    let median_ms = median(timed);
    let row = Row {
        peer: "seqloom".to_owned(),
        workload: options.workload.clone(),
        case: case.to_owned(),
        first_ms,
        median_ms,
        min_ms: timed.iter().copied().fold(f64::INFINITY, f64::min),
        timed_steps: timed.len(),
        loss_first: losses.first().copied().unwrap_or(f32::NAN),
        loss_last: losses.last().copied().unwrap_or(f32::NAN),
        params: count,
        peak_rss_mb: peak_rss_mb(),
        tokens_per_s: (ROWS * TIME) as f64 / median_ms * 1e3,
        device: format!("{} ({}; {})", facts.name, facts.backend, facts.driver),
        version: format!("seqloom {}", env!("CARGO_PKG_VERSION")),
        adapter: facts.name.clone(),
        planned_bytes: trainer.memory().total,
        device_bytes: device.allocated_bytes(),
        dispatches,
        host_us_per_dispatch: median(&host) / dispatches.max(1) as f64,
    };
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}

/// Whether enough steps were timed.
fn enough(timed: &[f64], asked: Option<u32>) -> bool {
    match asked {
        Some(steps) => timed.len() >= steps as usize,
        None => {
            let long_enough = timed.iter().sum::<f64>() >= LEAST_SECONDS * 1e3;
            timed.len() >= MOST_STEPS || (timed.len() >= LEAST_STEPS && long_enough)
        }
    }
}

/// The one batch: rows of T + 1 tokens, inputs the first T, targets the last T.
fn batch() -> Result<LmBatch> {
    let tokens = tokens(42, ROWS * (TIME + 1), VOCAB as u64);
    let part =
        |from: usize| tokens.chunks(TIME + 1).flat_map(|row| row[from..from + TIME].to_vec()).collect();
    Ok(LmBatch::new(ROWS, TIME, part(0), part(1)).map_err(seqloom::Error::from)?)
}

/// The peers' generator: state = state·6364136223846793005 + 1442695040888963407 mod 2⁶⁴, token = (state >> 33) mod vocab.
fn tokens(seed: u64, count: usize, vocab: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) % vocab) as u32
    };
    (0..count).map(|_| next()).collect()
}

/// Seconds of processor time that this thread has used: what a step costs the host.
///
/// Not the time on the clock: a software adapter may run the kernels before it returns from the submission (lavapipe
/// does), and that is the device's time, spent by threads of its own.
#[cfg(unix)]
fn host_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds on the clock, where the system does not tell a thread's processor time.
#[cfg(not(unix))]
fn host_time() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
    }
}

/// Peak resident memory of this process in MiB, where the system tells (Linux).
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_the_peers() {
        let state = 42u64.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        assert_eq!(u64::from(tokens(42, 1, 96)[0]), (state >> 33) % 96);
        assert!(tokens(42, 1000, 96).iter().all(|&t| t < 96));
    }

    #[test]
    fn unknown_cases_are_refused_with_those_that_exist() {
        assert_eq!(cases("W2", None).unwrap(), ["lstm1", "lstm2"]);
        assert_eq!(cases("W2", Some("lstm2")).unwrap(), ["lstm2"]);
        assert!(cases("W9", None).unwrap_err().to_string().ends_with("there are: W2"));
        assert!(cases("W2", Some("gpt")).unwrap_err().to_string().contains("lstm1, lstm2"));
    }

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn timing_ends_after_enough_steps() {
        assert!(!enough(&[1.0; 9], None) && !enough(&[1.0; 199], None) && enough(&[1.0; 200], None));
        assert!(enough(&[400.0; 10], None) && enough(&[1.0; 2], Some(2)) && !enough(&[9e9], Some(2)));
    }
}
