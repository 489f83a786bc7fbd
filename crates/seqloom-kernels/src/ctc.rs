//! Connectionist temporal classification: losses of targets over all their alignments, and the gradient.
//!
//! One launch walks all steps of all sequences, because a launch for each step costs more than the step. On a CPU adapter, where an
//! invocation may not loop far, a long walk takes several launches, each of which goes on from what the one before left in
//! memory; and a workgroup is one subgroup there, for which a barrier is cheap.
//!
//! The forward variables stay, because the gradient needs them. It walks back, finds what the paths through each state have at
//! each step, and gathers that by classes, one workgroup for each step.

use seqloom_device::Facts;
use seqloom_shaders::ctc::{CtcBackward, CtcForward, CtcGradient, CtcLinks, CtcParams};

use crate::error::KernelError;
use crate::launch::{
    Job, Launch, Lowered, MOST_ITERATIONS, Operand, check_iterations, count, flat_grid, prefers_cpu, striding,
};

const OP: &str = "ctc";

/// Invocations that share the states of a sequence on a CPU adapter.
const CPU_WORKGROUP: u32 = 8;

/// Steps of a walk from one loop over the states that finds their greatest number to the next (`ctc.wgsl`).
const APART: u32 = 32;

/// Sequences of chances with one target each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Sequences, B.
    pub batch: usize,
    /// Steps of the longest, T; at least 1.
    pub time: usize,
    /// Labels of the longest target, S; at least 1.
    pub labels: usize,
    /// Classes, V; at least 1.
    pub classes: usize,
    /// The class that stands between labels.
    pub blank: u32,
    /// Makes the loss and the gradient of a target that no alignment gives 0; otherwise they are infinite and NaN.
    pub zero_infinity: bool,
}

/// Checked sizes.
struct Sizes {
    params: CtcParams,
    /// States of the longest target, 2S + 1.
    width: u32,
    /// B·T·V and B·T·(2S + 1).
    chances: u64,
    states: u64,
}

impl Problem {
    /// Nothing for no sequences.
    fn sizes(&self) -> Result<Option<Sizes>, KernelError> {
        let Self { batch, time, labels, classes, .. } = *self;
        if time == 0 || labels == 0 || self.blank as usize >= classes {
            let detail = format!(
                "{time} steps, targets of {labels} labels and class {} as the blank of {classes}",
                self.blank
            );
            return Err(KernelError::Problem { op: OP, detail });
        }
        let chances = count(OP, "log_probs", &[batch, time, classes])?;
        // Checked before it is doubled.
        count(OP, "targets", &[labels])?;
        let width = labels.saturating_mul(2).saturating_add(1);
        let states = count(OP, "alphas", &[batch, time, width])?;
        let params = CtcParams {
            batch: batch as u32,
            time: time as u32,
            labels: labels as u32,
            classes: classes as u32,
            blank: self.blank,
            ..CtcParams::default()
        };
        let sizes =
            Sizes { params, width: width as u32, chances: u64::from(chances), states: u64::from(states) };
        Ok((batch > 0).then_some(sizes))
    }

    fn shape(&self, pass: &str) -> String {
        format!("{pass} [{}, {}, {}], {} labels", self.batch, self.time, self.classes, self.labels)
    }
}

/// Invocations that share `along` states or classes.
fn shared_by(along: u32, facts: &Facts) -> u32 {
    match along {
        _ if prefers_cpu(facts) => CPU_WORKGROUP,
        0..=128 => 64,
        _ => 256,
    }
}

/// The launches of a walk over all steps: one, or on a CPU adapter as many as its invocations can loop.
fn walk(
    sizes: &Sizes,
    facts: &Facts,
    launch: impl Fn(CtcParams, u32, [u32; 3]) -> Result<Launch, KernelError>,
) -> Result<Vec<Launch>, KernelError> {
    let Sizes { params, width, .. } = *sizes;
    let workgroup = shared_by(width, facts);
    let grid = flat_grid(OP, params.batch, workgroup, facts)?;
    // The loop over states tests its end once more than it runs, and so does that over steps. Two loops more, for the greatest number,
    // turn once where they are not needed, because llvmpipe jumps over nothing.
    let step = width.div_ceil(workgroup) + 4;
    // Even a single step may be one that needs them.
    check_iterations(OP, 2 * u64::from(step), facts)?;
    let most = (MOST_ITERATIONS / step * APART / (APART + 1)).saturating_sub(2).max(1);
    let most = if prefers_cpu(facts) { most } else { params.time };
    let mut launches = Vec::new();
    let mut first = 0;
    while first < params.time {
        let end = params.time.min(first.saturating_add(most));
        launches.push(launch(CtcParams { first, end, ..params }, workgroup, grid)?);
        first = end;
    }
    Ok(launches)
}

/// `losses[b] = −ln Σ_π Π_t e^{log_probs[b, t, π_t]}` over the alignments π of `input_lengths[b]` steps that give the target, and
/// the forward variables, logarithms of the chance of what leads to each state at each step.
///
/// Bindings: `In(0)` log_probs `[B, T, V]`, `In(1)` targets `[B, S]` u32, `In(2)` input_lengths `[B]` u32, `In(3)` target_lengths
/// `[B]` u32, `Out(0)` losses `[B]`, `Out(1)` alphas `[B, T, 2S + 1]`.
///
/// # Errors
/// No step, no label or no class of the blank's number, or sizes that no kernel can number or, on a CPU adapter, walk.
pub fn lower_forward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some(sizes) = problem.sizes()? else { return Ok(Lowered::default()) };
    let impossible = if problem.zero_infinity { 0.0 } else { f32::INFINITY };
    let mut bindings: Vec<_> = (0..4).map(Operand::In).collect();
    bindings.extend([Operand::Out(0), Operand::Out(1)]);
    let launches = walk(&sizes, facts, |params, workgroup, grid| {
        let part = u64::from(params.end - params.first);
        let states = sizes.states / u64::from(params.time) * part;
        let job = Job {
            op: OP,
            shape: problem.shape("forward"),
            spec: CtcForward { workgroup },
            params: CtcParams { impossible, ..params },
            bindings: bindings.clone(),
            grid,
            flops: 10 * states,
            bytes: 4 * (sizes.chances / u64::from(params.time) * part + 2 * states),
        };
        job.plain(facts)
    })?;
    Ok(Lowered { launches, scratch: Vec::new() })
}

/// `dlog_probs[b, t, v] = −dlosses[b]·P(π_t = v | target)`: how much of the target's chance the alignments have that emit v at t; 0 past
/// the lengths.
///
/// Bindings: `In(0)` to `In(3)` as [`lower_forward`], `In(4)` alphas `[B, T, 2S + 1]`, `In(5)` dlosses `[B]`, `Out(0)` dlog_probs
/// `[B, T, V]`.
///
/// # Errors
/// As [`lower_forward`].
pub fn lower_backward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some(sizes) = problem.sizes()? else { return Ok(Lowered::default()) };
    let CtcParams { batch, time, labels, classes, .. } = sizes.params;
    let [betas, shares, links] = [0, 1, 2].map(Operand::Scratch);
    let mut bindings: Vec<_> = (0..5).map(Operand::In).collect();
    bindings.extend([betas, shares]);
    let mut launches = walk(&sizes, facts, |params, workgroup, grid| {
        let part = u64::from(params.end - params.first);
        let states = sizes.states / u64::from(time) * part;
        let job = Job {
            op: OP,
            shape: problem.shape("backward"),
            spec: CtcBackward { workgroup },
            params,
            bindings: bindings.clone(),
            grid,
            flops: 11 * states,
            bytes: 4 * (sizes.chances / u64::from(time) * part + 4 * states),
        };
        job.plain(facts)
    })?;

    let all_labels = count(OP, "targets", &[problem.batch, problem.labels])?;
    let (workgroup, grid) = striding(OP, all_labels, u64::from(labels) + 1, facts)?;
    let job = Job {
        op: OP,
        shape: problem.shape("links"),
        spec: CtcLinks { workgroup },
        params: sizes.params,
        bindings: vec![Operand::In(1), Operand::In(3), links],
        grid,
        flops: 0,
        bytes: 8 * u64::from(all_labels),
    };
    launches.push(job.plain(facts)?);

    let workgroup = shared_by(classes.max(sizes.width), facts);
    // The classes, twice the states, twice the labels with a chain for each, the chain of one class, and the trees.
    let walks = u64::from(classes.div_ceil(workgroup)) + 4 * u64::from(sizes.width.div_ceil(workgroup));
    check_iterations(OP, walks + u64::from(labels) + 100, facts)?;
    let job = Job {
        op: OP,
        shape: problem.shape("gradient"),
        spec: CtcGradient { workgroup },
        params: CtcParams { impossible: if problem.zero_infinity { 0.0 } else { f32::NAN }, ..sizes.params },
        bindings: vec![
            Operand::In(1),
            Operand::In(2),
            Operand::In(3),
            links,
            shares,
            Operand::In(5),
            Operand::Out(0),
        ],
        grid: flat_grid(OP, batch * time, workgroup, facts)?,
        flops: 3 * sizes.states,
        bytes: 4 * (sizes.chances + sizes.states),
    };
    launches.push(job.plain(facts)?);
    let scratch =
        vec![8 * u64::from(batch) * u64::from(sizes.width), 4 * sizes.states, 4 * u64::from(all_labels)];
    Ok(Lowered { launches, scratch })
}
