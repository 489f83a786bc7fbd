//! Normalisation of a matrix's rows: layer normalisation, and by the root mean square.
//!
//! A GPU uses a workgroup per row, a CPU adapter an invocation, for the reasons given in softmax. Forward keeps three
//! numbers per row, from which backward recomputes the normalised row. One of them is the row's first element, and the
//! mean is kept as its difference from that element: a mean many times larger than the spread, rounded to f32, would
//! cost the gradients digits.
//!
//! Residual connections are fused: the sum before a norm as its head, the sum of gradients as backward's tail. This
//! holds on a CPU adapter too, where each distinct fusion is a pipeline, because the dropout in it would make a
//! separate pass just as distinct, and both take 15 ms to compile. A sum with dropout and its norm, forward and
//! backward: 14.4 instead of 15.4 ms of processor time over [2048, 128], 45.4 instead of 49.2 over [1024, 768]
//! (lavapipe).

use seqloom_device::Facts;
use seqloom_shaders::Width;
use seqloom_shaders::norm::{
    NormBackward, NormBackwardCpu, NormBackwardParams, NormForward, NormForwardCpu, NormParams, NormResidual,
    NormResidualCpu, NormResidualParams,
};

use crate::error::KernelError;
use crate::launch::{
    Fusion, Job, Lowered, Operand, check_iterations, count, flat_grid, striding, view_at, width,
};
use crate::softmax::{Variant, iterations, row_workgroup};

const OP: &str = "norm";

/// Rows to normalise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Problem {
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row, at least 1.
    pub cols: usize,
    /// Subtract the mean first (layer normalisation), or not (root mean square).
    pub centred: bool,
    /// Added to the variance; the gradient does not ask for it.
    pub eps: f32,
}

impl Problem {
    /// Checked sizes, or nothing for no rows.
    fn sizes(&self) -> Result<Option<(u32, u32, u64)>, KernelError> {
        let len = count(OP, "x", &[self.rows, self.cols])?;
        let (rows, cols) = (self.rows as u32, self.cols as u32);
        if cols == 0 {
            return Err(KernelError::Problem { op: OP, detail: format!("{rows} rows of no elements") });
        }
        Ok((rows > 0).then_some((rows, cols, u64::from(len))))
    }

    fn shape(&self, pass: &str) -> String {
        let kind = if self.centred { "layer" } else { "rms" };
        format!("{kind} {pass} [{}, {}]", self.rows, self.cols)
    }
}

/// How many neighbours a variant takes at once. Only an invocation with a row of its own takes more than one.
fn variant_width(variant: Variant, cols: u32, fusion: Option<&Fusion>, facts: &Facts) -> Width {
    match variant {
        Variant::Workgroup => Width::One,
        Variant::Invocation => width(cols, fusion, facts),
    }
}

/// `y = (x − m)·r·weight + bias` with `r = 1/√(mean((x − m)²) + eps)` and `m` the row's mean; not centred, `m` is 0 and no
/// bias is read. By the variant that suits the device.
///
/// Bindings: `In(0)` x `[rows, cols]`, `In(1)` weight `[cols]`, `In(2)` bias `[cols]` if centred, `Out(0)` y `[rows,
/// cols]`, `Out(1)` the first elements `[rows]`, `Out(2)` m less those `[rows]`, `Out(3)` r `[rows]`; not centred, both
/// are 0.
///
/// # Errors
/// Rows without elements, or sizes that no kernel can number or, on a CPU adapter, walk.
pub fn lower_forward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_forward_as(Variant::suited(problem.cols, facts), problem, facts)
}

/// [`lower_forward`] by a given variant.
///
/// # Errors
/// As [`lower_forward`].
pub fn lower_forward_as(variant: Variant, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some((rows, cols, len)) = problem.sizes()? else { return Ok(Lowered::default()) };
    let (op, shape, centred) = (OP, problem.shape("forward"), problem.centred);
    let width = variant_width(variant, cols, None, facts);
    let values = cols / width.elements();
    let params = NormParams { rows, cols: values, eps: problem.eps };
    // A binding that is not read still needs a buffer.
    let bias = Operand::In(if centred { 2 } else { 1 });
    let bindings =
        [Operand::In(0), Operand::In(1), bias].into_iter().chain((0..4).map(Operand::Out)).collect();
    let (flops, bytes) = (8 * len, 8 * (len + u64::from(rows) + u64::from(cols)));
    let launch = match variant {
        Variant::Workgroup => {
            let workgroup = row_workgroup(cols);
            check_iterations(OP, iterations(cols, workgroup), facts)?;
            let (spec, grid) = (NormForward { workgroup, centred }, flat_grid(OP, rows, workgroup, facts)?);
            Job { op, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
        Variant::Invocation => {
            let (_, grid) = striding(OP, rows, iterations(values, 1), facts)?;
            let spec = NormForwardCpu { workgroup: 64, centred, width };
            Job { op, shape, spec, params, bindings, grid, flops, bytes }.plain(facts)?
        }
    };
    Ok(Lowered::single(launch))
}

/// [`lower_forward`] of the rows that `head` computes, `x[i] = fused(0, i)`, which are stored as well.
///
/// Bindings: as [`lower_forward`], but x is `Out(4)` `[rows, cols]`, and `Leaf(i)` as the fusion says.
///
/// # Errors
/// As [`lower_forward`], or a fusion that does not fit.
pub fn lower_residual(problem: &Problem, head: &Fusion, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_residual_as(Variant::suited(problem.cols, facts), problem, head, facts)
}

/// [`lower_residual`] by a given variant.
///
/// # Errors
/// As [`lower_residual`].
pub fn lower_residual_as(
    variant: Variant,
    problem: &Problem,
    head: &Fusion,
    facts: &Facts,
) -> Result<Lowered, KernelError> {
    let Some((rows, cols, len)) = problem.sizes()? else { return Ok(Lowered::default()) };
    let (op, shape, centred) = (OP, problem.shape("residual"), problem.centred);
    let width = variant_width(variant, cols, Some(head), facts);
    let values = cols / width.elements();
    let (eps, view) = (problem.eps, view_at(OP, Some(head), width)?);
    let params = NormResidualParams { rows, cols: values, eps, view, ..NormResidualParams::default() };
    let mut bindings = vec![Operand::In(1), Operand::In(if centred { 2 } else { 1 })];
    bindings.extend((0..5).map(Operand::Out));
    let (flops, bytes) = (8 * len, 8 * (len + u64::from(rows) + u64::from(cols)));
    let launch = match variant {
        Variant::Workgroup => {
            let workgroup = row_workgroup(cols);
            check_iterations(OP, iterations(cols, workgroup), facts)?;
            let (spec, grid) = (NormResidual { workgroup, centred }, flat_grid(OP, rows, workgroup, facts)?);
            Job { op, shape, spec, params, bindings, grid, flops, bytes }.fused(facts, Some(head), len)?
        }
        Variant::Invocation => {
            let (_, grid) = striding(OP, rows, iterations(values, 1), facts)?;
            let spec = NormResidualCpu { workgroup: 64, centred, width };
            Job { op, shape, spec, params, bindings, grid, flops, bytes }.fused(facts, Some(head), len)?
        }
    };
    Ok(Lowered::single(launch))
}

/// The gradient of x: `dx = fused(r·(g − mean(g) − h·mean(g·h)))` with `h = (x − m)·r` and `g = dy·weight`, without
/// `mean(g)` if not centred. By the variant that suits the device.
///
/// Bindings: `In(0)` x `[rows, cols]`, `In(1)` dy `[rows, cols]`, `In(2)` weight `[cols]`, `In(3)` m less the first elements
/// `[rows]`, `In(4)` r
/// `[rows]`, `Out(0)` dx `[rows, cols]`, `Leaf(i)` as the fusion says.
///
/// # Errors
/// As [`lower_forward`], or a fusion that does not fit.
pub fn lower_backward(
    problem: &Problem,
    facts: &Facts,
    tail: Option<&Fusion>,
) -> Result<Lowered, KernelError> {
    lower_backward_as(Variant::suited(problem.cols, facts), problem, facts, tail)
}

/// [`lower_backward`] by a given variant.
///
/// # Errors
/// As [`lower_backward`].
pub fn lower_backward_as(
    variant: Variant,
    problem: &Problem,
    facts: &Facts,
    tail: Option<&Fusion>,
) -> Result<Lowered, KernelError> {
    let Some((rows, cols, len)) = problem.sizes()? else { return Ok(Lowered::default()) };
    let (op, shape, centred) = (OP, problem.shape("backward"), problem.centred);
    let width = variant_width(variant, cols, tail, facts);
    let values = cols / width.elements();
    let view = view_at(OP, tail, width)?;
    let params = NormBackwardParams { rows, cols: values, view, ..NormBackwardParams::default() };
    let mut bindings: Vec<_> = (0..5).map(Operand::In).collect();
    bindings.push(Operand::Out(0));
    let (flops, bytes) = (14 * len, 4 * (3 * len + 2 * u64::from(rows) + u64::from(cols)));
    let launch = match variant {
        Variant::Workgroup => {
            let workgroup = row_workgroup(cols);
            check_iterations(OP, iterations(cols, workgroup), facts)?;
            let (spec, grid) = (NormBackward { workgroup, centred }, flat_grid(OP, rows, workgroup, facts)?);
            Job { op, shape, spec, params, bindings, grid, flops, bytes }.fused(facts, tail, len)?
        }
        Variant::Invocation => {
            let (_, grid) = striding(OP, rows, iterations(values, 1), facts)?;
            let spec = NormBackwardCpu { workgroup: 64, centred, width };
            Job { op, shape, spec, params, bindings, grid, flops, bytes }.fused(facts, tail, len)?
        }
    };
    Ok(Lowered::single(launch))
}
