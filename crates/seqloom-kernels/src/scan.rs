//! Running sums along one axis, with a pointwise head computed on the way.
//!
//! An invocation walks a chunk of the axis and writes as it goes. Few results over a long axis are cut into chunks as in a
//! reduction ([`crate::reduce`]): a first launch sums the chunks, and each invocation of the second starts from the sums of the
//! chunks before its own. Chunks are no longer than the block of a long sum (`sums`), so the error grows as that of a sum.
//!
//! Why not one launch in which chunks wait for those before them: that needs progress and memory order between workgroups, which
//! WebGPU does not promise. Why not a tree within a workgroup: barriers are dear on CPU adapters, and a GPU has enough chunks.

use seqloom_device::Facts;
use seqloom_shaders::reduce::{ReduceParams, Scan};

use crate::error::KernelError;
use crate::launch::{Fusion, Job, Lowered, Operand, count, striding, view_at, width};
use crate::reduce::{self, Cut, ReduceOp, Variant};

const OP: &str = "scan";

/// Running sums along the middle axis of `[outer, len, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Product of the extents before the axis.
    pub outer: usize,
    /// Extent of the axis.
    pub len: usize,
    /// Product of the extents after the axis.
    pub inner: usize,
    /// From the end of the axis to its begin.
    pub reverse: bool,
}

/// `out[o,r,i] = Σ fused(0, (o·len + s)·inner + i)` over `s <= r`, or over `s >= r` if `reverse`.
///
/// A sum of K terms is off by at most (b + ⌈K / b⌉)·2⁻²⁴ of what its terms amount to, where b is at most 2048, or the power of two
/// beyond √K where that is more.
///
/// Bindings: `Out(0)` `[outer, len, inner]` f32, `Leaf(i)` as the fusion says, `Scratch(0)`.
/// The fusion's view has the extents of the result.
///
/// # Errors
/// Sizes beyond what a kernel can number, or a fusion that does not fit.
pub fn lower(problem: &Problem, facts: &Facts, fusion: &Fusion) -> Result<Lowered, KernelError> {
    let Problem { reverse, .. } = *problem;
    let elements = count(OP, "out", &[problem.outer, problem.len, problem.inner])?;
    if elements == 0 {
        return Ok(Lowered::default());
    }
    let [outer, len, inner] = [problem.outer, problem.len, problem.inner].map(|extent| extent as u32);
    let sum =
        reduce::Problem { outer: problem.outer, len: problem.len, inner: problem.inner, op: ReduceOp::Sum };
    let chunk_len = Cut::of(Variant::Columns, &sum).chunk_len(ReduceOp::Sum, len);
    let chunks = len.div_ceil(chunk_len);
    let width = width(inner, Some(fusion), facts);
    let view = view_at(OP, Some(fusion), width)?;
    let inner = inner / width.elements();
    let sums = u64::from(outer) * u64::from(chunks) * u64::from(inner * width.elements());
    let walk = u64::from(chunk_len) + u64::from(chunks);
    let (workgroup, grid) = striding(OP, outer * chunks * inner, walk, facts)?;
    let job = Job {
        op: OP,
        shape: format!("[{outer}, {len}, {}] in {chunks}", inner * width.elements()),
        spec: Scan { workgroup, reverse, width },
        params: ReduceParams { outer, len, inner, chunks, chunk_len, view, ..ReduceParams::default() },
        bindings: vec![Operand::Scratch(0), Operand::Out(0)],
        grid,
        flops: u64::from(elements),
        bytes: 4 * (sums + u64::from(elements)),
    };
    let scan = job.fused(facts, Some(fusion), u64::from(elements))?;
    if chunks == 1 {
        // The kernel binds the sums of chunks and reads none: the least that can be bound, four neighbours wide.
        return Ok(Lowered { launches: vec![scan], scratch: vec![16] });
    }
    let first = reduce::chunk_sums(&sum, chunk_len, facts, fusion, Operand::Scratch(0))?;
    Ok(Lowered { launches: vec![first, scan], scratch: vec![4 * sums] })
}
