//! Softmax and log-softmax over the rows of a matrix.
//!
//! A GPU gives a row a workgroup, a CPU adapter an invocation, because there a barrier costs more than a walk.

use seqloom_device::Facts;
use seqloom_shaders::softmax::{Softmax, SoftmaxCpu, SoftmaxParams};

use crate::error::KernelError;
use crate::launch::{Job, Lowered, Operand, count, flat_grid, prefers_cpu, striding};

const OP: &str = "softmax";

/// Rows to normalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row, at least 1.
    pub cols: usize,
    /// The logarithm of the result instead.
    pub log: bool,
}

/// Who walks a row; shared with [`cross_entropy`](crate::cross_entropy).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// A workgroup.
    Workgroup,
    /// An invocation.
    Invocation,
}

impl Variant {
    /// The variant that suits the device.
    pub(crate) fn suited(facts: &Facts) -> Self {
        if prefers_cpu(facts) { Variant::Invocation } else { Variant::Workgroup }
    }
}

/// Invocations that share one row of `cols` elements.
pub(crate) fn row_workgroup(cols: u32) -> u32 {
    if cols <= 128 { 64 } else { 256 }
}

/// `out[r,c] = e^x[r,c] / Σ_j e^x[r,j]`, or its logarithm, by the variant that suits the device.
///
/// Bindings: `In(0)` `[rows, cols]`, `Out(0)` `[rows, cols]`.
///
/// # Errors
/// Rows of no elements, or sizes beyond what a kernel can number.
pub fn lower(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_as(Variant::suited(facts), problem, facts)
}

/// [`lower`] by a given variant.
///
/// # Errors
/// As [`lower`].
pub fn lower_as(variant: Variant, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let len = count(OP, "x", &[problem.rows, problem.cols])?;
    let (rows, cols, log) = (problem.rows as u32, problem.cols as u32, problem.log);
    if cols == 0 {
        return Err(KernelError::Problem { op: OP, detail: format!("{rows} rows of no elements") });
    }
    if rows == 0 {
        return Ok(Lowered::default());
    }
    let shape = format!("[{rows}, {cols}]");
    let params = SoftmaxParams { rows, cols };
    let bindings = vec![Operand::In(0), Operand::Out(0)];
    let (flops, bytes) = (5 * u64::from(len), 8 * u64::from(len));
    let launch = match variant {
        Variant::Workgroup => {
            let workgroup = row_workgroup(cols);
            let (spec, grid) = (Softmax { workgroup, log }, flat_grid(OP, rows, workgroup, facts)?);
            Job { op: OP, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
        Variant::Invocation => {
            let (_, grid) = striding(OP, rows, facts)?;
            let spec = SoftmaxCpu { workgroup: 64, log };
            Job { op: OP, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
    };
    Ok(Lowered::single(launch))
}
