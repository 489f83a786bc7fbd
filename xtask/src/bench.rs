//! `cargo xtask bench`: training steps, measured in the way and the words in which other frameworks are measured.
//!
//! Each case runs in a process of its own, so that its first step is cold and its peak memory its own. The device's work is
//! part of every timed step: it ends when the loss has come back. A build with debug assertions measures nothing worth
//! knowing, so the command starts itself again in release.

mod language;
mod measure;
mod study;

use std::path::Path;
use std::process::Command;

use crate::error::{Result, XtaskError, at};
use crate::{adapter, process, startup};

use measure::Row;
use study::Study;

/// Workloads and their cases: a cell of [`language::CELLS`] and, in W2 and W3, the number of layers.
const WORKLOADS: &[(&str, &[&str])] = &[
    ("W2", &["lstm1", "lstm2"]),
    ("W3", &["gru1", "gru2"]),
    ("ragged", &["rnn", "lstm", "gru"]),
    ("growth", &["rnn", "lstm", "gru"]),
];
/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Workload: W2 (LSTM language model, one training step), W3 (GRU), ragged (a batch whose rows are half as long on
    /// average, against full rows), growth (time of a step against the sequences' length)
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

/// What the process of a case prints.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Measured {
    Step(Row),
    Study(Study),
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
    if !options.json && options.workload.starts_with('W') {
        Row::print_head();
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
        match serde_json::from_str(line)? {
            Measured::Step(row) => row.print(),
            Measured::Study(study) => study.print(),
        }
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
    let (cell, layers) = match case.find(|c: char| c.is_ascii_digit()) {
        Some(at) => (&case[..at], case[at..].parse().unwrap_or(1)),
        None => (case, 1),
    };
    let measured = match options.workload.as_str() {
        "ragged" => Measured::Study(study::ragged(cell, options.steps)?),
        "growth" => Measured::Study(study::growth(cell, options.steps)?),
        workload => Measured::Step(measure::step(workload, case, cell, layers, options.steps)?),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_cases_are_refused_with_those_that_exist() {
        assert_eq!(cases("W2", None).unwrap(), ["lstm1", "lstm2"]);
        assert_eq!(cases("W2", Some("lstm2")).unwrap(), ["lstm2"]);
        assert!(cases("W9", None).unwrap_err().to_string().ends_with("there are: W2, W3, ragged, growth"));
        assert!(cases("W2", Some("gpt")).unwrap_err().to_string().contains("lstm1, lstm2"));
    }

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
