//! AdamW over whole arenas. The device decides the global-norm clip and the skip of steps that are not finite.
//!
//! There are three kernels: partial sums of squares of every run, one workgroup that computes the norm and the factor
//! and counts the update, and the update of every run. An arena is split into runs because a device limits the size of
//! a binding. All runs share one norm, as in PyTorch. No number of a step is in a launch: all come from the `Control`
//! buffer and the counts, so a program can be replayed.
//!
//! Carried states belong to the step too: if a gradient or a new state value is not finite, parameters, moments, counts
//! and states stay as they were ([`keep`]).

use seqloom_device::Facts;
use seqloom_shaders::optimizer::{
    AdamW, AdamWParams, Keep, KeepParams, NormFinish, NormFinishParams, NormPartial, NormPartialParams,
};

use crate::error::KernelError;
use crate::launch::{Job, Lowered, Operand, count, flat_grid, prefers_cpu, striding, width, workgroups};

const OP: &str = "optimizer";

/// Elements of a block of 256 bytes. Parameters begin at blocks, so a block belongs to one parameter.
pub const BLOCK: usize = 64;

/// Values whose squares an invocation adds one by one: few enough that the sum's relative error is at most 2048·2⁻²⁴.
const LONGEST_SUM: u32 = crate::sums::BLOCK as u32;

/// Statistics before the corrections of each parameter.
const HEAD: usize = 8;

/// Bytes of a `Control` and of the first statistics.
const SMALL_BYTES: u64 = 64 + 4 * HEAD as u64;

/// Buffers of one run: gradients, parameters, both moments, and the blocks' owners.
const PER_RUN: usize = 5;

/// Buffers before those of the runs: the `Control`, the members, the counts.
const BEFORE_RUNS: usize = 3;

/// Adjacent parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// Elements, gaps between parameters included.
    pub len: usize,
    /// Number of its first block in the buffer that names the blocks' owners.
    pub first: usize,
}

/// What a step updates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The parameters that have a gradient.
    pub runs: Vec<Run>,
    /// Their number.
    pub members: usize,
    /// Elements of each tensor that a state will carry on; the step is skipped if one of them is not finite.
    pub carried: Vec<usize>,
}

/// Elements of the statistics for a store of `params` parameters: norm of the unscaled gradients, factor applied to
/// them, 1 if the step was skipped, then numbers that only the update reads.
#[must_use]
pub fn stats_len(params: usize) -> usize {
    HEAD + 2 * params
}

/// One step of AdamW.
///
/// Bindings, of a store of P parameters: `In(0)` the `Control`; `In(1)` `[members]` of u32, which parameters have a gradient;
/// `In(2)` `[1 + P]` of u32, applied updates of all and of each parameter, written in place; of run i `In(3 + 5i)` gradients,
/// `In(4 + 5i)` parameters, `In(5 + 5i)` and `In(6 + 5i)` first and second moment, the last three written in place, and
/// `In(7 + 5i)` of u32, the parameter that each block of the arena belongs to; then the tensors that states will carry on.
/// `Out(0)` [`stats_len`]. `Scratch(0)` holds the partial sums.
///
/// # Errors
/// A run that no kernel can number.
pub fn lower(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let mut lowered = Lowered::default();
    // As many partial sums as fill a device. It depends only on facts and lengths, so it is the same in every run.
    let (workgroup, most) = if prefers_cpu(facts) { (64, 16) } else { (256, 256) };
    let numbered = |what, len: usize| count(OP, what, &[len]);
    let carried_at = BEFORE_RUNS + PER_RUN * problem.runs.len();
    let gradients =
        problem.runs.iter().enumerate().map(|(i, run)| (BEFORE_RUNS + PER_RUN * i, run.len, true));
    let carried = problem.carried.iter().enumerate().map(|(i, len)| (carried_at + i, *len, false));
    let mut partials = 0;
    for (at, len, counts) in gradients.chain(carried).filter(|(_, len, _)| *len > 0) {
        let len = numbered("run", len)?;
        let width = width(len, None, facts);
        let items = len / width.elements();
        // New state values are not part of the norm, but make it infinite if they are not finite.
        let parts = if counts { width.elements() as f32 } else { 0.0 };
        let most = most.max(items.div_ceil(workgroup * LONGEST_SUM));
        let groups = workgroups(OP, items, 0, (workgroup, most), facts)?;
        let job = Job {
            op: OP,
            shape: len.to_string(),
            spec: NormPartial { workgroup, width },
            params: NormPartialParams { len: items, offset: partials, parts },
            bindings: vec![Operand::In(at), Operand::Scratch(0)],
            grid: flat_grid(OP, groups, workgroup, facts)?,
            flops: 2 * u64::from(len),
            bytes: 4 * (u64::from(len) + u64::from(groups)),
        };
        // The kernel writes a sum per workgroup of its grid, which may be rounded up.
        partials += job.grid[0] * job.grid[1];
        lowered.launches.push(job.plain(facts)?);
    }
    if problem.members == 0 || problem.runs.iter().all(|run| run.len == 0) {
        return Ok(Lowered::default());
    }
    lowered.scratch.push(4 * u64::from(partials));
    let members = numbered("parameters", problem.members)?;
    let finish = Job {
        op: OP,
        shape: partials.to_string(),
        spec: NormFinish { workgroup },
        params: NormFinishParams { count: partials, members },
        bindings: vec![Operand::In(0), Operand::Scratch(0), Operand::In(1), Operand::In(2), Operand::Out(0)],
        grid: [1, 1, 1],
        flops: u64::from(partials),
        bytes: SMALL_BYTES + 4 * u64::from(partials) + 20 * u64::from(members),
    };
    lowered.launches.push(finish.plain(facts)?);
    for (i, run) in problem.runs.iter().enumerate().filter(|(_, run)| run.len > 0) {
        let (len, first) = (numbered("run", run.len)?, numbered("blocks", run.first)?);
        let width = width(len, None, facts);
        let items = len / width.elements();
        let (workgroup, grid) = striding(OP, items, 0, facts)?;
        let own = BEFORE_RUNS + PER_RUN * i;
        let mut bindings = vec![Operand::In(0), Operand::Out(0), Operand::In(own + PER_RUN - 1)];
        bindings.extend((own..own + PER_RUN - 1).map(Operand::In));
        let update = Job {
            op: OP,
            shape: len.to_string(),
            spec: AdamW { workgroup, width },
            params: AdamWParams { len: items, first, block: BLOCK as u32 / width.elements() },
            bindings,
            grid,
            flops: 16 * u64::from(len),
            bytes: SMALL_BYTES + 28 * u64::from(len),
        };
        lowered.launches.push(update.plain(facts)?);
    }
    Ok(lowered)
}

/// A state of `len` elements takes its new values, unless the step was skipped.
///
/// Bindings: `In(0)` the statistics of [`lower`], `In(1)` the new values, `Out(0)` the state.
///
/// # Errors
/// A state that no kernel can number.
pub fn keep(len: usize, facts: &Facts) -> Result<Lowered, KernelError> {
    let len = count(OP, "state", &[len])?;
    let width = width(len, None, facts);
    let items = len / width.elements();
    let (workgroup, grid) = striding(OP, items, 0, facts)?;
    let job = Job {
        op: OP,
        shape: len.to_string(),
        spec: Keep { workgroup, width },
        params: KeepParams { len: items },
        bindings: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
        grid,
        flops: 0,
        bytes: SMALL_BYTES + 8 * u64::from(len),
    };
    Ok(Lowered::single(job.plain(facts)?))
}
