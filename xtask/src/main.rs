//! `cargo xtask`: the entry point for contributors and CI.
//!
//! One file per command. Each prepares what it needs, so any of them can be the first on a fresh machine: there is no
//! set-up script and no order to remember. Why a Rust program and not a Makefile: it runs wherever the framework runs,
//! and it can ask the framework itself (which adapters there are, which kernels are shipped).

mod adapter;
mod bench;
mod corpus;
mod demo;
mod doctor;
mod error;
mod explain;
mod features;
mod process;
mod shaders;
mod test;
mod tidy;
mod tune;
mod workspace;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

/// Seqloom's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Train a small LSTM language model on text and print a sample (about a minute and a half)
    Demo(demo::Options),
    /// Run every check and test
    Test(test::Options),
    /// Measure the workloads, beside the peers, an earlier run and what the device can do
    Bench(bench::Options),
    /// Show the program behind a workload dispatch by dispatch, and with --time where its time goes
    Explain(explain::Options),
    /// Measure the variants of every kernel family on this adapter, and keep which is the fastest
    Tune(tune::Options),
    /// Check every shipped shader variant, and with --dump write what other backends get
    Shaders(shaders::Options),
    /// Check the house rules that a compiler cannot
    Tidy,
    /// Compile the library without its features, and with each alone
    Features,
    /// List adapters, what they lack, and which one would be used
    Doctor,
    /// One measured case in its own process (used by `bench`)
    #[command(hide = true)]
    BenchCase(bench::CaseOptions),
    /// Only the demo's first step (used by `bench --startup`)
    #[command(hide = true)]
    FirstStep(bench::startup::FirstStepOptions),
}

fn main() -> ExitCode {
    // The earliest point that works everywhere; reported times count from here.
    let started = Instant::now();
    let done = match Cli::parse().command {
        Task::Demo(options) => demo::run(&options, started),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Explain(options) => explain::run(&options),
        Task::Tune(options) => tune::run(&options),
        Task::Shaders(options) => shaders::run(&options),
        Task::Tidy => tidy::run(),
        Task::Features => features::run(),
        Task::Doctor => doctor::run(),
        Task::BenchCase(options) => bench::case(&options),
        Task::FirstStep(options) => bench::startup::first_step(&options, started),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, except causes that the preceding text already ends with.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            text.push_str(&format!("\n  because: {words}"));
        }
        cause = inner.source();
    }
    text
}
