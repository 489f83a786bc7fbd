//! Elements picked along an axis by an index for each result, and the gradient by sorted picks.
//!
//! The gradient takes the picks sorted by the element that they took from whoever knows the indices (the host). One launch fills
//! zeros, since few elements may be picked, and another adds each picked element's sum in a fixed order, without atomics. All
//! picks may be of one element, so on a CPU adapter, where an invocation may not walk far, many picks take several launches.

use seqloom_device::Facts;
use seqloom_shaders::gather::{GatherBackward, GatherBackwardParams, GatherForward, GatherParams};

use crate::error::KernelError;
use crate::launch::{Fusion, Job, Lowered, MOST_ITERATIONS, Operand, count, prefers_cpu, striding};
use crate::{pointwise, sums};

const OP: &str = "gather";

/// Picks that the kernel of the gradient adds one by one.
const BLOCK: u32 = sums::BLOCK as u32;

/// Most picks of one backward launch on a CPU adapter: whole blocks, each with two iterations besides, and a few to spare.
const MOST_PICKS: u32 = (MOST_ITERATIONS / (BLOCK + 2) - 1) * BLOCK;

/// Picks from `[outer, len, inner]` by indices `[outer, count, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Product of the extents before the axis.
    pub outer: usize,
    /// Extent of the axis, at least 1.
    pub len: usize,
    /// Product of the extents after the axis.
    pub inner: usize,
    /// Picks along the axis.
    pub count: usize,
}

impl Problem {
    /// All picks, and the elements that they are taken from.
    fn sizes(&self) -> Result<(u32, u32), KernelError> {
        let picks = count(OP, "out", &[self.outer, self.count, self.inner])?;
        let elements = count(OP, "x", &[self.outer, self.len, self.inner])?;
        if elements == 0 && picks > 0 {
            let detail = format!("{picks} elements of an empty axis");
            return Err(KernelError::Problem { op: OP, detail });
        }
        Ok((picks, elements))
    }

    fn shape(&self) -> String {
        format!("[{}, {} of {}, {}]", self.outer, self.count, self.len, self.inner)
    }
}

/// `out[o, k, i] = x[o, index[o, k, i], i]`.
///
/// Bindings: `In(0)` x `[outer, len, inner]`, `In(1)` index `[outer, count, inner]` u32, `Out(0)` `[outer, count, inner]`.
///
/// # Errors
/// An empty axis, or sizes beyond what a kernel can number.
pub fn lower_forward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let (picks, _) = problem.sizes()?;
    if picks == 0 {
        return Ok(Lowered::default());
    }
    let (workgroup, grid) = striding(OP, picks, 0, facts)?;
    let job = Job {
        op: OP,
        shape: problem.shape(),
        spec: GatherForward { workgroup },
        params: GatherParams {
            outer: problem.outer as u32,
            len: problem.len as u32,
            inner: problem.inner as u32,
            count: problem.count as u32,
        },
        bindings: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
        grid,
        flops: 0,
        bytes: 12 * u64::from(picks),
    };
    Ok(Lowered::single(job.plain(facts)?))
}

/// `dx[places[p]] = Σ_s dy[order[s]]` for `starts[p] <= s < starts[p + 1]`, and 0 elsewhere.
///
/// Bindings: `In(0)` dy `[picks]`, `In(1)` order `[picks]` u32, `In(2)` starts `[picks + 1]` u32, `In(3)` places `[picks]` u32, each
/// element once and behind the last one the number of elements; `Out(0)` dx `[outer, len, inner]`.
///
/// # Errors
/// As [`lower_forward`].
pub fn lower_backward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let (picks, elements) = problem.sizes()?;
    let mut lowered = pointwise::lower(elements as usize, false, facts, &Fusion::zeros())?;
    let most = if prefers_cpu(facts) { MOST_PICKS } else { u32::MAX };
    // A block of picks costs two iterations more than its picks.
    let walk = u64::from(picks.min(most));
    let (workgroup, grid) = striding(OP, picks, walk + 2 * walk.div_ceil(u64::from(BLOCK)) + 1, facts)?;
    for first in (0..picks).step_by(most as usize) {
        let end = picks.min(first.saturating_add(most));
        let job = Job {
            op: OP,
            shape: problem.shape(),
            spec: GatherBackward { workgroup },
            params: GatherBackwardParams { picks, elements, first, end },
            bindings: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::Out(0)],
            grid,
            flops: u64::from(end - first),
            bytes: 4 * (2 * u64::from(end - first) + 4 * u64::from(picks)),
        };
        lowered.launches.push(job.plain(facts)?);
    }
    Ok(lowered)
}
