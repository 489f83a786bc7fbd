//! Sum or maximum over one axis, with a pointwise head computed on the way.
//!
//! Two kernels: columns, an invocation per result, right wherever results are many or neighbours in memory, and the
//! only choice on a CPU adapter; rows, a workgroup per result, for the last axis on a GPU. Few results over a long
//! axis would leave the device idle, so such a problem is cut into chunks whose results are reduced by a second
//! launch. The number of chunks follows from the problem and the kernel alone, never from how busy or how wide the
//! device is: the order of the additions, and so every bit, is the same in every run.
//!
//! Why not one launch with atomics or a last-workgroup-done counter: the former adds in order of arrival, the latter
//! needs memory order between workgroups that WebGPU does not promise.

use seqloom_device::Facts;
use seqloom_shaders::reduce::{ReduceColumns, ReduceParams, ReduceRows};
use seqloom_shaders::{Elem, FusedCode, Spec};

use crate::error::KernelError;
use crate::launch::{
    Fusion, Job, Launch, Lowered, MOST_ITERATIONS, Operand, count, flat_grid, prefers_cpu, striding, view,
};

const OP: &str = "reduce";

/// Results of the first launch that are enough to fill a device, for the columns kernel.
const ENOUGH_COLUMNS: u32 = 4096;

/// The same in workgroups, for the rows kernel.
const ENOUGH_ROWS: u32 = 256;

/// The shortest chunk worth a workgroup.
const SHORTEST_ROW: u32 = 2048;

/// The shortest axis that is cut by the columns kernel.
const SHORTEST_COLUMN: u32 = 64;

/// The longest chunk of the columns kernel, whose invocations walk one.
const LONGEST_CHUNK: u32 = MOST_ITERATIONS - 2;

/// What is done along the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    /// Sum.
    Sum,
    /// Maximum.
    Max,
}

/// A reduction of `[outer, len, inner]` to `[outer, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Product of the extents before the axis.
    pub outer: usize,
    /// Extent of the axis, at least 1.
    pub len: usize,
    /// Product of the extents after the axis.
    pub inner: usize,
    /// What is done along it.
    pub op: ReduceOp,
}

/// Which kernel reduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// An invocation per result.
    Columns,
    /// A workgroup per result; `inner` must be 1.
    Rows,
}

/// `out[o,i] = reduce over r of fused(0, (o·len + r)·inner + i)`, by the variant that suits the device.
///
/// Bindings: `Out(0)` `[outer, inner]` f32, `Leaf(i)` as the fusion says, `Scratch(0)` where it takes two launches.
/// The fusion's view has the extents of the head, `outer·len·inner` elements.
///
/// # Errors
/// An axis of length 0, sizes beyond what a kernel can number, or a fusion that does not fit.
pub fn lower(problem: &Problem, facts: &Facts, fusion: &Fusion) -> Result<Lowered, KernelError> {
    let rows = problem.inner == 1 && problem.len >= 32 && !prefers_cpu(facts);
    lower_as(if rows { Variant::Rows } else { Variant::Columns }, problem, facts, fusion)
}

/// [`lower`] by a given variant.
///
/// # Errors
/// As [`lower`], and [`Variant::Rows`] where `inner` is not 1.
pub fn lower_as(
    variant: Variant,
    problem: &Problem,
    facts: &Facts,
    fusion: &Fusion,
) -> Result<Lowered, KernelError> {
    let head = count(OP, "head", &[problem.outer, problem.len, problem.inner])?;
    let results = count(OP, "out", &[problem.outer, problem.inner])?;
    let (outer, len, inner) =
        (problem.outer as u32, count(OP, "axis", &[problem.len])?, problem.inner as u32);
    if len == 0 || (variant == Variant::Rows && inner != 1) {
        let detail = format!("{variant:?} cannot reduce the middle axis of [{outer}, {len}, {inner}]");
        return Err(KernelError::Problem { op: OP, detail });
    }
    if results == 0 {
        return Ok(Lowered::default());
    }
    let chunk_len = chunk_len(variant, results, len);
    let chunks = len.div_ceil(chunk_len);
    let view = view(OP, Some(fusion))?;
    let first = ReduceParams { outer, len, inner, chunks, chunk_len, view, ..ReduceParams::default() };
    let stage = |params, out| Stage { variant, op: problem.op, params, out };
    if chunks == 1 {
        let launch = stage(first, Operand::Out(0)).launch(facts, Head::Fused(fusion, head))?;
        return Ok(Lowered::single(launch));
    }
    let second =
        ReduceParams { outer, len: chunks, inner, chunks: 1, chunk_len: chunks, ..ReduceParams::default() };
    let partial = count(OP, "partial results", &[problem.outer, chunks as usize, problem.inner])?;
    Ok(Lowered {
        launches: vec![
            stage(first, Operand::Scratch(0)).launch(facts, Head::Fused(fusion, head))?,
            stage(second, Operand::Out(0)).launch(facts, Head::Scratch)?,
        ],
        scratch: vec![4 * u64::from(partial)],
    })
}

/// How much of the axis one result of the first launch covers; `len` where one launch is enough.
fn chunk_len(variant: Variant, results: u32, len: u32) -> u32 {
    let chunks = match variant {
        // The root balances the two launches: neither then walks a long axis alone.
        Variant::Columns if len >= SHORTEST_COLUMN => (ENOUGH_COLUMNS / results).min(len.isqrt()),
        Variant::Columns => 1,
        Variant::Rows => (ENOUGH_ROWS / results).min(len / SHORTEST_ROW),
    };
    let chunk_len = len.div_ceil(chunks.max(1));
    // On every device, so that the order of the additions is the same on all.
    if variant == Variant::Columns { chunk_len.min(LONGEST_CHUNK) } else { chunk_len }
}

/// Where the values to reduce come from.
enum Head<'a> {
    /// The caller's fused code over so many elements.
    Fused(&'a Fusion, u32),
    /// The first launch's results, in order.
    Scratch,
}

/// One launch of a plan.
struct Stage {
    variant: Variant,
    op: ReduceOp,
    params: ReduceParams,
    out: Operand,
}

impl Stage {
    fn launch(self, facts: &Facts, head: Head<'_>) -> Result<Launch, KernelError> {
        let max = self.op == ReduceOp::Max;
        let results = self.params.outer * self.params.chunks * self.params.inner;
        match self.variant {
            Variant::Columns => {
                let (workgroup, grid) = striding(OP, results, u64::from(self.params.chunk_len) + 1, facts)?;
                self.finish(ReduceColumns { workgroup, max }, grid, facts, head)
            }
            Variant::Rows => {
                let workgroup = if self.params.chunk_len <= 128 { 64 } else { 256 };
                let grid = flat_grid(OP, results, workgroup, facts)?;
                self.finish(ReduceRows { workgroup, max }, grid, facts, head)
            }
        }
    }

    fn finish<S: Spec<Params = ReduceParams>>(
        self,
        spec: S,
        grid: [u32; 3],
        facts: &Facts,
        head: Head<'_>,
    ) -> Result<Launch, KernelError> {
        let ReduceParams { outer, len, inner, chunks, .. } = self.params;
        let elements = u64::from(outer) * u64::from(len) * u64::from(inner);
        let written = 4 * u64::from(outer) * u64::from(chunks) * u64::from(inner);
        let job = Job {
            op: OP,
            shape: format!("{:?} [{outer}, {len}, {inner}] -> [{outer}, {chunks}, {inner}]", self.op),
            spec,
            params: self.params,
            bindings: vec![self.out],
            grid,
            flops: elements,
            bytes: written,
        };
        match head {
            Head::Fused(fusion, elements) => job.fused(facts, Some(fusion), u64::from(elements)),
            Head::Scratch => {
                let code = FusedCode { body: "    return leaf0[index];\n".into(), leaves: vec![Elem::F32] };
                let mut launch = job.reading(facts, &code, &[Operand::Scratch(0)])?;
                launch.bytes += 4 * elements;
                Ok(launch)
            }
        }
    }
}
