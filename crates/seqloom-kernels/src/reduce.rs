//! Sum, maximum, minimum or product over one axis, with a fused pointwise head.
//!
//! There are two kernels. Columns uses an invocation per result; it suits many results or results that are neighbours
//! in memory, and is the only choice on a CPU adapter. Rows uses a workgroup per result, for the last axis on a GPU.
//! Few results over a long axis would leave the device idle, so such a problem is cut into chunks whose results a
//! second launch reduces. The number of chunks depends only on the problem and the kernel, never on the load or width
//! of the device, so the order of additions, and every bit, is the same in every run.
//!
//! Why not one launch with atomics or a last-workgroup-done counter: the former adds in order of arrival, the latter
//! needs memory order between workgroups that WebGPU does not promise.

use std::collections::HashSet;
use std::fmt;

use seqloom_device::Facts;
use seqloom_shaders::reduce::{ReduceColumns, ReduceParams, ReduceRows};
use seqloom_shaders::{Spec, Width};

use crate::error::KernelError;
use crate::launch::{
    Fusion, Job, Launch, Lowered, MOST_ITERATIONS, Operand, count, flat_grid, prefers_cpu, striding, view_at,
    width,
};
use crate::sums::block;

const OP: &str = "reduce";

/// Number of results of the first launch that fill a device, for the columns kernel.
const ENOUGH_COLUMNS: usize = 4096;

/// The same in workgroups, for the rows kernel.
const ENOUGH_ROWS: usize = 256;

/// The shortest chunk worth a workgroup.
const SHORTEST_ROW: usize = 2048;

/// The shortest axis that is cut by the columns kernel.
const SHORTEST_COLUMN: usize = 64;

/// The shortest chunk that tuning tries.
const SHORTEST_CHUNK: usize = 8;

/// Invocations that share a long chunk in the rows kernel.
pub(crate) const ROW_WORKGROUP: u32 = 256;

/// The longest chunk of the columns kernel, whose invocations walk one.
const LONGEST_CHUNK: u32 = MOST_ITERATIONS - 2;

pub use seqloom_shaders::reduce::ReduceOp;

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

/// How the axis is cut: the kernel, and the number of chunks, each a result of the first of two launches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// The kernel.
    pub variant: Variant,
    /// Number of chunks, if the axis is long enough; 1 is a single launch. There are more if an invocation would add
    /// too many terms one by one, or could not walk so long a chunk.
    pub chunks: u32,
}

impl Cut {
    /// The cut that suits problem and device, as far as rules can tell.
    #[must_use]
    pub fn suited(problem: &Problem, facts: &Facts) -> Self {
        let rows = problem.inner == 1 && problem.len >= 32 && !prefers_cpu(facts);
        Self::of(if rows { Variant::Rows } else { Variant::Columns }, problem)
    }

    /// The cut that suits a kernel.
    #[must_use]
    pub fn of(variant: Variant, problem: &Problem) -> Self {
        let results = problem.outer.saturating_mul(problem.inner).max(1);
        let len = problem.len;
        let chunks = match variant {
            // The root balances the two launches, so neither walks a long axis alone.
            Variant::Columns if len >= SHORTEST_COLUMN => (ENOUGH_COLUMNS / results).min(len.isqrt()),
            Variant::Columns => 1,
            Variant::Rows => (ENOUGH_ROWS / results).min(len / SHORTEST_ROW),
        };
        // At most the constants above.
        Self { variant, chunks: chunks.max(1) as u32 }
    }

    /// Every cut worth trying on this kind of device.
    #[must_use]
    pub fn all(problem: &Problem, facts: &Facts) -> Vec<Self> {
        let rows = problem.inner == 1 && !prefers_cpu(facts);
        let variants: &[Variant] =
            if rows { &[Variant::Columns, Variant::Rows] } else { &[Variant::Columns] };
        let mut all = Vec::new();
        for &variant in variants {
            let counts = [1, 4, 16, 64, 256, 1024].map(|chunks| Self { variant, chunks });
            let worth = counts.into_iter().filter(|cut| cut.chunks as usize <= problem.len / SHORTEST_CHUNK);
            all.extend(worth.chain([Self { variant, chunks: 1 }, Self::of(variant, problem)]));
        }
        let mut seen = HashSet::new();
        all.retain(|cut| seen.insert(*cut));
        all
    }

    /// An estimate of a reduction's time, without a unit; it only serves to rule out slow cuts.
    pub(crate) fn cost(self, problem: &Problem, facts: &Facts) -> f64 {
        // Invocations that run at once, and the cost of a launch relative to reading an element.
        let (capacity, launch) = if prefers_cpu(facts) { (32.0, 500.0) } else { (32768.0, 2000.0) };
        let results = problem.outer as f64 * problem.inner as f64;
        let stage = |len: f64, chunks: f64| match self.variant {
            Variant::Columns => launch + len / chunks * (results * chunks / capacity).max(1.0),
            Variant::Rows => {
                launch + (len / chunks / 256.0 + 8.0) * (256.0 * results * chunks / capacity).max(1.0)
            }
        };
        let (len, chunks) = (problem.len as f64, f64::from(self.chunks));
        stage(len, chunks) + if self.chunks > 1 { stage(chunks, 1.0) } else { 0.0 }
    }

    /// How much of the axis one result of the first launch covers; `len` if one launch is enough. An invocation adds at
    /// most as many terms as a block of that sum has (`sums`).
    pub(crate) fn chunk_len(self, op: ReduceOp, len: u32) -> u32 {
        let chunk_len = len.div_ceil(self.chunks.clamp(1, len.max(1)));
        let sharing = if self.variant == Variant::Rows { ROW_WORKGROUP } else { 1 };
        let block = match op {
            ReduceOp::Sum => sharing.saturating_mul(block(len.div_ceil(sharing) as usize) as u32),
            // Rounding of products is relative to each, whatever the order.
            ReduceOp::Max | ReduceOp::Min | ReduceOp::Prod => len,
        };
        // On every device, so the order of additions is the same on all.
        let walkable = if self.variant == Variant::Columns { LONGEST_CHUNK } else { u32::MAX };
        chunk_len.min(block).min(walkable)
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = match self.variant {
            Variant::Columns => "columns",
            Variant::Rows => "rows",
        };
        write!(f, "{kernel} in {}", self.chunks)
    }
}

/// `out[o,i] = reduce over r of fused(0, (o·len + r)·inner + i)`, cut as suits the device.
///
/// A sum of K terms is off by at most (b + ⌈K / b⌉)·2⁻²⁴ of the sum of the terms' magnitudes, where b is 2048, or the
/// power of two beyond √K if that is larger.
///
/// Bindings: `Out(0)` `[outer, inner]` f32, `Leaf(i)` as the fusion says, `Scratch(0)` if it takes two launches. The
/// fusion's view has the extents of the head, `outer·len·inner` elements.
///
/// # Errors
/// An axis of length 0, sizes that no kernel can number, or a fusion that does not fit.
pub fn lower(problem: &Problem, facts: &Facts, fusion: &Fusion) -> Result<Lowered, KernelError> {
    lower_as(Cut::suited(problem, facts), problem, facts, fusion)
}

/// [`lower`] by a given cut.
///
/// # Errors
/// As [`lower`], and [`Variant::Rows`] if `inner` is not 1.
pub fn lower_as(cut: Cut, problem: &Problem, facts: &Facts, fusion: &Fusion) -> Result<Lowered, KernelError> {
    let variant = cut.variant;
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
    let chunk_len = cut.chunk_len(problem.op, len);
    let chunks = len.div_ceil(chunk_len);
    let width = match variant {
        Variant::Columns => width(inner, Some(fusion), facts),
        Variant::Rows => Width::One,
    };
    let view = view_at(OP, Some(fusion), width)?;
    let inner = inner / width.elements();
    let first = ReduceParams { outer, len, inner, chunks, chunk_len, view, ..ReduceParams::default() };
    let stage = |params, out| Stage { variant, width, op: problem.op, params, out };
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

/// The launch that reduces each chunk of the axis to one result, `[outer, chunks, inner]`, by the columns kernel.
pub(crate) fn chunk_sums(
    problem: &Problem,
    chunk_len: u32,
    facts: &Facts,
    fusion: &Fusion,
    out: Operand,
) -> Result<Launch, KernelError> {
    let head = count(OP, "head", &[problem.outer, problem.len, problem.inner])?;
    let [outer, len, inner] = [problem.outer, problem.len, problem.inner].map(|extent| extent as u32);
    let width = width(inner, Some(fusion), facts);
    let (view, inner) = (view_at(OP, Some(fusion), width)?, inner / width.elements());
    let chunks = len.div_ceil(chunk_len);
    let params = ReduceParams { outer, len, inner, chunks, chunk_len, view, ..ReduceParams::default() };
    Stage { variant: Variant::Columns, width, op: problem.op, params, out }
        .launch(facts, Head::Fused(fusion, head))
}

/// Where the values to reduce come from.
enum Head<'a> {
    /// The caller's fused code over this many elements.
    Fused(&'a Fusion, u32),
    /// The first launch's results, in order.
    Scratch,
}

/// One launch of a plan.
struct Stage {
    variant: Variant,
    width: Width,
    op: ReduceOp,
    /// In Values of that width.
    params: ReduceParams,
    out: Operand,
}

impl Stage {
    fn launch(self, facts: &Facts, head: Head<'_>) -> Result<Launch, KernelError> {
        let (op, width) = (self.op, self.width);
        let results = self.params.outer * self.params.chunks * self.params.inner;
        match self.variant {
            Variant::Columns => {
                let (workgroup, grid) = striding(OP, results, u64::from(self.params.chunk_len) + 1, facts)?;
                self.finish(ReduceColumns { workgroup, op, width }, grid, facts, head)
            }
            Variant::Rows => {
                let workgroup = if self.params.chunk_len <= 128 { 64 } else { ROW_WORKGROUP };
                let grid = flat_grid(OP, results, workgroup, facts)?;
                self.finish(ReduceRows { workgroup, op }, grid, facts, head)
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
        let inner = inner * self.width.elements();
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
                let head = Fusion::identity();
                let mut launch = job.reading(facts, &head.at(self.width).code, &[Operand::Scratch(0)])?;
                launch.bytes += 4 * elements;
                Ok(launch)
            }
        }
    }
}
