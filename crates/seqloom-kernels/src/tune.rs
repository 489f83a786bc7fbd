//! The tuner: finds the fastest variant of a kernel for a problem on this device by running the variants.
//!
//! Each family lists the variants of a problem with an estimated cost. `lower` alone goes by a rule over sizes and
//! facts, the heuristic. Tuning runs the other variants beside it and notes the fastest for the problem's *bucket*:
//! family, what else decides about memory access (layout, kind), and sizes rounded up to powers of two, so one
//! measurement serves all similar problems. A program is lowered by [`Tuned`]: by the note, if there is one and it
//! names a variant that the problem can take, otherwise by the heuristic. So an old or meaningless note costs at most
//! speed.
//!
//! Nothing here happens unasked: [`tune`] is called if the device was opened with
//! [`Tuning::Full`](seqloom_device::Tuning::Full), and by `cargo xtask tune`. `trial` checks and times candidates,
//! `operands` makes up operands, and `half` uses both to check a driver's cooperative matrices.

mod error;
mod half;
mod operands;
mod report;
mod task;
mod trial;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use seqloom_device::{Device, Facts};

pub use error::TuneError;
pub use half::trusts_half;
pub use operands::Operands;
pub use report::{Outcome, Report, Skip, Trial};
pub use task::{Candidate, Task};
pub use trial::{Limits, compare};

use crate::{attention, matmul, recurrent, reduce};

/// Tuning's findings for lowering a program, and the problems of that program without a finding.
#[derive(Debug, Default)]
pub struct Tuned {
    notes: BTreeMap<String, String>,
    unknown: RefCell<BTreeMap<String, Task>>,
}

impl Tuned {
    /// From the device's notes.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self { notes: device.notes(), unknown: RefCell::default() }
    }

    /// The tile of a product.
    #[must_use]
    pub fn tile(&self, problem: &matmul::Problem, facts: &Facts) -> matmul::Tile {
        let task = Task::Matmul(*problem);
        self.pick(task, matmul::Tile::suited(problem, facts), matmul::Tile::all(facts))
    }

    /// The cut of a reduction.
    #[must_use]
    pub fn cut(&self, problem: &reduce::Problem, facts: &Facts) -> reduce::Cut {
        let suited = reduce::Cut::suited(problem, facts);
        self.pick(Task::Reduce(*problem), suited, reduce::Cut::all(problem, facts))
    }

    /// The form of a recurrence.
    #[must_use]
    pub fn form(&self, problem: &recurrent::Problem, facts: &Facts) -> recurrent::Form {
        let suited = recurrent::Form::suited(problem, facts);
        self.pick(Task::RecurrentForward(*problem), suited, recurrent::Form::all(problem, facts))
    }

    /// The form of a recurrence's gradients.
    #[must_use]
    pub fn form_backward(&self, problem: &recurrent::Problem, facts: &Facts) -> recurrent::Form {
        let suited = recurrent::Form::suited(problem, facts);
        self.pick(Task::RecurrentBackward(*problem), suited, recurrent::Form::all(problem, facts))
    }

    /// The variant of an attention or of one of its gradients.
    #[must_use]
    pub fn attention(
        &self,
        pass: attention::Pass,
        problem: &attention::Problem,
        facts: &Facts,
    ) -> attention::Variant {
        let suited = attention::Variant::suited(pass, problem, facts);
        let all = attention::Variant::all(pass, problem, facts);
        self.pick(Task::Attention(pass, *problem), suited, all)
    }

    /// The problems that were asked about, have a choice, and were never tuned: one for each bucket.
    #[must_use]
    pub fn unknown(&self) -> Vec<Task> {
        self.unknown.borrow().values().copied().collect()
    }

    /// The one of `all` that the note about the task names, otherwise `suited`.
    fn pick<T: Display + PartialEq>(&self, task: Task, suited: T, all: Vec<T>) -> T {
        if all.iter().all(|choice| *choice == suited) || task.is_empty() {
            return suited;
        }
        let bucket = task.bucket();
        let Some(noted) = self.notes.get(&bucket) else {
            self.unknown.borrow_mut().entry(bucket).or_insert(task);
            return suited;
        };
        all.into_iter().find(|choice| choice.to_string() == *noted).unwrap_or(suited)
    }
}

/// Measures the tasks' candidates and notes the fastest of each; in memory and, if the device keeps notes, on disk.
///
/// A candidate that is refused, fails, or differs from the heuristic's result is not chosen, and the report says so.
/// One that loses or hangs the device ends the tuning and is noted too, so the next tuning does not run it. Notes that
/// cannot be written stay for [`Device::save_notes`], which says why.
///
/// # Errors
/// [`TuneError`]; earlier findings stay noted.
pub fn tune(device: &Device, tasks: &[Task], limits: &Limits) -> Result<Vec<Report>, TuneError> {
    let save = || {
        if let Err(error) = device.save_notes() {
            tracing::warn!(%error, "what tuning found was not saved");
        }
    };
    let mut reports = Vec::with_capacity(tasks.len());
    for task in tasks {
        let bucket = task.bucket();
        let mut candidates = task.candidates(device.facts());
        let notes = device.notes();
        for candidate in &mut candidates {
            candidate.ended = notes.get(&ending(&bucket, &candidate.name)).cloned();
        }
        let report = match compare(device, &bucket, &task.operands(), &candidates, limits) {
            Ok(report) => report,
            Err(error) => {
                device.note(&ending(&error.bucket, &error.candidate), &error.source.to_string());
                save();
                return Err(error);
            }
        };
        if let Some(chosen) = report.chosen() {
            tracing::info!(bucket, chosen = chosen.candidate, "tuned");
            device.note(&bucket, &chosen.candidate);
            save();
        }
        reports.push(report);
    }
    Ok(reports)
}

/// The name of the note that a candidate ended a tuning.
fn ending(bucket: &str, candidate: &str) -> String {
    format!("{bucket} ended with {candidate}")
}
