//! A problem that can be tuned, of any family: its bucket and its candidates.

use std::fmt::Display;

use seqloom_device::Facts;

use super::operands::{Operands, counts};
use crate::error::KernelError;
use crate::launch::{Fusion, Lowered};
use crate::{attention, matmul, recurrent, reduce};

/// A problem of a family that has more than one variant for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    /// A product.
    Matmul(matmul::Problem),
    /// A reduction of a plain tensor.
    Reduce(reduce::Problem),
    /// A recurrence.
    RecurrentForward(recurrent::Problem),
    /// The gradients of a recurrence.
    RecurrentBackward(recurrent::Problem),
    /// An attention or one of its gradients.
    Attention(attention::Pass, attention::Problem),
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
    /// The error by which it ended an earlier tuning, if it did.
    pub ended: Option<String>,
}

impl Task {
    /// Its family.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self {
            Task::Matmul(_) => "matmul",
            Task::Reduce(_) => "reduce",
            Task::RecurrentForward(_) | Task::RecurrentBackward(_) => "recurrent",
            Task::Attention(..) => "attention",
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
                let layout = |trans: bool| if trans { 'T' } else { 'N' };
                let shared = |batched: bool| if batched || problem.batch == 1 { "" } else { " shared" };
                let matmul::Problem { batch, m, n, k, trans_a, trans_b, a_batched, b_batched } = problem;
                format!(
                    "matmul {}{}{}{} {}",
                    layout(trans_a),
                    layout(trans_b),
                    shared(a_batched),
                    shared(b_batched),
                    sizes(&[batch, m, k, n])
                )
            }
            Task::Reduce(reduce::Problem { outer, len, inner, op }) => {
                format!("reduce {op:?} {}", sizes(&[*outer, *len, *inner]))
            }
            Task::RecurrentForward(problem) => format!("{} forward", recurrence(problem, sizes)),
            Task::RecurrentBackward(problem) => format!("{} backward", recurrence(problem, sizes)),
            Task::Attention(pass, problem) => {
                let attention::Problem { batch, heads, key_heads, queries, keys, width, value_width, .. } =
                    *problem;
                let has = [
                    ("bias", problem.bias.is_some()),
                    ("distance", problem.columns() > 0),
                    ("dropout", problem.dropout.is_some()),
                    ("lengths", problem.lengths),
                    ("causal", problem.after.is_some()),
                    ("window", problem.before.is_some()),
                ];
                let has: String =
                    has.iter().filter(|(_, has)| *has).map(|(name, _)| format!(" {name}")).collect();
                let extents = [batch, heads, key_heads, queries, keys, width, value_width];
                format!("attention {pass:?} {:?}{has} {}", problem.layout, sizes(&extents))
            }
        }
    }

    /// Whether there is nothing to compute, so that nothing can be measured.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Task::Matmul(problem) => [problem.batch, problem.m, problem.n, problem.k].contains(&0),
            Task::Reduce(problem) => [problem.outer, problem.len, problem.inner].contains(&0),
            Task::RecurrentForward(problem) | Task::RecurrentBackward(problem) => problem.batch == 0,
            Task::Attention(_, problem) => [problem.batch, problem.queries, problem.keys].contains(&0),
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
            Task::Reduce(problem) => listed(
                reduce::Cut::suited(problem, facts),
                reduce::Cut::all(problem, facts),
                |cut| cut.cost(problem, facts),
                |cut| reduce::lower_as(cut, problem, facts, &Fusion::identity()),
            ),
            Task::RecurrentForward(problem) | Task::RecurrentBackward(problem) => {
                let problem = full(problem);
                let lower = match self {
                    Task::RecurrentForward(_) => recurrent::lower_forward_as,
                    _ => recurrent::lower_backward_as,
                };
                listed(
                    recurrent::Form::suited(&problem, facts),
                    recurrent::Form::all(&problem, facts),
                    |form| form.cost(&problem, facts),
                    |form| lower(form, &problem, facts),
                )
            }
            Task::Attention(pass, problem) => listed(
                attention::Variant::suited(*pass, problem, facts),
                attention::Variant::all(*pass, problem, facts),
                |variant| variant.cost(*pass, problem),
                |variant| attention::lower_as(variant, *pass, problem, facts),
            ),
        }
    }

    /// Made-up operands.
    pub(crate) fn operands(&self) -> Operands {
        match self {
            Task::Matmul(problem) => Operands::of_matmul(problem),
            Task::Reduce(problem) => Operands::of_reduce(problem),
            Task::RecurrentForward(problem) => Operands::of_recurrence(&full(problem)),
            Task::RecurrentBackward(problem) => Operands::of_recurrent_gradient(&full(problem)),
            Task::Attention(pass, problem) => Operands::of_attention(*pass, problem),
        }
    }
}

/// A recurrence's part of the bucket's name.
fn recurrence(problem: &recurrent::Problem, sizes: impl Fn(&[usize]) -> String) -> String {
    // Either direction in time costs the same.
    let recurrent::Problem { cell, rows, batch, time, hidden, packed, reverse: _ } = *problem;
    let packed = if packed { format!(" packed {}", sizes(&[rows])) } else { String::new() };
    format!("recurrent {}{packed} {}", cell.name(), sizes(&[batch, time, hidden]))
}

/// The problem with exactly the rows of its operands' steps, because rows after them are not all written.
fn full(problem: &recurrent::Problem) -> recurrent::Problem {
    let rows = if problem.packed { counts(problem).iter().sum() } else { problem.rows };
    recurrent::Problem { rows, ..*problem }
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
