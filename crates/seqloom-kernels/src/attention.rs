//! Attention: softmax(q·kᵀ·scale + terms)·v, forward and backward, with memory that grows with T, not with T².
//!
//! Forward walks the keys with a running maximum and sum. Besides the result it keeps one number per query, the
//! logarithm of its sum. Backward recomputes any weight from that number, so it stores none either. It is three
//! separate problems, because no kernel can sum over queries and over keys at once without atomics: the gradient of the
//! queries (with that of the distance terms), of the keys and values, and of the bias. All need `delta`, the row sums
//! of dout∘out.
//!
//! Masks are loop bounds, and whole tiles outside them are never visited. A query that attends to nothing gets 0.
//!
//! There are two variants, as in every family: one subgroup with tiles in registers for CPU adapters, tiles in
//! workgroup memory for GPUs. The CPU variant reads four channels at a time, so other widths are copied to padded rows
//! first. llvmpipe limits the iterations of one invocation, so there long sums take several launches.

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

/// Number of keys or queries up to which a tile of fewer rows is as good.
const SHORT_WALK: usize = 128;

/// The variants of the attention kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// One subgroup per workgroup, no workgroup memory, tiles of this many rows: 8, 16 or 32. Needs a known subgroup
    /// size.
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
        // The rows of a tile share loads, so it is as tall as the walked axis allows. But 32 rows take twice as long to
        // compile as 16 (seconds in total), and save only a tenth of the time over a short walk.
        let walked = if pass == Pass::Key { problem.queries } else { problem.keys };
        Variant::Cpu(match facts.lanes() {
            Some(8) if walked <= 8 => 8,
            Some(8) if walked <= SHORT_WALK => 16,
            Some(8 | 16) => 32,
            _ => 16,
        })
    }

    /// Every variant that this device can run.
    #[must_use]
    pub fn all(pass: Pass, problem: &Problem, facts: &Facts) -> Vec<Self> {
        match Self::suited(pass, problem, facts) {
            Variant::Cpu(_) if facts.lanes() == Some(8) => [8, 16, 32].map(Variant::Cpu).to_vec(),
            only => vec![only],
        }
    }

    /// An estimate of a walk's time, without a unit; it only serves to rule out slow variants.
    pub(crate) fn cost(self, pass: Pass, problem: &Problem) -> f64 {
        let walked = if pass == Pass::Key { problem.queries } else { problem.keys };
        match self {
            // Per tile: the loads of the columns, those of the rows, and the arithmetic.
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
/// Bindings: `In(0)` q `[B, Tq, H, D]`, `In(1)` k `[B, Tk, Hkv, D]`, `In(2)` v `[B, Tk, Hkv, Dv]`; backward `In(3)`
/// dout, `In(4)` lse, `In(5)` delta `[B, Tq, H]`, the sums of dout∘out over channels; then, as far as the problem has
/// them: lengths `[B]` u32, bias `[B or 1, H or 1, Tq, Tk]`, distance `[H, columns]`. `Leaf(0)` is the control buffer.
/// Results are [`Pass`]'s.
///
/// # Errors
/// Sizes or options that contradict each other, sizes that no kernel can number or that exceed the device's
/// grid, or heads wider than an invocation of a CPU adapter can walk.
pub fn lower(pass: Pass, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_as(Variant::suited(pass, problem, facts), pass, problem, facts)
}

/// [`lower`] by a given variant.
///
/// # Errors
/// As [`lower`], and [`Variant::Cpu`] if the subgroup size is not known or the rows are not those listed
/// there.
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
