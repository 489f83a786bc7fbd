//! `cargo xtask tune`: measures the variants of every kernel family on this adapter and keeps the fastest for later
//! programs.
//!
//! The problems are those of models of the benchmarks' sizes. A program with other problems tunes them when it is
//! compiled on a device opened with `Tuning::Full`. The last lines tell how far the rules, which choose if nothing was
//! tuned, are from the fastest: more than a quarter is a reason to mend the rules.

use seqloom::prelude::*;
use seqloom_device::{AdapterKind, Tuning};
use seqloom_kernels::attention::{self, Pass};
use seqloom_kernels::matmul;
use seqloom_kernels::recurrent::{self, Activation, Cell};
use seqloom_kernels::reduce::{self, ReduceOp};
use seqloom_kernels::tune::{Limits, Outcome, Report, Task, Trial, tune};

use crate::bench::table::{Table, number};
use crate::error::{Result, XtaskError};
use crate::{adapter, bench};

/// How much slower than the fastest the rules' choice may be.
const ALLOWED: f64 = 1.25;

/// Options of `cargo xtask tune`.
#[derive(clap::Args)]
pub struct Options {
    /// Only one family
    #[arg(long)]
    family: Option<String>,
    /// Run what a GPU would run, whatever the adapter is
    #[arg(long)]
    as_gpu: bool,
    /// Run also what the models of cost rule out
    #[arg(long)]
    all: bool,
    /// Number of rounds; the minimum time counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print the findings, and keep nothing
    #[arg(long)]
    dry_run: bool,
}

/// Tunes and prints.
///
/// # Errors
/// [`XtaskError::Unknown`] for a family that has nothing to tune; a device that is lost or hangs, after what was found before
/// has been kept; a cache that cannot be written.
pub fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return bench::in_release();
    }
    let tasks = tasks(options.family.as_deref())?;
    adapter::prepare()?;
    let device = Device::open(DeviceOptions {
        tuning: Tuning::Full,
        no_cache: options.dry_run,
        kind: options.as_gpu.then_some(AdapterKind::Discrete),
        ..DeviceOptions::default()
    })?;
    println!("{}", device.facts());
    let mut limits = Limits { rounds: options.rounds, ..Limits::default() };
    if options.all {
        limits.cost = f64::INFINITY;
    }
    let mut gains = Vec::new();
    for task in tasks.into_iter().filter(|task| task.candidates(device.facts()).len() > 1) {
        // One at a time, so that each is printed when it is found.
        for report in tune(&device, &[task], &limits)? {
            print(&report);
            gains.extend(report.gain().map(|gain| (gain, report.bucket)));
        }
    }
    device.save_notes()?;
    let far: Vec<_> = gains.iter().filter(|(gain, _)| *gain > ALLOWED).collect();
    println!(
        "\nThe rules' choice is within {:.0} % of the fastest in {} of {} problems.",
        100.0 * (ALLOWED - 1.0),
        gains.len() - far.len(),
        gains.len()
    );
    for (gain, bucket) in far {
        println!("  {gain:.2} times the fastest's time: {bucket}");
    }
    Ok(())
}

/// The problems of a family, or of all.
fn tasks(family: Option<&str>) -> Result<Vec<Task>> {
    let all: Vec<_> = [products(), reductions(), recurrences(), attentions()].concat();
    let Some(asked) = family else { return Ok(all) };
    let mut known: Vec<_> = all.iter().map(Task::family).collect();
    known.dedup();
    if !known.contains(&asked) {
        let known = known.join(", ");
        return Err(XtaskError::Unknown { what: "family to tune", asked: asked.to_owned(), known });
    }
    Ok(all.into_iter().filter(|task| task.family() == asked).collect())
}

/// Products of one word, of a batch and of a whole sequence, with either operand transposed, one at a time and by head.
fn products() -> Vec<Task> {
    let of = |[batch, m, k, n]: [usize; 4], trans_a, trans_b| {
        let (a_batched, b_batched) = (true, true);
        Task::Matmul(matmul::Problem { batch, m, n, k, trans_a, trans_b, a_batched, b_batched })
    };
    let plain = [
        [1, 1, 256, 1024],
        [1, 8, 512, 512],
        [1, 16, 512, 2048],
        [1, 32, 256, 1024],
        [1, 48, 256, 1024],
        [1, 256, 256, 256],
        [1, 1024, 1024, 1024],
        [1, 2048, 128, 768],
        [1, 2048, 512, 128],
        [64, 64, 64, 64],
        [1, 4096, 32, 32],
    ];
    let [by_rows, by_columns] = [[1, 2048, 128, 96], [1, 256, 2048, 1024]];
    let more = [of(by_rows, false, true), of([1, 32, 1024, 256], false, true), of(by_columns, true, false)];
    plain.map(|sizes| of(sizes, false, false)).into_iter().chain(more).collect()
}

/// Sums of rows, of columns, of everything, and of middle axes.
fn reductions() -> Vec<Task> {
    let of = |(outer, len, inner)| Task::Reduce(reduce::Problem { outer, len, inner, op: ReduceOp::Sum });
    [(2048, 1024, 1), (16, 65536, 1), (1, 1 << 20, 1), (1, 2048, 1024), (1, 65536, 64), (32, 256, 256)]
        .map(of)
        .to_vec()
}

/// Layers of each cell, narrow and wide, few sequences and many.
fn recurrences() -> Vec<Task> {
    let of = |(cell, batch, hidden)| {
        let (time, packed, reverse) = (32, false, false);
        let rows = batch * time;
        let problem = recurrent::Problem { cell, rows, batch, time, hidden, packed, reverse };
        [Task::RecurrentForward(problem), Task::RecurrentBackward(problem)]
    };
    let tanh = Cell::Rnn(Activation::Tanh);
    let layers = [(tanh, 32, 64), (Cell::Gru, 32, 64), (Cell::Lstm, 8, 32), (Cell::Lstm, 32, 256)];
    layers.map(of).concat()
}

/// Causal heads, over a sequence and over a few keys.
fn attentions() -> Vec<Task> {
    let of = |(batch, heads, keys)| {
        let plain = attention::Problem::plain([batch, heads, heads, keys, keys, 64, 64]);
        let problem = attention::Problem { after: Some(0), ..plain };
        [Pass::Forward, Pass::Query { learned: false }, Pass::Key].map(|pass| Task::Attention(pass, problem))
    };
    [(32, 4, 24), (8, 4, 256)].map(of).concat()
}

fn print(report: &Report) {
    println!("\n{}", report.bucket);
    let name = |trial: Option<&Trial>| trial.map(|trial| trial.candidate.clone());
    let [heuristic, chosen] = [name(report.heuristic()), name(report.chosen())];
    let base = report.heuristic().and_then(Trial::time);
    let mut table = Table::new(&["candidate", "model", "µs", "×", ""]);
    for trial in &report.trials {
        let mut remarks = Vec::new();
        let this = Some(&trial.candidate);
        if heuristic.as_ref() == this {
            remarks.push("by the rules".to_owned());
        }
        if chosen.as_ref() == this {
            remarks.push("chosen".to_owned());
        }
        if let Outcome::Skipped(why) = &trial.outcome {
            remarks.push(why.to_string());
        }
        table.row(vec![
            trial.candidate.clone(),
            number(trial.cost),
            number(trial.time().map(|nanoseconds| nanoseconds / 1e3)),
            number(trial.time().zip(base).map(|(time, base)| time / base)),
            remarks.join(", "),
        ]);
    }
    table.print();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_of_different_buckets_and_families_are_picked_by_name() {
        let all = tasks(None).unwrap();
        let mut buckets: Vec<_> = all.iter().map(Task::bucket).collect();
        buckets.sort();
        buckets.dedup();
        assert_eq!(buckets.len(), all.len(), "{buckets:#?}");
        assert_eq!(tasks(Some("matmul")).unwrap().len(), products().len());
        let error = tasks(Some("magic")).unwrap_err().to_string();
        assert!(error.contains("magic") && error.contains("matmul"), "{error}");
    }
}
