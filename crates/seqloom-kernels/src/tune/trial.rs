//! Candidates on trial: each runs once and is compared with the heuristic's results; the right ones are timed.
//!
//! Results are filled with NaN before each run, so an element that a candidate forgets shows. Times are the minimum of
//! several rounds, in which the candidates take turns: other work on the machine only adds time, and adds it to all
//! equally. If every candidate is one launch and the device has a clock, that clock measures. If some are several
//! launches, it does not: it would miss the gaps between launches, and each launch would need a separate pass that a
//! program does not have. Then the host's clock measures around many runs and one wait.

use std::time::{Duration, Instant};

use seqloom_device::{Buffer, Device, DeviceError, Dispatch};

use super::error::TuneError;
use super::operands::Operands;
use super::report::{Outcome, Report, Skip, Trial};
use super::task::Candidate;
use crate::error::KernelError;
use crate::launch::{Lowered, Operand};

/// How far tuning goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Longest wait for a candidate's first run, before the device counts as hung.
    pub wait: Duration,
    /// A candidate is not run if its modelled cost is more than this many times the cheapest.
    pub cost: f64,
    /// Number of rounds, at least 1; the minimum counts.
    pub rounds: usize,
}

impl Default for Limits {
    /// 120 s (a first run compiles, and a CPU adapter is slow with a GPU's problems); 3 times, because the models are
    /// rough; 5 rounds.
    fn default() -> Self {
        Self { wait: Duration::from_secs(120), cost: 3.0, rounds: 5 }
    }
}

/// Fills unwritten memory: a quiet NaN that no computation produces.
const POISON: u32 = 0x7fc0_dead;

/// Tolerance, as a share of the largest result. Sums of about a thousand terms in another order differ by about 10⁻⁶ of
/// it; a missing term in such a sum by more than 10⁻⁴.
const TOLERANCE: f32 = 1e-4;

/// Duration of one measurement, so that the host's clock and a wait do not matter.
const LONG_ENOUGH: f64 = 5e6;

/// Most runs in one measurement.
const MOST_RUNS: usize = 50;

/// A candidate that twice took this many times the fastest's time is not measured again.
const HOPELESS: f64 = 2.0;

/// Runs the candidates, the first of which is the heuristic's, on these operands.
///
/// # Errors
/// [`TuneError`] if the device is lost or does not finish a candidate in time.
pub fn compare(
    device: &Device,
    bucket: &str,
    operands: &Operands,
    candidates: &[Candidate],
    limits: &Limits,
) -> Result<Report, TuneError> {
    let ended = |candidate: &Candidate, source| {
        let (bucket, candidate) = (bucket.to_owned(), candidate.name.clone());
        TuneError { bucket, candidate, source }
    };
    let mut course = Course { device, operands, limits, stage: None, wanted: None };
    let least = candidates.iter().map(|candidate| candidate.cost).fold(f64::INFINITY, f64::min);
    let mut ready = Vec::new();
    let mut outcomes = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        let dear = candidate.cost > limits.cost * least;
        outcomes.push(match course.first_run(candidate, index == 0, dear) {
            Ok(dispatches) => {
                ready.push((index, dispatches));
                Outcome::Timed(f64::INFINITY)
            }
            Err(Stop::Skip(why)) => Outcome::Skipped(why),
            Err(Stop::End(source)) => return Err(ended(candidate, source)),
        });
    }
    let stamped = device.facts().timestamps && ready.iter().all(|(_, dispatches)| dispatches.len() == 1);
    for round in 0..=limits.rounds.max(1) {
        let times = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Timed(time) => Some(*time),
            Outcome::Skipped(_) => None,
        });
        let fastest = times.fold(f64::INFINITY, f64::min);
        for (index, dispatches) in &ready {
            let Outcome::Timed(least) = &mut outcomes[*index] else { continue };
            // The first round is a single run, which tells how many runs make a measurement. One bad measurement does
            // not drop a candidate, and the heuristic's is never dropped, because all others are compared with it.
            let runs = match round {
                0 => 1,
                2.. if *index > 0 && *least > HOPELESS * fastest => continue,
                _ => (LONG_ENOUGH / *least).clamp(1.0, MOST_RUNS as f64) as usize,
            };
            match measure(device, dispatches, runs, stamped).map_err(Stop::from) {
                Ok(time) => *least = least.min(time),
                Err(Stop::Skip(why)) => outcomes[*index] = Outcome::Skipped(why),
                Err(Stop::End(source)) => return Err(ended(&candidates[*index], source)),
            }
        }
    }
    let first = candidates.first().map_or(1.0, |candidate| candidate.cost);
    let trial = |(candidate, outcome): (&Candidate, Outcome)| Trial {
        candidate: candidate.name.clone(),
        cost: candidate.cost / first,
        outcome,
    };
    Ok(Report { bucket: bucket.to_owned(), trials: candidates.iter().zip(outcomes).map(trial).collect() })
}

/// Why a candidate goes no further.
enum Stop {
    /// Only this candidate.
    Skip(Skip),
    /// All of tuning, because the device no longer answers.
    End(DeviceError),
}

impl From<DeviceError> for Stop {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Lost { .. } | DeviceError::Timeout { .. } => Stop::End(error),
            _ => Stop::Skip(Skip::Failed(error)),
        }
    }
}

/// The first runs of all candidates.
struct Course<'a> {
    device: &'a Device,
    operands: &'a Operands,
    limits: &'a Limits,
    stage: Option<Stage>,
    /// The heuristic's results.
    wanted: Option<Vec<Vec<f32>>>,
}

/// The buffers that all candidates share.
struct Stage {
    ins: Vec<Buffer>,
    leaves: Vec<Buffer>,
    outs: Vec<Buffer>,
}

impl Course<'_> {
    /// Runs a candidate and compares its results with those of the first. Returns its dispatches if they are right.
    fn first_run(&mut self, candidate: &Candidate, first: bool, dear: bool) -> Result<Vec<Dispatch>, Stop> {
        if !first && self.wanted.is_none() {
            return Err(Stop::Skip(Skip::Alone));
        }
        // All others are compared with the heuristic's, so it runs whatever the model says.
        if !first && dear {
            return Err(Stop::Skip(Skip::Dear));
        }
        if let Some(error) = &candidate.ended {
            return Err(Stop::Skip(Skip::Ended(error.clone())));
        }
        let lowered = candidate.lowered.as_ref().map_err(|error| Stop::Skip(Skip::Refused(error.clone())))?;
        let stage = match self.stage.take() {
            Some(stage) => stage,
            None => self.set()?,
        };
        let stage = self.stage.insert(stage);
        for (out, elements) in stage.outs.iter().zip(&self.operands.outs) {
            fill(self.device, out, &vec![POISON; *elements])?;
        }
        let dispatches = dispatches(self.device, stage, lowered)?;
        self.device.submit(&dispatches)?;
        self.device.wait_within(self.limits.wait)?;
        let mut has = Vec::with_capacity(stage.outs.len());
        for (out, elements) in stage.outs.iter().zip(&self.operands.outs) {
            let bytes = self.device.read(&out.slice(0, 4 * *elements as u64)).wait()?;
            has.push(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
        }
        // The heuristic's own results must be numbers too.
        let needs = self.wanted.as_ref().unwrap_or(&has);
        if let Some(wrong) = difference(&has, needs) {
            return Err(Stop::Skip(wrong));
        }
        self.wanted.get_or_insert(has);
        Ok(dispatches)
    }

    fn set(&self) -> Result<Stage, DeviceError> {
        let filled = |role: &str, contents: &[Vec<u32>]| {
            let each = contents.iter().enumerate().map(|(i, words)| {
                let buffer = self.device.allocate(&format!("{role} {i}"), 4 * words.len() as u64)?;
                fill(self.device, &buffer, words)?;
                Ok(buffer)
            });
            each.collect::<Result<Vec<_>, DeviceError>>()
        };
        let outs = self.operands.outs.iter().enumerate();
        Ok(Stage {
            ins: filled("operand", &self.operands.ins)?,
            leaves: filled("leaf", &self.operands.leaves)?,
            outs: outs
                .map(|(i, elements)| self.device.allocate(&format!("result {i}"), 4 * *elements as u64))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn fill(device: &Device, buffer: &Buffer, words: &[u32]) -> Result<(), DeviceError> {
    if words.is_empty() {
        return Ok(());
    }
    device.write(&buffer.slice(0, 4 * words.len() as u64), bytemuck::cast_slice(words))
}

/// The launches with the stage's buffers and their own scratch.
fn dispatches(device: &Device, stage: &Stage, lowered: &Lowered) -> Result<Vec<Dispatch>, Stop> {
    let scratch = lowered.scratch.iter().map(|&bytes| device.allocate("scratch", bytes));
    let scratch = scratch.collect::<Result<Vec<_>, _>>()?;
    let shaders: Vec<_> = lowered.launches.iter().map(|launch| launch.wgsl.clone()).collect();
    let pipelines = device.pipelines(&shaders)?;
    let mut dispatches = Vec::with_capacity(lowered.launches.len());
    for (launch, pipeline) in lowered.launches.iter().zip(&pipelines) {
        let buffer = |operand: &Operand| match *operand {
            Operand::In(i) => stage.ins.get(i),
            Operand::Out(i) => stage.outs.get(i),
            Operand::Scratch(i) => scratch.get(i),
            Operand::Leaf(i) => stage.leaves.get(i),
        };
        let missing = |operand: &Operand| {
            let detail = format!("{} has no {operand:?} to bind", launch.label);
            Stop::Skip(Skip::Refused(KernelError::Problem { op: "tune", detail }))
        };
        let bound = launch.bindings.iter().map(|operand| {
            let buffer = buffer(operand).ok_or_else(|| missing(operand))?;
            Ok(buffer.all())
        });
        let bound = bound.collect::<Result<Vec<_>, Stop>>()?;
        dispatches.push(device.dispatch(pipeline, &launch.label, &bound, &launch.immediates, launch.grid)?);
    }
    Ok(dispatches)
}

/// The first place where `has` is not a number or not near enough to `needs`.
fn difference(has: &[Vec<f32>], needs: &[Vec<f32>]) -> Option<Skip> {
    for (output, (has, needs)) in has.iter().zip(needs).enumerate() {
        let finite = needs.iter().filter(|value| value.is_finite());
        let largest = finite.fold(0.0f32, |largest, value| largest.max(value.abs()));
        // Not `>`, which is false for NaN. Infinities are the same or wrong.
        let wrong =
            |(has, needs): (&f32, &f32)| !(has == needs || (has - needs).abs() <= TOLERANCE * largest);
        if let Some(element) = has.iter().zip(needs).position(wrong) {
            return Some(Skip::Wrong { output, element, has: has[element], needs: needs[element] });
        }
    }
    None
}

/// Nanoseconds of one run, the minimum or the mean of several.
fn measure(device: &Device, dispatches: &[Dispatch], runs: usize, stamped: bool) -> Result<f64, DeviceError> {
    let many = vec![dispatches; runs].concat();
    if stamped {
        let times = device.profile(&many)?;
        let least = times.iter().map(|time| time.nanoseconds).min().unwrap_or_default();
        // A clock may be too coarse for a small kernel.
        return Ok((least as f64).max(1.0));
    }
    let begin = Instant::now();
    device.submit(&many)?;
    device.wait()?;
    Ok((begin.elapsed().as_nanos() as f64 / runs as f64).max(1.0))
}
