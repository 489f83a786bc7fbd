//! Cross-entropy of rows of logits against class numbers, and its gradient.
//!
//! Logits are the largest tensor of a language model, so the gradient is written over them. The forward pass reads them
//! twice and keeps two numbers per row. From these the backward pass computes the softmax of each element
//! independently, times the factor of the row's loss. A single pass for loss and gradient would read the logits as
//! often, and need a second pass for that factor. The graph takes the mean over the rows that count.

use seqloom_device::Facts;
use seqloom_shaders::softmax::{CrossEntropy, CrossEntropyBackward, CrossEntropyCpu, CrossEntropyParams};

use crate::error::KernelError;
use crate::launch::{
    CPU_WORKGROUPS, Job, Lowered, Operand, check_iterations, count, flat_grid, prefers_cpu, striding,
    workgroups,
};
use crate::softmax::{LONGEST_WALK, Variant, iterations, row_workgroup};
use crate::view;

const OP: &str = "cross_entropy";

/// Invocations that share a row of few classes on a CPU adapter.
const CPU_WORKGROUP: u32 = 8;

/// Rows of logits with one target each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Problem {
    /// Number of rows.
    pub rows: usize,
    /// Number of classes, at least 1.
    pub cols: usize,
    /// The target of ignored rows.
    pub ignore_index: Option<u32>,
    /// Share of the target's weight that is spread over all classes, 0 to 1.
    pub smoothing: f32,
}

impl Problem {
    /// Checked parameters and the number of logits, or nothing for no rows.
    fn params(&self) -> Result<Option<(CrossEntropyParams, u64)>, KernelError> {
        let len = count(OP, "logits", &[self.rows, self.cols])?;
        let (rows, cols) = (self.rows as u32, self.cols as u32);
        if cols == 0 {
            return Err(KernelError::Problem { op: OP, detail: format!("{rows} rows of no classes") });
        }
        // Targets are below `cols`, hence below this stand-in for "none".
        let ignore_index = self.ignore_index.unwrap_or(u32::MAX);
        let params = CrossEntropyParams { rows, cols, ignore_index, smoothing: self.smoothing };
        Ok((rows > 0).then_some((params, u64::from(len))))
    }

    fn shape(&self, pass: &str) -> String {
        format!("{pass} [{}, {}]", self.rows, self.cols)
    }
}

/// `losses[r] = logsumexp(x[r]) − (1 − s)·x[r, target] − s·mean(x[r])` with the smoothing `s`, 0 for ignored rows, by the
/// variant that suits the device.
///
/// Bindings: `In(0)` logits `[rows, cols]`, `In(1)` targets `[rows]` u32, `Out(0)` losses `[rows]`, `Out(1)` tops `[rows]`, the
/// greatest logit, `Out(2)` totals `[rows]`, the sum of `e^(x − top)`.
///
/// # Errors
/// No classes, or sizes that no kernel can number or, on a CPU adapter, walk.
pub fn lower_forward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_forward_as(Variant::suited(problem.cols, facts), problem, facts)
}

/// [`lower_forward`] by a given variant.
///
/// # Errors
/// As [`lower_forward`].
pub fn lower_forward_as(variant: Variant, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some((params, len)) = problem.params()? else { return Ok(Lowered::default()) };
    let CrossEntropyParams { rows, cols, .. } = params;
    let (op, shape) = (OP, problem.shape("forward"));
    let bindings = vec![Operand::In(0), Operand::In(1), Operand::Out(0), Operand::Out(1), Operand::Out(2)];
    let (flops, bytes) = (5 * len, 4 * len + 16 * u64::from(rows));
    let launch = match variant {
        Variant::Workgroup => {
            let workgroup = row_workgroup(cols);
            check_iterations(OP, iterations(cols, workgroup), facts)?;
            let (spec, grid) = (CrossEntropy { workgroup }, flat_grid(OP, rows, workgroup, facts)?);
            Job { op, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
        Variant::Invocation => {
            let (_, grid) = striding(OP, rows, iterations(cols, 1), facts)?;
            let spec = CrossEntropyCpu { workgroup: 64 };
            Job { op, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
    };
    Ok(Lowered::single(launch))
}

/// `dlogits[r] = dlosses[r]·(softmax(x[r]) − (1 − s)·onehot(target) − s/cols)`, 0 for ignored rows.
///
/// Bindings: `In(0)` logits `[rows, cols]`, `In(1)` targets `[rows]` u32, `In(2)` tops `[rows]`, `In(3)` totals `[rows]`, `In(4)`
/// dlosses `[rows]`, `Out(0)` dlogits `[rows, cols]`. With `in_place`, `Out(0)` holds the logits, and `In(0)` is not bound;
/// otherwise they are copied there first.
///
/// # Errors
/// As [`lower_forward`].
pub fn lower_backward(problem: &Problem, in_place: bool, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some((params, len)) = problem.params()? else { return Ok(Lowered::default()) };
    let CrossEntropyParams { rows, cols, .. } = params;
    let few = prefers_cpu(facts) && problem.cols <= LONGEST_WALK;
    let workgroup = if few { CPU_WORKGROUP } else { row_workgroup(cols) };
    let inner = u64::from(cols.div_ceil(workgroup)) + 1;
    let most = if prefers_cpu(facts) { CPU_WORKGROUPS } else { u32::MAX };
    // A workgroup has one row at a time.
    let groups = workgroups(OP, rows, inner, (1, most), facts)?;
    let mut bindings: Vec<_> = (1..5).map(Operand::In).collect();
    bindings.push(Operand::Out(0));
    let job = Job {
        op: OP,
        shape: problem.shape("backward"),
        spec: CrossEntropyBackward { workgroup },
        params,
        bindings,
        grid: flat_grid(OP, groups, workgroup, facts)?,
        flops: 6 * len,
        bytes: 8 * len + 16 * u64::from(rows),
    };
    let mut lowered = if in_place {
        Lowered::default()
    } else {
        view::lower(&view::Problem::copy(problem.rows * problem.cols), facts)?
    };
    lowered.launches.push(job.plain(facts)?);
    Ok(lowered)
}
