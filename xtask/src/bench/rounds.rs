//! The run itself: every case in several processes, in turn with all others and with the peers.
//!
//! There is one process per case and round, so first steps are cold and peak memory is the case's own. Rounds spread
//! the machine's other work over all cases equally. A case's first round finds empty caches on disk (Seqloom's, and the
//! driver's if its folder can be set); later rounds find what it left.

use std::path::Path;
use std::process::Command;

use indicatif::{ProgressBar, ProgressStyle};

use super::cases::{Asked, is_shared};
use super::ceilings::Control;
use super::measure::Sample;
use super::peers::{self, Peer};
use super::row::Row;
use crate::error::{Result, at};
use crate::process;

/// What to run.
pub struct Plan<'a> {
    pub cases: &'a [Asked],
    pub peers: &'a [Peer],
    pub rounds: u32,
    pub steps: Option<u32>,
}

/// Its results.
pub struct Outcome {
    pub rows: Vec<Row>,
    /// Our cases that failed; each failure was printed at once.
    pub failed: Vec<String>,
}

/// Everything known about one case.
#[derive(Default)]
struct Collected {
    ours: Vec<Sample>,
    control: Vec<f64>,
    peers: Vec<Vec<Row>>,
    failed: bool,
}

/// Runs the plan.
///
/// # Errors
/// The control's device; a folder that cannot be made. A failing case is reported and left out of later
/// rounds.
pub fn run(plan: &Plan<'_>, control: &mut Control) -> Result<Outcome> {
    let temporary = std::env::temp_dir();
    let folders =
        plan.cases.iter().map(|_| tempfile::tempdir().map_err(at(&temporary))).collect::<Result<Vec<_>>>()?;
    let shared = tempfile::tempdir().map_err(at(&temporary))?;
    let mut collected: Vec<Collected> = plan
        .cases
        .iter()
        .map(|_| Collected { peers: vec![Vec::new(); plan.peers.len()], ..Collected::default() })
        .collect();
    let bar = progress(plan);
    for round in 1..=plan.rounds {
        for ((asked, folder), all) in plan.cases.iter().zip(&folders).zip(&mut collected) {
            let step = |who: &str| {
                bar.set_message(format!("round {round}: {} {} {who}", asked.workload, asked.case))
            };
            if !all.failed {
                step("");
                all.control.push(control.run()?);
                match ours(*asked, folder.path(), plan) {
                    Ok(sample) => all.ours.push(sample),
                    Err(error) => {
                        bar.suspend(|| eprintln!("{} {}: {error}", asked.workload, asked.case));
                        all.failed = true;
                    }
                }
            }
            bar.inc(1);
            for (peer, rows) in plan.peers.iter().zip(&mut all.peers) {
                // A peer that cannot run a case cannot in the next round either.
                if is_shared(asked.workload) && rows.iter().all(|row| row.error.is_none()) {
                    step(peer.name);
                    rows.push(peers::measure(peer, *asked, shared.path()));
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    let ceilings = control.ceilings();
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (asked, all) in plan.cases.iter().zip(&collected) {
        if all.failed {
            failed.push(format!("{} {}", asked.workload, asked.case));
        }
        rows.extend(Row::ours(asked.workload, asked.case, &all.ours, &all.control, ceilings));
        rows.extend(all.peers.iter().filter_map(|lines| Row::of_peer(lines)));
    }
    Ok(Outcome { rows, failed })
}

/// A bar on standard error, if that is a terminal.
fn progress(plan: &Plan<'_>) -> ProgressBar {
    let turns = plan.rounds as usize * plan.cases.len() * (1 + plan.peers.len());
    let bar = ProgressBar::new(turns as u64);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// One process of a case of ours, its caches under `folder`.
fn ours(asked: Asked, folder: &Path, plan: &Plan<'_>) -> Result<Sample> {
    let mut command = child(asked)?;
    command.arg("--cache-dir").arg(folder.join("seqloom")).args(["--rounds", &plan.rounds.to_string()]);
    if let Some(steps) = plan.steps {
        command.args(["--steps", &steps.to_string()]);
    }
    give_caches(&mut command, folder)?;
    Ok(serde_json::from_str(process::output(&mut command)?.trim())?)
}

/// Environment variables for the drivers' shader caches: Mesa's, NVIDIA's.
const DRIVER_CACHES: [(&str, &str); 2] =
    [("MESA_SHADER_CACHE_DIR", "mesa"), ("__GL_SHADER_DISK_CACHE_PATH", "nvidia")];

/// Makes drivers keep compiled shaders under `folder`.
///
/// # Errors
/// A folder that cannot be made.
pub fn give_caches(command: &mut Command, folder: &Path) -> Result<()> {
    for (variable, name) in DRIVER_CACHES {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        command.env(variable, folder);
    }
    Ok(())
}

/// This program again, for one case.
pub fn child(asked: Asked) -> Result<Command> {
    let program = std::env::current_exe().map_err(at(Path::new("the running program")))?;
    let mut command = Command::new(program);
    command.args(["bench-case", "--workload", asked.workload, "--case", asked.case]);
    Ok(command)
}
