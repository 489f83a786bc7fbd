//! A step of an optimizer over whole arenas. The device decides the global-norm clip and the skip of steps that are not finite.
//!
//! First come partial sums of squares of every run, then one workgroup that computes the norm and the factor and counts the
//! update ([`norm`]), then the update of every run ([`update`]). The arithmetic of an update is fused code, written from what an
//! optimizer records. An arena is split into runs because a device limits the size of a binding. All runs share one norm, as in
//! PyTorch. No number of a step is in a launch: all come from the `Control` buffer and the counts, so a program can be replayed.
//!
//! Carried states belong to the step too: if a gradient or a new state value is not finite, parameters, moments, counts
//! and states stay as they were ([`keep`]).

use seqloom_device::Facts;
use seqloom_shaders::Control;
use seqloom_shaders::optimizer::{
    Accumulate, AccumulateParams, Keep, KeepParams, NormFinish, NormFinishParams, NormPartial,
    NormPartialParams, Update, UpdateParams,
};

use crate::error::KernelError;
use crate::launch::{
    Fusion, Job, Lowered, Operand, count, flat_grid, prefers_cpu, striding, view_at, width, workgroups,
};
use crate::pointwise;

const OP: &str = "optimizer";

/// Elements of a block of 256 bytes. Parameters begin at blocks, so a block belongs to one parameter.
pub const BLOCK: usize = 64;

/// Values whose squares an invocation adds one by one: few enough that the sum's relative error is at most 2048·2⁻²⁴.
const LONGEST_SUM: u32 = crate::sums::BLOCK as u32;

/// Statistics before the numbers of each parameter.
const HEAD: usize = 8;

/// Numbers of each parameter: two corrections and its updates.
const PER_PARAM: usize = 3;

/// Bytes of a `Control` and of the first statistics.
const SMALL_BYTES: u64 = (size_of::<Control>() + 4 * HEAD) as u64;

/// Buffers before the gradients: the `Control`, the members, the counts.
const BEFORE_RUNS: usize = 3;

/// Where the statistics hold a number that an update reads.
pub mod stat {
    use super::{HEAD, PER_PARAM};

    /// Factor of the gradients.
    pub const SCALE: usize = 1;
    /// The learning rate.
    pub const LR: usize = 4;

    /// Number `which` of a parameter: the two corrections, then its updates.
    #[must_use]
    pub fn of_param(param: usize, which: usize) -> usize {
        HEAD + PER_PARAM * param + which
    }
}

/// Adjacent parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// Elements, gaps between parameters included.
    pub len: usize,
    /// Number of its first block in the buffer that names the blocks' owners.
    pub first: usize,
}

/// What a step looks at before it updates anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Elements of each run of gradients, gaps between parameters included.
    pub runs: Vec<usize>,
    /// Number of the parameters that have a gradient.
    pub members: usize,
    /// Elements of each tensor that a state will carry on; the step is skipped if one of them is not finite.
    pub carried: Vec<usize>,
}

/// Elements of the statistics for a store of `params` parameters: norm of the unscaled gradients, factor applied to
/// them, 1 if the step was skipped, then numbers that only the update reads.
#[must_use]
pub fn stats_len(params: usize) -> usize {
    HEAD + PER_PARAM * params
}

/// The norm of all gradients, and what follows from it: the statistics.
///
/// Bindings, of a store of P parameters: `In(0)` the `Control`; `In(1)` `[members]` of u32, which parameters have a gradient;
/// `In(2)` `[1 + P]` of u32, applied updates of all and of each parameter, written in place; `In(3 + i)` the gradients of run i;
/// then the tensors that states will carry on. `Out(0)` [`stats_len`]. `Scratch(0)` holds the partial sums.
///
/// # Errors
/// A run that no kernel can number.
pub fn norm(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let mut lowered = Lowered::default();
    // As many partial sums as fill a device. It depends only on facts and lengths, so it is the same in every run.
    let (workgroup, most) = if prefers_cpu(facts) { (64, 16) } else { (256, 256) };
    let numbered = |what, len: usize| count(OP, what, &[len]);
    let gradients = problem.runs.iter().map(|len| (*len, true));
    let all = gradients.chain(problem.carried.iter().map(|len| (*len, false)));
    let mut partials = 0;
    for (at, (len, counts)) in all.enumerate().filter(|(_, (len, _))| *len > 0) {
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
            bindings: vec![Operand::In(BEFORE_RUNS + at), Operand::Scratch(0)],
            grid: flat_grid(OP, groups, workgroup, facts)?,
            flops: 2 * u64::from(len),
            bytes: 4 * (u64::from(len) + u64::from(groups)),
        };
        // The kernel writes a sum per workgroup of its grid, which may be rounded up.
        partials += job.grid[0] * job.grid[1];
        lowered.launches.push(job.plain(facts)?);
    }
    if problem.members == 0 || problem.runs.iter().all(|len| *len == 0) {
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
        bytes: SMALL_BYTES + 4 * u64::from(partials) + 24 * u64::from(members),
    };
    lowered.launches.push(finish.plain(facts)?);
    Ok(lowered)
}

/// The update of a run by fused code, whose value is the parameter: its one leaf is the gradient, and it keeps states.
///
/// Bindings: `In(0)` the statistics of [`norm`]; `In(1)` of u32, the parameter that each block of the arena belongs to; `In(2)` the
/// parameters; `In(3)` their gradients; `In(4 + i)` the states, written in place like the parameters.
///
/// # Errors
/// A run that no kernel can number; more states than a kernel can bind.
pub fn update(run: Run, facts: &Facts, fusion: &Fusion) -> Result<Lowered, KernelError> {
    let (len, first) = (count(OP, "run", &[run.len])?, count(OP, "blocks", &[run.first])?);
    if len == 0 {
        return Ok(Lowered::default());
    }
    let width = width(len, Some(fusion), facts);
    let items = len / width.elements();
    let (workgroup, grid) = striding(OP, items, 0, facts)?;
    let code = &fusion.at(width).code;
    // The parameters and the states are read and written.
    let arrays = 2 + code.leaves.len() + 2 * code.states;
    let block = BLOCK as u32 / width.elements();
    let update = Job {
        op: OP,
        shape: len.to_string(),
        spec: Update { workgroup, width },
        params: UpdateParams {
            len: items,
            first,
            block,
            view: view_at(OP, Some(fusion), width)?,
            ..UpdateParams::default()
        },
        bindings: (0..3).map(Operand::In).collect(),
        grid,
        flops: 4 * arrays as u64 * u64::from(len),
        bytes: SMALL_BYTES + 4 * arrays as u64 * u64::from(len),
    };
    let behind: Vec<_> = (3..3 + code.leaves.len() + code.states).map(Operand::In).collect();
    Ok(Lowered::single(update.reading(facts, code, &behind)?))
}

/// Makes a sum of `len` elements 0.
///
/// Bindings: `Out(0)` the sum.
///
/// # Errors
/// A sum that no kernel can number.
pub fn clear(len: usize, facts: &Facts) -> Result<Lowered, KernelError> {
    pointwise::lower(len, false, facts, &Fusion::zeros())
}

/// Adds the gradients of a run of `len` elements, times the `Control`'s share, to the sum of those of several batches.
///
/// Bindings: `In(0)` the `Control`, `In(1)` the gradients, `In(2)` the sum, written in place.
///
/// # Errors
/// A run that no kernel can number.
pub fn accumulate(len: usize, facts: &Facts) -> Result<Lowered, KernelError> {
    let len = count(OP, "run", &[len])?;
    if len == 0 {
        return Ok(Lowered::default());
    }
    let width = width(len, None, facts);
    let items = len / width.elements();
    let (workgroup, grid) = striding(OP, items, 0, facts)?;
    let job = Job {
        op: OP,
        shape: len.to_string(),
        spec: Accumulate { workgroup, width },
        params: AccumulateParams { len: items },
        bindings: (0..3).map(Operand::In).collect(),
        grid,
        flops: 2 * u64::from(len),
        bytes: SMALL_BYTES + 12 * u64::from(len),
    };
    Ok(Lowered::single(job.plain(facts)?))
}

/// A state of `len` elements takes its new values, unless the step was skipped.
///
/// Bindings: `In(0)` the statistics of [`norm`], `In(1)` the new values, `Out(0)` the state.
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
