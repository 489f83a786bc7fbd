//! A problem that can be tuned, whatever its family: its bucket, its candidates.

use std::fmt::Display;

use seqloom_device::Facts;

use super::operands::Operands;
use crate::error::KernelError;
use crate::launch::Lowered;
use crate::matmul;

/// A problem of a family that has more than one variant for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    /// A product.
    Matmul(matmul::Problem),
}

/// A way to compute a task.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name among the task's candidates, as it is noted.
    pub name: String,
    /// Its modelled cost, in the family's own unit.
    pub cost: f64,
    /// Its launches, or why it does not take the problem.
    pub lowered: Result<Lowered, KernelError>,
    /// By what error it ended an earlier tuning, if it did.
    pub ended: Option<String>,
}

impl Task {
    /// Its family.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self {
            Task::Matmul(_) => "matmul",
        }
    }

    /// Family, layout, and sizes rounded up to powers of two: problems of one bucket share what tuning finds.
    #[must_use]
    pub fn bucket(&self) -> String {
        let sizes = |sizes: &[usize]| {
            let rounded =
                sizes.iter().map(|size| size.checked_next_power_of_two().unwrap_or(*size).to_string());
            rounded.collect::<Vec<_>>().join("x")
        };
        match self {
            Task::Matmul(problem) => {
                let problem = problem.folded();
                let shared = |batched: bool| if batched || problem.batch == 1 { "" } else { " shared" };
                format!(
                    "matmul {}{}{}{} {}",
                    if problem.trans_a { 'T' } else { 'N' },
                    if problem.trans_b { 'T' } else { 'N' },
                    shared(problem.a_batched),
                    shared(problem.b_batched),
                    sizes(&[problem.batch, problem.m, problem.k, problem.n])
                )
            }
        }
    }

    /// Whether there is nothing to compute, so that nothing can be measured.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Task::Matmul(problem) => problem.batch * problem.m * problem.n == 0 || problem.k == 0,
        }
    }

    /// The ways to compute it on the device, the heuristic's first.
    #[must_use]
    pub fn candidates(&self, facts: &Facts) -> Vec<Candidate> {
        match self {
            Task::Matmul(problem) => listed(
                matmul::Tile::suited(problem, facts),
                matmul::Tile::all(facts),
                |tile| tile.cost(problem, facts),
                |tile| matmul::lower_as(tile, problem, facts, None),
            ),
        }
    }

    /// Made-up operands.
    pub(crate) fn operands(&self) -> Operands {
        match self {
            Task::Matmul(problem) => Operands::of_matmul(problem),
        }
    }
}

/// The candidates of a family, `suited` first.
fn listed<T: Display + PartialEq + Copy>(
    suited: T,
    all: Vec<T>,
    cost: impl Fn(T) -> f64,
    lower: impl Fn(T) -> Result<Lowered, KernelError>,
) -> Vec<Candidate> {
    let others = all.into_iter().filter(|choice| *choice != suited);
    let candidate = |choice: T| Candidate {
        name: choice.to_string(),
        cost: cost(choice),
        lowered: lower(choice),
        ended: None,
    };
    std::iter::once(suited).chain(others).map(candidate).collect()
}
