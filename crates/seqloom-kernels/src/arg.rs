//! Index of the greatest or least element along one axis, with a pointwise head computed on the way.
//!
//! Kernels, and how a long axis is cut into chunks, are those of a reduction ([`crate::reduce`]). Only indices are stored: the
//! second launch computes the candidates' elements again, which are few.

use seqloom_device::Facts;
use seqloom_shaders::Width;
use seqloom_shaders::reduce::{ArgColumns, ArgFinish, ArgRows, ReduceParams};

use crate::error::KernelError;
use crate::launch::{Fusion, Job, Lowered, Operand, count, flat_grid, striding, view_at};
use crate::reduce::{self, Cut, ROW_WORKGROUP, ReduceOp, Variant};

const OP: &str = "arg";

/// The index of an extreme element along the middle axis of `[outer, len, inner]`, as `[outer, inner]` of u32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Product of the extents before the axis.
    pub outer: usize,
    /// Extent of the axis, at least 1.
    pub len: usize,
    /// Product of the extents after the axis.
    pub inner: usize,
    /// Least instead of greatest.
    pub least: bool,
}

impl Problem {
    /// The reduction that reads the same elements.
    fn reduction(&self) -> reduce::Problem {
        let Self { outer, len, inner, .. } = *self;
        reduce::Problem { outer, len, inner, op: ReduceOp::Max }
    }
}

/// `out[o,i]` = the first r whose `fused(0, (o·len + r)·inner + i)` none exceeds (none is less, if `least`); the first NaN if there is
/// one.
///
/// Bindings: `Out(0)` `[outer, inner]` u32, `Leaf(i)` as the fusion says, `Scratch(0)` where it takes two launches.
/// The fusion's view has the extents of the head, `outer·len·inner` elements.
///
/// # Errors
/// An axis of length 0, sizes beyond what a kernel can number, or a fusion that does not fit.
pub fn lower(problem: &Problem, facts: &Facts, fusion: &Fusion) -> Result<Lowered, KernelError> {
    lower_as(Cut::suited(&problem.reduction(), facts), problem, facts, fusion)
}

/// [`lower`] by a given cut.
///
/// # Errors
/// As [`lower`], and [`Variant::Rows`] where `inner` is not 1.
pub fn lower_as(cut: Cut, problem: &Problem, facts: &Facts, fusion: &Fusion) -> Result<Lowered, KernelError> {
    let head = count(OP, "head", &[problem.outer, problem.len, problem.inner])?;
    let results = count(OP, "out", &[problem.outer, problem.inner])?;
    let (outer, len, inner) =
        (problem.outer as u32, count(OP, "axis", &[problem.len])?, problem.inner as u32);
    if len == 0 || (cut.variant == Variant::Rows && inner != 1) {
        let detail = format!("{:?} cannot search the middle axis of [{outer}, {len}, {inner}]", cut.variant);
        return Err(KernelError::Problem { op: OP, detail });
    }
    if results == 0 {
        return Ok(Lowered::default());
    }
    let chunk_len = cut.chunk_len(ReduceOp::Max, len);
    let chunks = len.div_ceil(chunk_len);
    let candidates = count(OP, "candidates", &[problem.outer, chunks as usize, problem.inner])?;
    let view = view_at(OP, Some(fusion), Width::One)?;
    let params = ReduceParams { outer, len, inner, chunks, chunk_len, view, ..ReduceParams::default() };
    let least = problem.least;
    let shape = || {
        let what = if least { "least" } else { "greatest" };
        format!("{what} [{outer}, {len}, {inner}] -> [{outer}, {chunks}, {inner}]")
    };
    let out = if chunks == 1 { Operand::Out(0) } else { Operand::Scratch(0) };
    let (flops, bytes) = (u64::from(head), 4 * u64::from(candidates));
    let first = match cut.variant {
        Variant::Columns => {
            let (workgroup, grid) = striding(OP, candidates, u64::from(chunk_len), facts)?;
            let spec = ArgColumns { workgroup, least };
            Job { op: OP, shape: shape(), spec, params, bindings: vec![out], grid, flops, bytes }.fused(
                facts,
                Some(fusion),
                u64::from(head),
            )?
        }
        Variant::Rows => {
            let workgroup = if chunk_len <= 128 { 64 } else { ROW_WORKGROUP };
            let grid = flat_grid(OP, candidates, workgroup, facts)?;
            let spec = ArgRows { workgroup, least };
            Job { op: OP, shape: shape(), spec, params, bindings: vec![out], grid, flops, bytes }.fused(
                facts,
                Some(fusion),
                u64::from(head),
            )?
        }
    };
    if chunks == 1 {
        return Ok(Lowered::single(first));
    }
    let (workgroup, grid) = striding(OP, results, u64::from(chunks), facts)?;
    let finish = Job {
        op: OP,
        shape: shape(),
        spec: ArgFinish { workgroup, least },
        params,
        bindings: vec![Operand::Scratch(0), Operand::Out(0)],
        grid,
        flops: u64::from(candidates),
        bytes: 4 * (u64::from(candidates) + u64::from(results)),
    };
    let finish = finish.fused(facts, Some(fusion), u64::from(candidates))?;
    Ok(Lowered { launches: vec![first, finish], scratch: vec![4 * u64::from(candidates)] })
}
