//! The LSTM over whole sequences, forward and backward, with a length for each sequence.
//!
//! The input's part of the gates is one large product that the graph makes beforehand, and the gradients of the
//! weights are three afterwards; what is left is the part that time forces into an order. It has two forms. The loop is
//! for CPU adapters: a subgroup owns some rows of the batch and shares a step's loads in registers. Where H is small it
//! walks many steps in a launch, which costs more than a step; else a launch is one step and several subgroups share
//! out the hidden units, so that tiles are tall, all cores work and no barrier is needed. The steps are one launch
//! each, spread over the whole device: on a GPU a few rows of the batch could not fill it, and the order of launches is
//! the only barrier between workgroups that exists.
//!
//! Forward saves the activated gates and the cells; backward reads those and never recomputes a product.

use bytemuck::bytes_of;
use seqloom_device::Facts;
use seqloom_shaders::Spec;
use seqloom_shaders::recurrent::{
    LstmBackwardLoop, LstmBackwardStep, LstmForwardLoop, LstmForwardStep, LstmLoopParams, LstmStepParams,
};

use crate::error::KernelError;
use crate::launch::{Job, Launch, Lowered, Operand, count, grid, lanes, prefers_cpu};

const OP: &str = "lstm";

/// Rows of the batch and hidden units that a workgroup of the step form computes, and the depth of its tiles.
const STEP_ROWS: u32 = 8;
const STEP_UNITS: u32 = 16;
const STEP_DEPTH: u32 = 32;

/// Hidden states narrower than this take many steps in a launch of the loop form: a step is then shorter than a launch.
const NARROW: u32 = 64;

/// Iterations of all loops together that an invocation of the loop form may make. llvmpipe leaves every loop, without a
/// word, after 65535 of them in one invocation; nested loops count as one.
const MAX_ITERATIONS: u32 = 60_000;

/// A batch of sequences through one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// B.
    pub batch: usize,
    /// T, at least 1.
    pub time: usize,
    /// H, at least 1.
    pub hidden: usize,
}

/// How time is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// By subgroups that own some rows of the batch, many steps in a launch where H is small. Needs a known subgroup
    /// size.
    Loop,
    /// By one launch per step.
    Step,
}

impl Form {
    /// The form that suits the device.
    fn suited(facts: &Facts) -> Self {
        if prefers_cpu(facts) { Form::Loop } else { Form::Step }
    }
}

/// `z = x_proj + h·W_hhᵀ; i,f,o = σ(z), g = tanh(z); c' = f·c + i·g; h' = o·tanh(c')`, in the form that suits the
/// device.
///
/// Bindings: `In(0)` x_proj `[B, T, 4H]`, `In(1)` w_hh `[4H, H]`, `In(2)` h0 and `In(3)` c0 `[B, H]`, `In(4)` lengths
/// `[B]` u32 in 0..=T; `Out(0)` y `[B, T, H]`, `Out(1)` gates `[B, T, 4H]` after their activations, in the order
/// i, f, g, o, `Out(2)` cells `[B, T, H]`, `Out(3)` h_n and `Out(4)` c_n `[B, H]`. Padded steps get zeros; h_n and c_n
/// are the states after each sequence's last true step.
///
/// # Errors
/// T or H of 0, or sizes beyond what a kernel can number or the device's grid can hold.
pub fn lower_forward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_forward_as(Form::suited(facts), problem, facts)
}

/// [`lower_forward`] in a given form.
///
/// # Errors
/// As [`lower_forward`], and [`Form::Loop`] where the subgroup size is not known.
pub fn lower_forward_as(form: Form, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some(plan) = Plan::new(problem, 5, 5)? else { return Ok(Lowered::default()) };
    match form {
        Form::Loop => {
            let lanes = lanes(OP, "loop", facts)?;
            // Two blocks of units to a workgroup, since a workgroup has a cost of its own.
            let walk = plan.walk(lanes, 2 * lanes, 2 * plan.hidden);
            let rows = walk.rows;
            let mut lowered = plan.by_range(
                LstmForwardLoop { lanes, rows, first: true, many: false },
                &walk,
                vec![(0, 1)],
                facts,
            )?;
            let ranges = (1..plan.time).step_by(walk.steps as usize);
            let ranges = ranges.map(|t| (t, walk.steps.min(plan.time - t))).collect();
            let rest = plan.by_range(
                LstmForwardLoop { lanes, rows, first: false, many: walk.many() },
                &walk,
                ranges,
                facts,
            )?;
            lowered.launches.extend(rest.launches);
            Ok(lowered)
        }
        Form::Step => {
            let spec = LstmForwardStep { rows: STEP_ROWS, units: STEP_UNITS, depth: STEP_DEPTH };
            plan.by_step(spec, 0..plan.time, facts)
        }
    }
}

/// Gradients of the pre-activations and of c0 by back-propagation through time, in the form that suits the device.
///
/// `dh = dy[t] + dz[t+1]·W_hh`, plus dh_n (and dc_n into dc) at each sequence's last true step.
///
/// Bindings: `In(0)` dy `[B, T, H]`, `In(1)` w_hh, `In(2)` gates, `In(3)` cells, `In(4)` c0, `In(5)` lengths as in
/// [`lower_forward`], `In(6)` dh_n and `In(7)` dc_n `[B, H]`; `Out(0)` dz `[B, T, 4H]`, 0 on padded steps, `Out(1)` dc0
/// `[B, H]`. The gradients of x_proj (dz itself), w_hh and h0 follow from dz by products.
///
/// # Errors
/// As [`lower_forward`].
pub fn lower_backward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_backward_as(Form::suited(facts), problem, facts)
}

/// [`lower_backward`] in a given form.
///
/// # Errors
/// As [`lower_forward_as`].
pub fn lower_backward_as(form: Form, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some(plan) = Plan::new(problem, 8, 2)? else { return Ok(Lowered::default()) };
    match form {
        Form::Loop => {
            let lanes = lanes(OP, "loop", facts)?;
            let walk = plan.walk(lanes, 4 * lanes, 4 * plan.hidden);
            let ranges = (0..plan.time).step_by(walk.steps as usize);
            let ranges =
                ranges.map(|done| (plan.time - 1 - done, walk.steps.min(plan.time - done))).collect();
            plan.by_range(
                LstmBackwardLoop { lanes, rows: walk.rows, many: walk.many() },
                &walk,
                ranges,
                facts,
            )
        }
        Form::Step => {
            let spec = LstmBackwardStep { rows: STEP_ROWS, units: STEP_UNITS, depth: STEP_DEPTH };
            plan.by_step(spec, (0..plan.time).rev(), facts)
        }
    }
}

/// How the loop form shares out the batch, the hidden units and the steps.
struct Walk {
    /// Rows of the batch that a workgroup owns.
    rows: u32,
    /// Workgroups that share the hidden units.
    groups: u32,
    /// Steps of a launch; 1 where there are several groups.
    steps: u32,
}

impl Walk {
    /// Whether steps of one launch follow each other.
    fn many(&self) -> bool {
        self.groups == 1 && self.steps > 1
    }
}

/// A problem whose sizes have been checked.
struct Plan {
    batch: u32,
    time: u32,
    hidden: u32,
    bindings: Vec<Operand>,
    /// Of one step.
    flops: u64,
    /// Of one step, the weights included.
    bytes: u64,
    /// Of the weights.
    weight_bytes: u64,
}

impl Plan {
    /// None for an empty batch.
    fn new(problem: &Problem, ins: usize, outs: usize) -> Result<Option<Self>, KernelError> {
        let Problem { batch, time, hidden } = *problem;
        count(OP, "gates", &[batch, time, 4, hidden])?;
        let weights = count(OP, "w_hh", &[4, hidden, hidden])?;
        if time == 0 || hidden == 0 {
            let detail = format!("nothing to do in {time} steps of width {hidden}");
            return Err(KernelError::Problem { op: OP, detail });
        }
        if batch == 0 {
            return Ok(None);
        }
        let [batch, time, hidden] = [batch, time, hidden].map(|size| size as u32);
        let units = u64::from(batch) * u64::from(hidden);
        let weight_bytes = 4 * u64::from(weights);
        Ok(Some(Plan {
            batch,
            time,
            hidden,
            bindings: (0..ins).map(Operand::In).chain((0..outs).map(Operand::Out)).collect(),
            // Four gates of H terms, and some twenty operations on each unit. Either direction.
            flops: units * (8 * u64::from(hidden) + 20),
            // Four gates read or written on either side, two sequences of states, the state.
            bytes: weight_bytes + 4 * units * 14,
            weight_bytes,
        }))
    }

    /// How the loop form walks, where a workgroup's share is `units` hidden units and they sum over `depth` terms.
    fn walk(&self, lanes: u32, units: u32, depth: u32) -> Walk {
        let shares = self.hidden.div_ceil(units);
        if self.hidden >= NARROW {
            // Rows share the loads of the weights, so a tile is as tall as the batch gives work for.
            let rows = match self.batch {
                0..=8 => 8,
                9..=16 => 16,
                _ => 32,
            };
            return Walk { rows, groups: shares, steps: 1 };
        }
        // Only rows are shared out: more of them share more loads, fewer leave more workgroups.
        let rows = if self.batch > 8 { 16 } else { 8 };
        let iterations = shares * (depth.div_ceil(lanes.min(8)) + 2 * lanes + 4 * rows + 8) + 1;
        Walk { rows, groups: 1, steps: (MAX_ITERATIONS / iterations).max(1) }
    }

    /// A launch for each `(t, steps)`.
    fn by_range<S>(
        &self,
        spec: S,
        walk: &Walk,
        ranges: Vec<(u32, u32)>,
        facts: &Facts,
    ) -> Result<Lowered, KernelError>
    where
        S: Spec<Params = LstmLoopParams>,
    {
        let Plan { batch, time, hidden, .. } = *self;
        let job = Job {
            op: OP,
            shape: format!("B={batch} T={time} H={hidden}"),
            spec,
            params: LstmLoopParams { batch, time, hidden, t: 0, steps: 1 },
            bindings: self.bindings.clone(),
            grid: grid(OP, [walk.groups, batch.div_ceil(walk.rows), 1], facts)?,
            flops: self.flops,
            bytes: self.bytes,
        };
        // The shader is assembled once: the launches differ in their range.
        let any = job.plain(facts)?;
        let over = |(t, steps)| Launch {
            label: format!("{} t={t} steps={steps}", any.label),
            immediates: bytes_of(&LstmLoopParams { batch, time, hidden, t, steps }).to_vec(),
            flops: u64::from(steps) * self.flops,
            bytes: self.weight_bytes + u64::from(steps) * (self.bytes - self.weight_bytes),
            ..any.clone()
        };
        Ok(Lowered { launches: ranges.into_iter().map(over).collect(), scratch: Vec::new() })
    }

    fn by_step<S>(
        &self,
        spec: S,
        steps: impl Iterator<Item = u32>,
        facts: &Facts,
    ) -> Result<Lowered, KernelError>
    where
        S: Spec<Params = LstmStepParams>,
    {
        let Plan { batch, time, hidden, .. } = *self;
        let job = Job {
            op: OP,
            shape: format!("B={batch} T={time} H={hidden}"),
            spec,
            params: LstmStepParams { batch, time, hidden, t: 0 },
            bindings: self.bindings.clone(),
            grid: grid(OP, [hidden.div_ceil(STEP_UNITS), batch.div_ceil(STEP_ROWS), 1], facts)?,
            flops: self.flops,
            bytes: self.bytes,
        };
        // The shader is assembled once: the steps differ in one number.
        let any = job.plain(facts)?;
        let at = |t| Launch {
            label: format!("{} t={t}", any.label),
            immediates: bytes_of(&LstmStepParams { batch, time, hidden, t }).to_vec(),
            ..any.clone()
        };
        Ok(Lowered { launches: steps.map(at).collect(), scratch: Vec::new() })
    }
}
