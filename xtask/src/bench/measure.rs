//! One case in its own process: its first step, its timed steps, the host's part, memory and work.
//!
//! The process prints its raw measurements; [`super::row`] makes a row of several such processes.

use std::time::Instant;

use seqloom::device::Device;

use super::stats::median;
use super::subject::Subject;
use crate::error::Result;

/// Steps that are not timed, after the first.
const WARM_UP: usize = 3;
/// Default limits of the timed steps of all rounds together: minimum number, minimum duration, maximum number.
const LEAST_STEPS: usize = 10;
const LEAST_SECONDS: f64 = 3.0;
const MOST_STEPS: usize = 200;
/// The host's own time is measured over this many runs, or this many seconds.
const HOST_RUNS: usize = 20;
const HOST_SECONDS: f64 = 1.0;

/// How long to measure in one process.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Exactly this many timed steps.
    pub steps: Option<u32>,
    /// Number of processes that share the minimum number of steps and seconds.
    pub rounds: u32,
}

/// The output of a case's process.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Sample {
    /// Milliseconds of the first step, compilation included.
    pub first_ms: f64,
    /// Milliseconds of each timed step, per unit of work.
    pub millis: Vec<f64>,
    pub loss_first: Option<f32>,
    pub loss_last: Option<f32>,
    pub params: Option<usize>,
    pub tokens: Option<usize>,
    /// Peak resident memory in MiB, if the system tells.
    pub peak_rss_mb: Option<f64>,
    pub planned_bytes: u64,
    /// The most bytes that the device held.
    pub device_bytes: u64,
    /// Dispatches per unit of work.
    pub dispatches: usize,
    /// Microseconds of the calling thread's processor time per dispatch, if a run can be asked for without waiting.
    pub host_us_per_dispatch: Option<f64>,
    /// Operations and bytes of each dispatch of a run, as the program reports them.
    pub work: Vec<(u64, u64)>,
    /// Runs per unit of work.
    pub runs: usize,
    /// The adapter's name with interface and driver.
    pub adapter: String,
    pub device: String,
}

/// Measures.
///
/// # Errors
/// The device's or the subject's.
pub fn measure(device: &Device, subject: &mut dyn Subject, patience: Patience) -> Result<Sample> {
    let (mut millis, mut losses) = (Vec::new(), Vec::new());
    // The first step, the warm-up, then the timed ones.
    while millis.len() < 1 + WARM_UP || !enough(&millis[1 + WARM_UP..], patience) {
        let begin = Instant::now();
        let loss = subject.step()?;
        millis.push(begin.elapsed().as_secs_f64() * 1e3);
        losses.extend(loss);
    }
    let about = subject.about();
    let facts = device.facts();
    let work: Vec<_> = subject
        .program()
        .map_or(&[][..], |program| program.infos())
        .iter()
        .map(|i| (i.flops, i.bytes))
        .collect();
    Ok(Sample {
        first_ms: millis[0],
        millis: millis[1 + WARM_UP..].iter().map(|ms| ms / about.per as f64).collect(),
        loss_first: losses.first().copied(),
        loss_last: losses.last().copied(),
        params: about.params,
        tokens: about.tokens,
        peak_rss_mb: peak_rss_mb(),
        planned_bytes: subject.planned_bytes(),
        device_bytes: device.peak_bytes(),
        dispatches: work.len() * about.runs,
        host_us_per_dispatch: host_us(device, subject, work.len())?,
        work,
        runs: about.runs,
        adapter: facts.name.clone(),
        device: format!("{} ({}; {})", facts.name, facts.backend, facts.driver),
    })
}

/// Microseconds of the host per dispatch. The device is idle before each run, so no run waits for room in the queue.
fn host_us(device: &Device, subject: &mut dyn Subject, dispatches: usize) -> Result<Option<f64>> {
    let (mut host, begin) = (Vec::new(), Instant::now());
    while host.len() < HOST_RUNS && begin.elapsed().as_secs_f64() < HOST_SECONDS {
        device.wait()?;
        let before = host_time();
        if !subject.ask()? {
            return Ok(None);
        }
        host.push((host_time() - before) * 1e6);
    }
    device.wait()?;
    Ok(Some(median(&host) / dispatches.max(1) as f64))
}

/// Whether enough steps were timed.
fn enough(timed: &[f64], patience: Patience) -> bool {
    let rounds = patience.rounds.max(1) as usize;
    match patience.steps {
        Some(steps) => timed.len() >= steps as usize,
        None => {
            let long_enough = timed.iter().sum::<f64>() >= LEAST_SECONDS * 1e3 / rounds as f64;
            timed.len() >= MOST_STEPS.div_ceil(rounds)
                || (timed.len() >= LEAST_STEPS.div_ceil(rounds) && long_enough)
        }
    }
}

/// Seconds of processor time that this thread has used: what a step costs the host.
///
/// Not wall-clock time: a software adapter may run the kernels before it returns from the submission (lavapipe does),
/// and that is the device's time, spent by its own threads.
#[cfg(unix)]
fn host_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Wall-clock seconds, on systems that do not tell a thread's processor time.
#[cfg(not(unix))]
fn host_time() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Peak resident memory of this process in MiB, if the system tells (Linux).
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
        let (free, two) = (Patience { steps: None, rounds: 1 }, Patience { steps: Some(2), rounds: 3 });
        assert!(!enough(&[1.0; 9], free) && !enough(&[1.0; 199], free) && enough(&[1.0; 200], free));
        assert!(enough(&[400.0; 10], free) && enough(&[1.0; 2], two) && !enough(&[9e9], two));
    }

    #[test]
    fn rounds_share_the_steps() {
        let shared = Patience { steps: None, rounds: 3 };
        assert!(!enough(&[400.0; 3], shared) && enough(&[400.0; 4], shared) && enough(&[1.0; 67], shared));
    }
}
