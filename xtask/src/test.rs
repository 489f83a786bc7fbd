//! `cargo xtask test`: prepares an adapter, then runs every check and test, and lists failures at the end.
//!
//! A failing step does not stop the next, so one run shows everything to mend. Cheap steps come first and tests last,
//! so their closing lines are near the end of the output. All cargo steps share profile, packages and features;
//! otherwise each would build the workspace anew.
//!
//! A test that cannot run on this adapter writes that into a file (`skip` of seqloom-tests). Such tests are listed with
//! their reasons and counted separately, because the runners count them as passed.

mod count;

use std::process::Command;
use std::time::Instant;

use self::count::{Runner, Skipped, Totals};
use crate::error::{Result, XtaskError};
use crate::{adapter, process, shaders, tidy};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Options {
    /// Do not use cargo-nextest, even if it is installed
    #[arg(long)]
    no_nextest: bool,
}

/// Packages and features of every cargo step. The features are named, because `parquet` takes as long to compile as all that
/// the steps need besides; CI tests it in a step of its own.
const ALL: [&str; 3] = ["--workspace", "--features", FEATURES];
const FEATURES: &str = "seqloom/plots,seqloom/tokenizers,seqloom-shaders/check";

/// Runs all steps.
///
/// # Errors
/// [`XtaskError::NoAdapter`] before anything runs; [`XtaskError::Failed`] with the names of the failed steps.
pub fn run(options: &Options) -> Result<()> {
    announce("adapter");
    adapter::prepare()?;
    let used = seqloom_device::Device::open(seqloom_device::DeviceOptions::default())?;
    println!("{} ({}, {})", used.facts().name, used.facts().backend, used.facts().driver);
    drop(used);

    let mut report = Report::default();
    let mut skipped = Vec::new();
    report.step("format", || component("fmt", "rustfmt", &["--all", "--check"], &[]));
    report.step("tidy", || tidy::run().map(|()| Outcome::Passed));
    report.step("shader contracts", || shaders::run(&shaders::Options::default()).map(|()| Outcome::Passed));
    let lints = [&ALL[..], &["--all-targets", "--", "--deny", "warnings"]].concat();
    report.step("clippy", || component("clippy", "clippy", &lints, &[]));
    let pages = [&ALL[..], &["--no-deps"]].concat();
    report.step("documentation", || cargo("doc", &pages, &[("RUSTDOCFLAGS", "--deny warnings")]));
    let nextest = !options.no_nextest && process::succeeds(process::cargo().args(["nextest", "--version"]));
    report.step("documentation tests", || tests(Runner::Cargo, &["--doc", "--no-fail-fast"], &mut skipped));
    report.step("tests", || {
        if nextest {
            tests(Runner::Nextest, &["--no-fail-fast"], &mut skipped)
        } else {
            tests(
                Runner::Cargo,
                &["--lib", "--bins", "--tests", "--examples", "--no-fail-fast"],
                &mut skipped,
            )
        }
    });
    if !skipped.is_empty() {
        announce("not run on this adapter");
        skipped.iter().for_each(|line| println!("{line}"));
    }
    report.close()
}

/// The end of a step that did not fail.
enum Outcome {
    Passed,
    Tests(Totals),
    NotInstalled(&'static str),
}

fn announce(name: &str) {
    println!("\n=== {name}");
}

fn cargo(command: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Outcome> {
    process::run(process::cargo().arg(command).args(args).envs(env.iter().copied()))?;
    Ok(Outcome::Passed)
}

/// A cargo command that is a separate component. Without it the step is left out, and the end of the report says so.
fn component(command: &str, name: &'static str, args: &[&str], env: &[(&str, &str)]) -> Result<Outcome> {
    if process::succeeds(process::cargo().args([command, "--version"])) {
        return cargo(command, args, env);
    }
    Ok(Outcome::NotInstalled(name))
}

/// Runs tests. Those that report that they cannot run on this adapter are counted separately and added to `lines` with
/// their reasons.
fn tests(runner: Runner, args: &[&str], lines: &mut Vec<String>) -> Result<Outcome> {
    let folder =
        tempfile::tempdir().map_err(|source| XtaskError::File { path: std::env::temp_dir(), source })?;
    let file = folder.path().join("skipped");
    let mut line: Command = process::cargo();
    line.args(runner.command()).args(ALL).args(args).env("SEQLOOM_SKIPPED", &file);
    let (text, ended) = process::tee(&mut line)?;
    // No test said so, no file.
    let skipped = Skipped::read(&std::fs::read_to_string(&file).unwrap_or_default());
    let totals = runner.totals(&text).without(skipped.tests);
    lines.extend(skipped.lines);
    // The runner names failed tests; the totals say how many, whatever its exit status.
    match ended {
        Ok(()) => Ok(Outcome::Tests(totals)),
        Err(XtaskError::Command { command, status }) => {
            Err(XtaskError::Command { command, status: format!("{status}; {totals}") })
        }
        Err(other) => Err(other),
    }
}

/// What ran and how it ended.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    failed: Vec<&'static str>,
    totals: Totals,
}

impl Report {
    fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<Outcome>) {
        announce(name);
        let begin = Instant::now();
        let outcome = run();
        let seconds = begin.elapsed().as_secs_f64();
        let line = match outcome {
            Ok(Outcome::Passed) => format!("ok       {name} ({seconds:.1} s)"),
            Ok(Outcome::Tests(totals)) => {
                self.totals.add(totals);
                format!("ok       {name}: {totals} ({seconds:.1} s)")
            }
            Ok(Outcome::NotInstalled(what)) => {
                format!("left out {name}: {what} is not installed (rustup component add {what})")
            }
            Err(error) => {
                self.failed.push(name);
                format!("FAILED   {name}: {error}")
            }
        };
        println!("{line}");
        self.lines.push(line);
    }

    fn close(self) -> Result<()> {
        announce("summary");
        self.lines.iter().for_each(|line| println!("{line}"));
        if self.failed.is_empty() {
            println!("all {} steps passed; tests: {}", self.lines.len(), self.totals);
            return Ok(());
        }
        let (count, of) = (self.failed.len(), self.lines.len());
        Err(XtaskError::Failed { count, of, names: self.failed.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_does_not_stop_the_next_step_and_is_named_at_the_end() {
        let mut report = Report::default();
        report.step("first", || Err(XtaskError::Untidy(2)));
        report.step("second", || Ok(Outcome::Tests(Totals { passed: 5, ..Totals::default() })));
        report.step("third", || Ok(Outcome::NotInstalled("clippy")));
        assert_eq!(report.totals.passed, 5);
        assert!(report.lines[2].contains("rustup component add clippy"));
        let error = report.close().unwrap_err().to_string();
        assert_eq!(error, "1 of 3 checks failed: first");
    }
}
