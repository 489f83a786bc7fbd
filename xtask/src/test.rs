//! `cargo xtask test`: prepares an adapter, then runs every check and test, and lists at the end what failed.
//!
//! A failing step does not stop the next: one run shows all there is to mend. Steps go from cheap to dear, tests last, so
//! that their own closing lines stand near the end of the output. All cargo steps share profile, packages and features,
//! or each would build the workspace anew.

use std::process::Command;
use std::time::Instant;

use crate::error::{Result, XtaskError};
use crate::{adapter, process, shaders, tidy};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Options {
    /// Do not use cargo-nextest, even where it is installed
    #[arg(long)]
    no_nextest: bool,
}

/// Packages and features of every cargo step.
const ALL: [&str; 2] = ["--workspace", "--all-features"];

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
    report.step("format", || component("fmt", "rustfmt", &["--all", "--check"], &[]));
    report.step("tidy", || tidy::run().map(|()| Outcome::Passed));
    report.step("shader contracts", || shaders::run(&shaders::Options::default()).map(|()| Outcome::Passed));
    let lints = [&ALL[..], &["--all-targets", "--", "--deny", "warnings"]].concat();
    report.step("clippy", || component("clippy", "clippy", &lints, &[]));
    let pages = [&ALL[..], &["--no-deps"]].concat();
    report.step("documentation", || cargo("doc", &pages, &[("RUSTDOCFLAGS", "--deny warnings")]));
    let nextest = !options.no_nextest && process::succeeds(process::cargo().args(["nextest", "--version"]));
    report.step("documentation tests", || tests(&["test"], &["--doc", "--no-fail-fast"]));
    report.step("tests", || {
        if nextest {
            tests(&["nextest", "run"], &["--no-fail-fast"])
        } else {
            tests(&["test"], &["--lib", "--bins", "--tests", "--examples", "--no-fail-fast"])
        }
    });
    report.close()
}

/// How a step that did not fail ended.
enum Outcome {
    Passed,
    Tests(Totals),
    NotInstalled(&'static str),
}

/// Tests counted in the closing lines of cargo test or nextest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: usize,
    failed: usize,
    ignored: usize,
}

fn announce(name: &str) {
    println!("\n=== {name}");
}

fn cargo(command: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Outcome> {
    process::run(process::cargo().arg(command).args(args).envs(env.iter().copied()))?;
    Ok(Outcome::Passed)
}

/// A cargo command that is a component of its own: without it the step is left out, and the end of the report says so.
fn component(command: &str, name: &'static str, args: &[&str], env: &[(&str, &str)]) -> Result<Outcome> {
    if process::succeeds(process::cargo().args([command, "--version"])) {
        return cargo(command, args, env);
    }
    Ok(Outcome::NotInstalled(name))
}

fn tests(command: &[&str], args: &[&str]) -> Result<Outcome> {
    let mut line: Command = process::cargo();
    let (text, ended) = process::tee(line.args(command).args(ALL).args(args))?;
    let totals = totals(&text);
    // Failed tests are named by the runner; the totals say how many, whatever its exit status meant.
    match ended {
        Ok(()) => Ok(Outcome::Tests(totals)),
        Err(XtaskError::Command { command, status }) => {
            let Totals { passed, failed, .. } = totals;
            Err(XtaskError::Command {
                command,
                status: format!("{status}; {passed} passed, {failed} failed"),
            })
        }
        Err(other) => Err(other),
    }
}

/// Adds up `test result: ok. 3 passed; 0 failed; 1 ignored; …` and `Summary [1.2s] 4 tests run: 3 passed, 1 skipped`.
fn totals(text: &str) -> Totals {
    let mut totals = Totals::default();
    for line in text.lines() {
        let line = plain(line);
        let line = line.trim_start();
        if !line.starts_with("test result:") && !line.starts_with("Summary [") {
            continue;
        }
        let words: Vec<&str> =
            line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<usize>() else { continue };
            match pair[1] {
                "passed" => totals.passed += count,
                "failed" => totals.failed += count,
                "ignored" | "skipped" => totals.ignored += count,
                _ => {}
            }
        }
    }
    totals
}

/// The line without terminal colours.
fn plain(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    text
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
            Ok(Outcome::Tests(t)) => {
                self.totals.passed += t.passed;
                self.totals.failed += t.failed;
                self.totals.ignored += t.ignored;
                format!("ok       {name}: {} passed ({seconds:.1} s)", t.passed)
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
            let Totals { passed, ignored, .. } = self.totals;
            println!("all {} steps passed; {passed} tests passed, {ignored} ignored", self.lines.len());
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
    fn totals_of_cargo_test_add_up() {
        let text = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(totals(text), Totals { passed: 4, failed: 2, ignored: 1 });
    }

    #[test]
    fn totals_of_nextest_are_read_through_colours() {
        let text = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.9s] 57 tests run: \u{1b}[1m54\u{1b}[0m passed (2 slow), 3 failed, 1 skipped\n";
        assert_eq!(totals(text), Totals { passed: 54, failed: 3, ignored: 1 });
    }

    #[test]
    fn a_failure_does_not_stop_the_next_step_and_is_named_at_the_end() {
        let mut report = Report::default();
        report.step("first", || Err(XtaskError::Untidy(2)));
        report.step("second", || Ok(Outcome::Tests(Totals { passed: 5, failed: 0, ignored: 0 })));
        report.step("third", || Ok(Outcome::NotInstalled("clippy")));
        assert_eq!(report.totals.passed, 5);
        assert!(report.lines[2].contains("rustup component add clippy"));
        let error = report.close().unwrap_err().to_string();
        assert_eq!(error, "1 of 3 checks failed: first");
    }
}
