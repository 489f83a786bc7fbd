//! `cargo xtask bench`: measures the workloads, in the same way and terms as the peers.
//!
//! First come the device's own ceilings, then every case in several processes, in turn with all others, with the peers
//! and with a control, then tables, or one JSON line per case. Every timed step includes the device's work: it ends
//! when the result is there. A build with debug assertions measures nothing useful, so the command starts itself again
//! in release.

mod against;
mod attention;
pub mod cases;
pub mod ceilings;
mod chart;
mod generate;
mod kernels;
mod language;
mod large;
mod matmul;
mod measure;
mod peers;
mod report;
mod rounds;
mod row;
pub mod startup;
pub mod stats;
mod study;
pub mod subject;
pub mod table;
mod transformer;

use std::path::{Path, PathBuf};

use seqloom::prelude::*;

use crate::error::{Result, XtaskError};
use crate::{adapter, process, workspace};

use cases::Asked;
use measure::{Patience, Sample};
use row::Row;
use study::Study;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Workloads, with commas: W1 (matrix product), W2 (LSTM language model), W3 (GRU), W4 (decoder-only Transformer),
    /// W5 (encoder–decoder), W6 (attention), W7 (generation), all of these (all); kernels (single families), ragged (a
    /// batch whose rows are half as long on average, against full rows), growth (time against T, batch and layers,
    /// attention's memory against T)
    #[arg(long, default_value = "all", value_delimiter = ',', value_name = "NAMES")]
    workload: Vec<String>,
    /// Only these cases of the workloads, with commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    case: Vec<String>,
    /// One JSON line per case instead of tables, in the form that bench/peers/README.md defines
    #[arg(long)]
    json: bool,
    /// Processes per case, in turn with the other cases. The first finds empty caches on disk
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Time exactly this many steps in each process
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Measure the peers that are present in turn with ours, or only these: torch, torch-fused, torch-compile, candle,
    /// burn-flex, burn-wgpu, burn-vulkan, meganeura
    #[arg(long, value_delimiter = ',', num_args = 0.., value_name = "NAMES")]
    peers: Option<Vec<String>>,
    /// Compare with the lines of an earlier --json run
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Measure nothing: take the lines of an earlier --json run for --against, --plot and the tables
    #[arg(long, value_name = "FILE", conflicts_with_all = ["peers", "startup"])]
    read: Option<PathBuf>,
    /// Draw charts as SVG into this folder
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "docs/charts")]
    plot: Option<PathBuf>,
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
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Folder of the pipeline cache
    #[arg(long)]
    cache_dir: Option<PathBuf>,
}

/// A line of a run.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Figures {
    // Studies first, because a row accepts any line.
    Study(Study),
    Row(Box<Row>),
}

/// Everything that a run measured.
#[derive(Default)]
struct Run {
    rows: Vec<Row>,
    studies: Vec<Study>,
}

impl Run {
    /// The lines of a `--json` run.
    fn read(path: &Path) -> Result<Self> {
        let mut run = Self::default();
        for line in workspace::read(path)?.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str(line)? {
                Figures::Study(study) => run.studies.push(study),
                Figures::Row(row) => run.rows.push(*row),
            }
        }
        Ok(run)
    }
}

/// Measures the asked cases.
///
/// # Errors
/// [`XtaskError::Unknown`] for a workload, case or peer that does not exist; [`XtaskError::Failed`] with the cases whose
/// processes failed, after everything else was measured and shown.
pub fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return in_release();
    }
    if options.startup {
        adapter::prepare()?;
        return startup::run(options.json);
    }
    let then = options.against.as_deref().map(Run::read).transpose()?;
    let (mut run, failed) = match &options.read {
        Some(file) => {
            let run = Run::read(file)?;
            if !options.json {
                report::head_of(&run.rows);
            }
            (run, Vec::new())
        }
        None => measure(options)?,
    };
    if let Some(then) = &then {
        against::mark(&mut run.rows, &then.rows);
    }
    if options.json {
        for row in &run.rows {
            println!("{}", serde_json::to_string(row)?);
        }
        for study in &run.studies {
            println!("{}", serde_json::to_string(study)?);
        }
    } else {
        report::ours(&run.rows);
        report::peers(&run.rows);
        if !run.studies.is_empty() {
            println!();
            study::print(&run.studies);
        }
        if let Some(then) = &then {
            against::print(&run.rows, &then.rows);
        }
    }
    if let Some(folder) = &options.plot {
        for path in chart::draw(&workspace::root()?.join(folder), &run.rows, &run.studies)? {
            eprintln!("drawn: {}", path.display());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let of = run.rows.iter().filter(|row| row.peer == row::OURS).count() + run.studies.len();
    Err(XtaskError::Failed { count: failed.len(), of: of.max(failed.len()), names: failed.join(", ") })
}

/// Runs everything that was asked for; also returns what failed.
fn measure(options: &Options) -> Result<(Run, Vec<String>)> {
    let asked = cases::asked(&options.workload, &options.case)?;
    let peers = match &options.peers {
        Some(names) => peers::present(&workspace::root()?, names)?,
        None => Vec::new(),
    };
    adapter::prepare()?;
    let device = Device::open(DeviceOptions::default())?;
    let mut control = ceilings::Control::measure(&device)?;
    let (steps, studies): (Vec<Asked>, Vec<Asked>) =
        asked.iter().partition(|asked| cases::workload(asked.workload).is_some());
    let plan = rounds::Plan { cases: &steps, peers: &peers, rounds: options.rounds, steps: options.steps };
    let rounds::Outcome { rows, mut failed } = rounds::run(&plan, &mut control)?;
    let mut run = Run { rows, studies: Vec::new() };
    for asked in studies {
        match study_process(asked, options.steps) {
            Ok(study) => run.studies.push(study),
            Err(error) => {
                eprintln!("{} {}: {error}", asked.workload, asked.case);
                failed.push(format!("{} {}", asked.workload, asked.case));
            }
        }
    }
    if !options.json {
        let facts = device.facts();
        report::head(&format!("{} ({}; {})", facts.name, facts.backend, facts.driver), control.ceilings());
    }
    // To standard error, so lines of JSON stay lines of JSON.
    if let Some(verdict) = control.verdict() {
        eprintln!("{verdict}");
    }
    Ok((run, failed))
}

/// A study in its own process.
fn study_process(asked: Asked, turns: Option<u32>) -> Result<Study> {
    let mut command = rounds::child(asked)?;
    if let Some(turns) = turns {
        command.args(["--steps", &turns.to_string()]);
    }
    Ok(serde_json::from_str(process::output(&mut command)?.trim())?)
}

/// Runs the same command line again, built in release.
pub fn in_release() -> Result<()> {
    let mut command = process::cargo();
    command
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(std::env::args_os().skip(1));
    process::run(&mut command)
}

/// The process of one case: measures and prints its JSON line.
///
/// # Errors
/// The device's or the trainer's.
pub fn case(options: &CaseOptions) -> Result<()> {
    let text = match measured(options)? {
        Measured::Sample(sample) => serde_json::to_string(&sample)?,
        Measured::Study(study) => serde_json::to_string(&study)?,
    };
    println!("{text}");
    Ok(())
}

/// What the process of a case measures.
enum Measured {
    Sample(Sample),
    Study(Study),
}

fn measured(options: &CaseOptions) -> Result<Measured> {
    cases::asked(std::slice::from_ref(&options.workload), std::slice::from_ref(&options.case))?;
    let cache_dir = options.cache_dir.clone();
    let device = Device::open(DeviceOptions { cache_dir, ..cases::options(&options.case) })?;
    let CaseOptions { workload, case, steps, rounds, .. } = options;
    let Some(known) = cases::workload(workload) else {
        return Ok(Measured::Study(study::study(&device, workload, case, *steps)?));
    };
    let mut subject = (known.make)(&device, case)?;
    let patience = Patience { steps: *steps, rounds: *rounds };
    Ok(Measured::Sample(measure::measure(&device, &mut *subject, patience)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest case of a workload, once through the real code.
    fn tiny(workload: &str, case: &str) -> Measured {
        let options = CaseOptions {
            workload: workload.to_owned(),
            case: case.to_owned(),
            steps: Some(1),
            rounds: 1,
            cache_dir: None,
        };
        measured(&options).unwrap()
    }

    #[test]
    fn a_product_is_measured_with_its_work_and_memory() {
        let Measured::Sample(sample) = tiny("W1", "batched16_pipe") else { panic!("a sample") };
        assert_eq!(sample.millis.len(), 1);
        let flops: u64 = sample.work.iter().map(|(flops, _)| flops).sum();
        assert_eq!(flops, 2 * 16 * 256 * 64 * 256);
        assert_eq!(sample.planned_bytes, sample.device_bytes);
        assert!(sample.host_us_per_dispatch.unwrap() > 0.0 && sample.loss_first.is_none());
    }

    #[test]
    fn a_training_step_is_measured_with_its_losses() {
        let Measured::Sample(sample) = tiny("W3", "gru1") else { panic!("a sample") };
        assert_eq!((sample.params, sample.tokens), (Some(333_408), Some(2048)));
        assert!(sample.loss_last < sample.loss_first && sample.planned_bytes == sample.device_bytes);
        assert_eq!(sample.dispatches, sample.work.len());
    }

    #[test]
    fn lines_of_a_run_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.jsonl");
        let row = row::tests::row("torch", "lstm1", [1.0, 2.0, 3.0]);
        let study = r#"{"workload":"growth","case":"lstm_T","sizes_are":"T","sizes":[1,2],"unit":"ms","values":[1,2],
            "result_is":"exponent","result":1.0,"limit":1.05,"adapter":"a"}"#;
        let text = format!("{}\n\n{}\n", serde_json::to_string(&row).unwrap(), study.replace('\n', ""));
        workspace::write(&file, text).unwrap();
        let run = Run::read(&file).unwrap();
        assert_eq!((run.rows.len(), run.studies.len()), (1, 1));
        assert_eq!((run.rows[0].q3_ms, run.studies[0].limit), (Some(3.0), 1.05));
    }
}
