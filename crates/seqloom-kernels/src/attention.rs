//! Attention: softmax(q·kᵀ·scale + terms)·v, forward and backward, with memory that grows with T and not with T².
//!
//! Forward walks the keys with a running maximum and sum and keeps, besides the result, one number a query: the logarithm
//! of its sum. From that number any weight can be had again, so backward stores none either. It is three problems of
//! their own, since no kernel can sum over queries and over keys at once without atomics: the queries' gradient (with
//! that of the terms by distance), the keys' and values', and the bias's. All need `delta`, the row sums of dout∘out.
//!
//! Masks are bounds of loops; whole tiles outside them are never visited. A query that attends to nothing gets 0.
//!
//! Two variants, as everywhere: one subgroup with tiles in registers for CPU adapters, tiles in workgroup memory for GPUs.
//! The former reads four channels at a time, so other widths are copied to padded rows first.
//! The former is bounded by what llvmpipe lets one invocation iterate, so long sums are several launches.

mod padded;
mod plan;
mod problem;

use std::fmt;

use seqloom_device::Facts;

use crate::error::KernelError;
use crate::launch::{Lowered, prefers_cpu};
use plan::Plan;
use problem::OP;
pub use problem::{Bias, Dropout, FARTHEST, Layout, Pass, Problem, Start};

/// Keys, or queries, up to which a tile of fewer rows is as good.
const SHORT_WALK: usize = 128;

/// Which kernels attend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// One subgroup per workgroup, no workgroup memory, tiles of so many rows: 8, 16 or 32. Needs a known subgroup size.
    Cpu(u32),
    /// Tiles in workgroup memory.
    Tiled,
}

impl Variant {
    /// The variant that suits problem and device, as far as rules can tell.
    #[must_use]
    pub fn suited(pass: Pass, problem: &Problem, facts: &Facts) -> Self {
        if !prefers_cpu(facts) {
            return Variant::Tiled;
        }
        // Loads are shared by the rows of a tile, so it is as tall as what is walked gives work for; but 32 rows take twice as
        // long to compile as 16, seconds in all, and over a short walk save a tenth of the time.
        let walked = if pass == Pass::Key { problem.queries } else { problem.keys };
        Variant::Cpu(match facts.lanes() {
            Some(8) if walked <= 8 => 8,
            Some(8) if walked <= SHORT_WALK => 16,
            Some(8 | 16) => 32,
            _ => 16,
        })
    }

    /// Every variant that this device may take.
    #[must_use]
    pub fn all(pass: Pass, problem: &Problem, facts: &Facts) -> Vec<Self> {
        match Self::suited(pass, problem, facts) {
            Variant::Cpu(_) if facts.lanes() == Some(8) => [8, 16, 32].map(Variant::Cpu).to_vec(),
            only => vec![only],
        }
    }

    /// An estimate of the time that a walk takes, in no unit: good for telling what is hopeless.
    pub(crate) fn cost(self, pass: Pass, problem: &Problem) -> f64 {
        let walked = if pass == Pass::Key { problem.queries } else { problem.keys };
        match self {
            // For each tile the loads of the columns beside those of the rows and the arithmetic on these.
            Variant::Cpu(rows) => walked.div_ceil(rows as usize) as f64 * f64::from(32 + 5 * rows),
            Variant::Tiled => 1.0,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variant::Cpu(rows) => write!(f, "rows {rows}"),
            Variant::Tiled => f.write_str("tiled"),
        }
    }
}

/// `out = softmax(q·kᵀ·scale + terms)·v` or one of its gradients, by the variant that suits the device.
///
/// Bindings: `In(0)` q `[B, Tq, H, D]`, `In(1)` k `[B, Tk, Hkv, D]`, `In(2)` v `[B, Tk, Hkv, Dv]`; backward `In(3)` dout,
/// `In(4)` lse, `In(5)` delta `[B, Tq, H]`, the sums of dout∘out over channels; then, of those that the problem has:
/// lengths `[B]` u32, bias `[B or 1, H or 1, Tq, Tk]`, distance `[H, columns]`. `Leaf(0)` is the control buffer. Results
/// are [`Pass`]'s.
///
/// # Errors
/// Sizes or options that contradict each other, sizes beyond what a kernel can number or the device's grid can hold, or
/// heads wider than an invocation of a CPU adapter can walk.
pub fn lower(pass: Pass, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_as(Variant::suited(pass, problem, facts), pass, problem, facts)
}

/// [`lower`] by a given variant.
///
/// # Errors
/// As [`lower`], and [`Variant::Cpu`] where the subgroup size is not known or with other rows than it says.
pub fn lower_as(
    variant: Variant,
    pass: Pass,
    problem: &Problem,
    facts: &Facts,
) -> Result<Lowered, KernelError> {
    let plan = Plan::new(pass, problem)?;
    match variant {
        Variant::Cpu(rows @ (8 | 16 | 32)) if padded::needed(problem) => {
            padded::lower(rows, pass, problem, facts)
        }
        Variant::Cpu(rows @ (8 | 16 | 32)) => plan.cpu(rows, facts),
        Variant::Cpu(rows) => Err(KernelError::Problem {
            op: OP,
            detail: format!("there is no kernel with tiles of {rows} rows"),
        }),
        Variant::Tiled => plan.tiled(facts),
    }
}
