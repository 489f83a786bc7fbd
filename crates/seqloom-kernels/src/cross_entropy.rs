//! Cross-entropy of rows of logits against class numbers, and its gradient, in one pass.
//!
//! Both need the row's maximum and sum, and a loss is hardly ever wanted without its gradient, so one kernel writes
//! the two. The mean over the rows that count, and whatever multiplies the gradient, is left to the graph.

use seqloom_device::Facts;
use seqloom_shaders::softmax::{CrossEntropy, CrossEntropyCpu, CrossEntropyParams};

use crate::error::KernelError;
use crate::launch::{Job, Lowered, Operand, check_iterations, count, flat_grid, striding};
use crate::softmax::{Variant, iterations, row_workgroup};

const OP: &str = "cross_entropy";

/// Rows of logits with one target each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Number of rows.
    pub rows: usize,
    /// Number of classes, at least 1.
    pub cols: usize,
    /// The target of rows that count for nothing.
    pub ignore_index: Option<u32>,
}

/// `losses[r] = logsumexp(x[r]) - x[r, target]`, `dlogits[r] = softmax(x[r]) - onehot(target)`, both 0 for ignored
/// rows, by the variant that suits the device.
///
/// Bindings: `In(0)` logits `[rows, cols]`, `In(1)` targets `[rows]` u32, `Out(0)` losses `[rows]`, `Out(1)` dlogits
/// `[rows, cols]`.
///
/// # Errors
/// No classes, or sizes beyond what a kernel can number, or on a CPU adapter walk.
pub fn lower(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_as(Variant::suited(problem.cols, facts), problem, facts)
}

/// [`lower`] by a given variant.
///
/// # Errors
/// As [`lower`].
pub fn lower_as(variant: Variant, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let len = count(OP, "logits", &[problem.rows, problem.cols])?;
    let (rows, cols) = (problem.rows as u32, problem.cols as u32);
    if cols == 0 {
        return Err(KernelError::Problem { op: OP, detail: format!("{rows} rows of no classes") });
    }
    if rows == 0 {
        return Ok(Lowered::default());
    }
    let shape = format!("[{rows}, {cols}]");
    // Targets are below `cols`, hence below this stand-in for "none".
    let params = CrossEntropyParams { rows, cols, ignore_index: problem.ignore_index.unwrap_or(u32::MAX) };
    let bindings = vec![Operand::In(0), Operand::In(1), Operand::Out(0), Operand::Out(1)];
    let (flops, bytes) = (6 * u64::from(len), 8 * (u64::from(len) + u64::from(rows)));
    let launch = match variant {
        Variant::Workgroup => {
            let workgroup = row_workgroup(cols);
            check_iterations(OP, iterations(cols, workgroup), facts)?;
            let (spec, grid) = (CrossEntropy { workgroup }, flat_grid(OP, rows, workgroup, facts)?);
            Job { op: OP, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
        Variant::Invocation => {
            let (_, grid) = striding(OP, rows, iterations(cols, 1), facts)?;
            let spec = CrossEntropyCpu { workgroup: 64 };
            Job { op: OP, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
    };
    Ok(Lowered::single(launch))
}
