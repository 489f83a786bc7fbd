//! Strided copies: slices, flips, pads, transposes and broadcasts that must lie in memory, and appending rows to a cache.
//!
//! One kernel with numbers does the copies. Most views never come here, because fused code reads through strides
//! itself.

use seqloom_device::Facts;
use seqloom_shaders::Width;
use seqloom_shaders::view::{Append, AppendPair, AppendParams, Gather, GatherParams};

use crate::error::KernelError;
use crate::launch::{Job, Lowered, Operand, count, prefers_cpu, striding};

const OP: &str = "view";

/// A window of the output that reads its input by strides; the rest of the output is `fill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Extents of the output, outermost first, 1 where unused.
    pub dims: [u32; 4],
    /// Element strides of the input along each axis of the output; 0 repeats, a negative one goes back.
    pub strides: [i32; 4],
    /// The window's start on each axis of the output.
    pub lo: [u32; 4],
    /// The window's extent on each axis; the part beyond the output is ignored.
    pub extent: [u32; 4],
    /// Index of the input element at the window's first corner.
    pub offset: u32,
    /// Bits of what stands outside the window.
    pub fill: u32,
}

impl Problem {
    /// All `len` elements as they are.
    #[must_use]
    pub fn copy(len: usize) -> Self {
        let dims = [1, 1, 1, u32::try_from(len).unwrap_or(u32::MAX)];
        Self { dims, strides: [0, 0, 0, 1], lo: [0; 4], extent: dims, offset: 0, fill: 0 }
    }

    /// The same copy of tensors whose elements are fours, if the window's rows are multiples of four in both.
    fn fours(&self) -> Option<Self> {
        let quarter = |size: u32| size.is_multiple_of(4).then_some(size / 4);
        let last = |[a, b, c, d]: [u32; 4]| Some([a, b, c, quarter(d)?]);
        let quarter_stride = |stride: i32| (stride % 4 == 0).then_some(stride / 4);
        let [a, b, c, 1] = self.strides else { return None };
        // Along an axis of one element the stride does not matter.
        let far =
            |axis: usize, stride: i32| if self.dims[axis] > 1 { quarter_stride(stride) } else { Some(0) };
        Some(Self {
            dims: last(self.dims)?,
            strides: [far(0, a)?, far(1, b)?, far(2, c)?, 1],
            lo: last(self.lo)?,
            extent: last(self.extent)?,
            offset: quarter(self.offset)?,
            fill: self.fill,
        })
    }
}

/// `out[p] = lo <= p < lo + extent on all axes ? x[offset + (p - lo)·strides] : fill`, as copies of 32-bit words.
///
/// Bindings: `In(0)` the input, f32 or u32; `Out(0)` `[dims]` of the same type.
///
/// # Errors
/// An output, or an index of the input, that no kernel can number.
pub fn lower(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let dims = problem.dims.map(|dim| dim as usize);
    let len = count(OP, "out", &dims)?;
    if len == 0 {
        return Ok(Lowered::default());
    }
    let (mut read, mut last) = (4u64, u64::from(problem.offset));
    for axis in 0..4 {
        let inside = problem.dims[axis].saturating_sub(problem.lo[axis]).min(problem.extent[axis]);
        read *= u64::from(inside);
        // Strides that go back lead to lesser addresses than the offset, which the operand holds.
        let forward = u64::from(problem.strides[axis].max(0).unsigned_abs());
        last = last.saturating_add(u64::from(inside.saturating_sub(1)).saturating_mul(forward));
    }
    count(OP, "address in the input", &[usize::try_from(last).unwrap_or(usize::MAX)])?;
    let (width, words) = match problem.fours() {
        Some(fours) if prefers_cpu(facts) => (Width::Four, fours),
        _ => (Width::One, *problem),
    };
    let items = len / width.elements();
    let (workgroup, grid) = striding(OP, items, 0, facts)?;
    let job = Job {
        op: OP,
        shape: format!("{dims:?}"),
        spec: Gather { workgroup, width },
        params: GatherParams {
            dims: words.dims,
            strides: words.strides.map(i32::cast_unsigned),
            lo: words.lo,
            extent: words.extent,
            len: items,
            offset: words.offset,
            fill: words.fill,
            ..GatherParams::default()
        },
        bindings: vec![Operand::In(0), Operand::Out(0)],
        grid,
        flops: 0,
        bytes: read + 4 * u64::from(len),
    };
    Ok(Lowered::single(job.plain(facts)?))
}

/// New rows for the sequences of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppendProblem {
    /// B.
    pub batch: usize,
    /// S, rows that the cache holds of each sequence.
    pub keys: usize,
    /// T, new rows of each sequence; at most S.
    pub time: usize,
    /// C.
    pub channels: usize,
    /// Where the result lies.
    pub target: AppendTarget,
}

/// The destination of new rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppendTarget {
    /// A copy of the cache.
    Copy,
    /// The cache itself: the result is written over it.
    InPlace,
    /// Two caches themselves, each with its own rows, which begin at the same positions.
    PairInPlace,
}

/// `out = cache` with `out[b, first[b] + t] = rows[b, t]`, as copies of 32-bit words.
///
/// Bindings: `In(0)` cache `[B, S, C]`, `In(1)` rows `[B, T, C]`, `In(2)` first `[B]` u32, `Out(0)` `[B, S, C]`; in place
/// `In(0)` is not bound. Of a pair, `In(3)`, `In(4)` and `Out(1)` are the second's cache, rows and result.
///
/// # Errors
/// More new rows than the cache holds, or sizes that no kernel can number.
pub fn lower_append(problem: &AppendProblem, facts: &Facts) -> Result<Lowered, KernelError> {
    let AppendProblem { batch, keys, time, channels, target } = *problem;
    let op = "append";
    if time > keys {
        return Err(KernelError::Problem { op, detail: format!("{time} new rows for a cache of {keys}") });
    }
    let all = count(op, "cache", &[batch, keys, channels])?;
    // The sum that the kernel computes before it sees that a row is beyond the end.
    count(op, "end of a sequence", &[keys + time, channels])?;
    let len = count(op, "rows", &[batch, time, channels])?;
    let mut lowered = match target {
        AppendTarget::Copy => lower(&Problem::copy(all as usize), facts)?,
        AppendTarget::InPlace | AppendTarget::PairInPlace => Lowered::default(),
    };
    if len == 0 {
        return Ok(lowered);
    }
    let [keys, time, channels] = [keys, time, channels].map(|size| size as u32);
    let (workgroup, grid) = striding(op, len, 0, facts)?;
    let shape = format!("B={batch} S={keys} T={time} C={channels}");
    let params = AppendParams { len, keys, time, channels };
    let moved = |caches: u64| caches * 8 * u64::from(len) + 4 * batch as u64;
    let launch = if target == AppendTarget::PairInPlace {
        let [ins, outs] = [[1, 4, 2].map(Operand::In).to_vec(), [0, 1].map(Operand::Out).to_vec()];
        let (spec, bindings, bytes) = (AppendPair { workgroup }, [ins, outs].concat(), moved(2));
        Job { op, shape, spec, params, bindings, grid, flops: 0, bytes }.plain(facts)?
    } else {
        let bindings = vec![Operand::In(1), Operand::In(2), Operand::Out(0)];
        let (spec, bytes) = (Append { workgroup }, moved(1));
        Job { op, shape, spec, params, bindings, grid, flops: 0, bytes }.plain(facts)?
    };
    lowered.launches.push(launch);
    Ok(lowered)
}
