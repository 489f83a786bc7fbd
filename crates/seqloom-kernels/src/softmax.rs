//! Softmax and log-softmax over the rows of a matrix.
//!
//! A GPU uses a workgroup per row. A CPU adapter uses an invocation per row, because there a barrier costs more than
//! the walk. But an invocation may not walk far there, so long rows get a workgroup, and over many thousands of
//! elements its barriers do not matter.

use seqloom_device::Facts;
use seqloom_shaders::softmax::{Softmax, SoftmaxCpu, SoftmaxParams};

use crate::error::KernelError;
use crate::launch::{Job, Lowered, Operand, check_iterations, count, flat_grid, prefers_cpu, striding};

const OP: &str = "softmax";

/// Rows to normalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row, at least 1.
    pub cols: usize,
    /// Compute the logarithm of the result instead.
    pub log: bool,
}

/// What walks a row; shared with [`cross_entropy`](crate::cross_entropy) and [`norm`](crate::norm).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// A workgroup.
    Workgroup,
    /// An invocation.
    Invocation,
}

impl Variant {
    /// The variant that suits the device and rows of `cols` elements.
    pub(crate) fn suited(cols: usize, facts: &Facts) -> Self {
        if prefers_cpu(facts) && cols <= LONGEST_WALK { Variant::Invocation } else { Variant::Workgroup }
    }
}

/// The longest row that an invocation walks alone. It is well below the limit, because rounding errors grow with each
/// term that is added in sequence, and a workgroup adds along a tree.
pub(crate) const LONGEST_WALK: usize = 8192;

/// Most walks over a row by the kernels of this family, of cross-entropy and of norms.
const PASSES: u64 = 3;

/// Iterations of an invocation for a row of `cols` elements, if it reads every `lanes`-th.
pub(crate) fn iterations(cols: u32, lanes: u32) -> u64 {
    // One more in each pass, to find the row's end.
    PASSES * (u64::from(cols.div_ceil(lanes)) + 1)
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
/// Rows without elements, or sizes that no kernel can number or, on a CPU adapter, walk.
pub fn lower(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_as(Variant::suited(problem.cols, facts), problem, facts)
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
            check_iterations(OP, iterations(cols, workgroup), facts)?;
            let (spec, grid) = (Softmax { workgroup, log }, flat_grid(OP, rows, workgroup, facts)?);
            Job { op: OP, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
        Variant::Invocation => {
            let (_, grid) = striding(OP, rows, iterations(cols, 1), facts)?;
            let spec = SoftmaxCpu { workgroup: 64, log };
            Job { op: OP, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
    };
    Ok(Lowered::single(launch))
}
