//! One workload's training step, measured in the peers' words.

use std::time::Instant;

use seqloom::prelude::*;

use super::language::{HIDDEN, ROWS, TIME, full, trainer_of};
use crate::error::Result;

/// Steps that are not timed, after the first.
const WARM_UP: usize = 3;
/// Timed steps, unless told otherwise: at least this many and this long, at most so many.
const LEAST_STEPS: usize = 10;
const LEAST_SECONDS: f64 = 3.0;
const MOST_STEPS: usize = 200;
/// Steps over which the host's own time is measured.
const HOST_STEPS: usize = 20;

/// One measured case; times in milliseconds unless the name says otherwise, losses in nats a token.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Row {
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

impl Row {
    /// The table's first line.
    pub fn print_head() {
        println!(
            "{:<8}{:>10}{:>10}{:>10}{:>12}{:>12}",
            "case", "first ms", "median ms", "min ms", "tokens/s", "MiB"
        );
    }

    /// Its line of the table.
    pub fn print(&self) {
        println!(
            "{:<8}{:>10.1}{:>10.1}{:>10.1}{:>12.0}{:>12.1}",
            self.case,
            self.first_ms,
            self.median_ms,
            self.min_ms,
            self.tokens_per_s,
            self.device_bytes as f64 / f64::from(1 << 20)
        );
    }
}

/// Measures training steps of the language model over `cell`.
///
/// # Errors
/// The device's or the trainer's.
pub fn step(workload: &str, case: &str, cell: &str, layers: usize, steps: Option<u32>) -> Result<Row> {
    let device = Device::open(DeviceOptions::default())?;
    let (mut trainer, count) = trainer_of(cell, &device, layers, HIDDEN)?;
    let batch = full(ROWS, TIME)?;

    let (mut millis, mut losses) = (Vec::new(), Vec::new());
    // The first step, the warm-up, then the timed ones.
    while millis.len() < 1 + WARM_UP || !enough(&millis[1 + WARM_UP..], steps) {
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
    let median_ms = super::median(timed);
    let row = Row {
        peer: "seqloom".to_owned(),
        workload: workload.to_owned(),
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
        host_us_per_dispatch: super::median(&host) / dispatches.max(1) as f64,
    };
    Ok(row)
}

/// Whether enough steps were timed.
pub fn enough(timed: &[f64], asked: Option<u32>) -> bool {
    match asked {
        Some(steps) => timed.len() >= steps as usize,
        None => {
            let long_enough = timed.iter().sum::<f64>() >= LEAST_SECONDS * 1e3;
            timed.len() >= MOST_STEPS || (timed.len() >= LEAST_STEPS && long_enough)
        }
    }
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
    fn timing_ends_after_enough_steps() {
        assert!(!enough(&[1.0; 9], None) && !enough(&[1.0; 199], None) && enough(&[1.0; 200], None));
        assert!(enough(&[400.0; 10], None) && enough(&[1.0; 2], Some(2)) && !enough(&[9e9], Some(2)));
    }
}
