//! `cargo xtask explain`: the program behind a workload's step, dispatch by dispatch; on request measured beside the
//! roofline.
//!
//! Times come from the device's own clock, with each dispatch in a separate pass. That costs time on some adapters, so
//! the sum is printed beside a whole step's time: if the two differ much, trust the shares and not the times. The
//! median of several measurements counts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use seqloom::device::{KernelTime, trace_json};
use seqloom::graph::DispatchInfo;
use seqloom::prelude::*;

use crate::bench::cases::{self, Workload};
use crate::bench::ceilings::{Ceilings, Control};
use crate::bench::stats::median;
use crate::bench::subject::Subject;
use crate::bench::table::{Table, number, percent};
use crate::error::{Result, XtaskError};
use crate::{adapter, bench, workspace};

/// Number of steps and of measurements of the program; the median of each counts.
const TURNS: usize = 5;

/// Options of `cargo xtask explain`.
#[derive(clap::Args)]
pub struct Options {
    /// Workload, as `cargo xtask bench` knows it
    #[arg(long, default_value = "W2")]
    workload: String,
    /// Its case; the first if not given
    #[arg(long)]
    case: Option<String>,
    /// Show what each pass of the compiler did
    #[arg(long)]
    passes: bool,
    /// Measure each dispatch and show equal ones together, those that lose most against the roofline first
    #[arg(long)]
    time: bool,
    /// Measure, and write a trace that ui.perfetto.dev opens
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Prints the program.
///
/// # Errors
/// [`XtaskError::Unknown`] for a workload or case that does not exist; an adapter without timestamps if times
/// are asked for; the device's.
pub fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return bench::in_release();
    }
    let (workload, case) = find(&options.workload, options.case.as_deref())?;
    adapter::prepare()?;
    let device = Device::open(cases::options(case))?;
    let mut subject = (workload.make)(&device, case)?;
    subject.step()?;
    println!("{} {case}: {}", workload.name, workload.title);
    println!("{} ({}; {})", device.facts().name, device.facts().backend, device.facts().driver);
    if options.passes
        && let Some(program) = subject.program()
    {
        print!("{}", program.passes());
    }
    if options.time || options.trace.is_some() {
        let ceilings = Control::measure(&device)?.ceilings();
        let measured = Measured::of(&mut *subject)?;
        if options.time {
            measured.print(ceilings);
        }
        if let Some(file) = &options.trace {
            write_trace(file, &measured.times)?;
            println!("trace: {}", file.display());
        }
    }
    if !options.time
        && let Some(program) = subject.program()
    {
        print!("{}", program.explain());
    }
    Ok(())
}

/// A file that Perfetto opens.
fn write_trace(file: &Path, times: &[KernelTime]) -> Result<()> {
    workspace::write(file, trace_json(times))
}

/// The workload and the case of it.
fn find(name: &str, case: Option<&str>) -> Result<(&'static Workload, &'static str)> {
    let unknown = |what, asked: &str, known: Vec<&str>| XtaskError::Unknown {
        what,
        asked: asked.to_owned(),
        known: known.join(", "),
    };
    let workload = cases::workload(name).ok_or_else(|| {
        unknown("workload", name, cases::WORKLOADS.iter().map(|workload| workload.name).collect())
    })?;
    let asked = case.unwrap_or_else(|| workload.cases.first().copied().unwrap_or_default());
    match workload.cases.iter().find(|known| **known == asked) {
        Some(case) => Ok((workload, case)),
        None => Err(unknown("case", asked, workload.cases.to_vec())),
    }
}

/// A program's dispatches and their times, and the time of a whole step.
struct Measured {
    infos: Vec<DispatchInfo>,
    times: Vec<KernelTime>,
    step_ms: f64,
}

impl Measured {
    fn of(subject: &mut dyn Subject) -> Result<Self> {
        let mut steps = Vec::new();
        for _ in 0..TURNS {
            let begin = Instant::now();
            subject.step()?;
            steps.push(begin.elapsed().as_secs_f64() * 1e3 / subject.about().per as f64);
        }
        let step_ms = median(&steps) / subject.about().runs as f64;
        let Some(program) = subject.program() else {
            return Err(seqloom::Error::NoStep { what: "program" }.into());
        };
        let runs = (0..TURNS)
            .map(|_| program.profile().map_err(seqloom::Error::from))
            .collect::<Result<Vec<_>, _>>()?;
        let mut times = runs[TURNS / 2].clone();
        for (at, time) in times.iter_mut().enumerate() {
            let all: Vec<f64> = runs.iter().filter_map(|run| Some(run.get(at)?.nanoseconds as f64)).collect();
            time.nanoseconds = median(&all).round() as u64;
        }
        // Starts come from one run, lengths from all; laid end to end they make a trace without gaps and overlaps.
        let mut start = 0;
        for time in &mut times {
            time.start = start;
            start += time.nanoseconds;
        }
        Ok(Self { infos: program.infos().to_vec(), times, step_ms })
    }

    fn print(&self, ceilings: Ceilings) {
        let groups = groups(&self.infos, &self.times, ceilings);
        let total: f64 = groups.iter().map(|group| group.seconds).sum();
        let least: f64 = groups.iter().map(|group| group.least).sum();
        println!(
            "{} dispatches: {} ms by the device's clock, one at a time; {} ms a step; at least {} ms by the ceilings \
             ({} GFLOP/s, {} GB/s)",
            self.infos.len(),
            number(total * 1e3),
            number(self.step_ms),
            number(least * 1e3),
            number(ceilings.flops / 1e9),
            number(ceilings.bytes / 1e9)
        );
        let mut table = Table::new(&[
            "dispatch",
            "runs",
            "µs each",
            "ms",
            "share",
            "least ms",
            "of roofline",
            "GFLOP/s",
            "GB/s",
        ]);
        for group in &groups {
            table.row(vec![
                group.label.clone(),
                group.runs.to_string(),
                number(group.seconds / group.runs as f64 * 1e6),
                number(group.seconds * 1e3),
                percent(group.seconds / total),
                number(group.least * 1e3),
                percent(group.least / group.seconds),
                number(group.flops as f64 / group.seconds / 1e9),
                number(group.bytes as f64 / group.seconds / 1e9),
            ]);
        }
        table.print();
    }
}

/// Dispatches whose labels differ only in the step of a sequence.
#[derive(Debug, PartialEq)]
struct Group {
    label: String,
    runs: usize,
    /// Measured, all together.
    seconds: f64,
    /// By the ceilings, all together.
    least: f64,
    flops: u64,
    bytes: u64,
}

/// Equal dispatches together, those that lose most time against the roofline first.
fn groups(infos: &[DispatchInfo], times: &[KernelTime], ceilings: Ceilings) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (info, time) in infos.iter().zip(times) {
        let label = without_step(&info.label);
        let at = groups.iter().position(|group| group.label == label).unwrap_or_else(|| {
            groups.push(Group { label, runs: 0, seconds: 0.0, least: 0.0, flops: 0, bytes: 0 });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.runs += 1;
        group.seconds += time.nanoseconds as f64 * 1e-9;
        group.least += info.least_seconds(ceilings.flops, ceilings.bytes);
        group.flops += info.flops;
        group.bytes += info.bytes;
    }
    groups.sort_by(|a, b| (b.seconds - b.least).total_cmp(&(a.seconds - a.least)));
    groups
}

/// A label without the word that tells a recurrent kernel's step, `t=3`.
fn without_step(label: &str) -> String {
    label.split(' ').filter(|word| !word.starts_with("t=")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatch(label: &str, flops: u64, nanoseconds: u64) -> (DispatchInfo, KernelTime) {
        let info = DispatchInfo {
            label: label.to_owned(),
            grid: [1; 3],
            flops,
            bytes: 8,
            writes: vec!["slot 1".to_owned()],
        };
        (info, KernelTime { label: label.to_owned(), kernel: "k".to_owned(), start: 0, nanoseconds })
    }

    #[test]
    fn equal_dispatches_stand_together_and_the_worst_first() {
        let all =
            [dispatch("good t=-1 n", 900, 1000), dispatch("bad", 10, 600), dispatch("good t=7 n", 900, 1000)];
        let (infos, times): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let groups = groups(&infos, &times, Ceilings { flops: 1e9, bytes: 1e9 });
        let told: Vec<_> = groups.iter().map(|group| (group.label.as_str(), group.runs)).collect();
        assert_eq!(told, [("bad", 1), ("good n", 2)]);
        assert!((groups[1].least - 1.8e-6).abs() < 1e-15 && (groups[1].seconds - 2e-6).abs() < 1e-15);
    }

    #[test]
    fn the_first_case_is_taken_and_unknown_ones_are_refused() {
        assert_eq!(find("W2", None).unwrap().1, "lstm1");
        assert_eq!(find("W6", Some("naive_fwd_T512")).unwrap().1, "naive_fwd_T512");
        assert!(find("growth", None).is_err_and(|error| error.to_string().contains("W1, W2")));
        assert!(find("W2", Some("gpt")).is_err_and(|error| error.to_string().contains("lstm2")));
    }

    #[test]
    fn a_program_is_measured_dispatch_by_dispatch() {
        let device = Device::open(DeviceOptions { no_cache: true, ..DeviceOptions::default() }).unwrap();
        if !device.facts().timestamps {
            println!("this adapter cannot measure time");
            return;
        }
        let (workload, case) = find("W1", Some("batched16")).unwrap();
        let mut subject = (workload.make)(&device, case).unwrap();
        let measured = Measured::of(&mut *subject).unwrap();
        assert_eq!(measured.infos.len(), measured.times.len());
        assert!(measured.step_ms > 0.0 && measured.times.iter().all(|time| time.nanoseconds > 0));
        let file = tempfile::tempdir().unwrap().path().join("trace.json");
        write_trace(&file, &measured.times).unwrap();
        let json: serde_json::Value = serde_json::from_str(&workspace::read(&file).unwrap()).unwrap();
        assert_eq!(json["traceEvents"].as_array().map(Vec::len), Some(measured.times.len()));
    }
}
