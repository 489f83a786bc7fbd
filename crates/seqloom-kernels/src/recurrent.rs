//! Recurrent layers over whole sequences, RNN, LSTM and GRU, forward and backward, of one length or several.
//!
//! The input's part of the pre-activations is one large product that the graph makes before, and the gradients of the
//! weights are two products after. The rest must run in the order of time. It has three forms. The step form launches a
//! kernel per step, spread over a whole GPU, because a few rows of the batch could not fill it and the order of
//! launches is the only barrier between workgroups. The CPU form does the same with a tile in the registers of one
//! subgroup. The loop form walks many steps in one launch, if the hidden state is narrow enough for a workgroup to hold
//! it and a launch costs more than a step.
//!
//! Layout of sequences: at step t sequence b has row `steps[t].start + b·stride` of every `[N, ·]` matrix, and is live
//! while b < `steps[t].count`. Full batches `[B, T, ·]` need no copy (`steps[t]` is (t, B), the stride T). Ragged ones
//! are packed: sorted by length, longest first, time-major, so nothing is computed for padding. In reverse, a sequence
//! begins at its own last step.
//!
//! Forward saves what backward reads, and backward never recomputes a product.

mod form;
mod problem;

use bytemuck::bytes_of;
use seqloom_device::Facts;
use seqloom_shaders::Spec;
use seqloom_shaders::recurrent::{
    GruBackwardCpu, GruBackwardLoop, GruBackwardStep, GruForwardCpu, GruForwardLoop, GruForwardStep,
    LstmBackwardCpu, LstmBackwardLoop, LstmBackwardStep, LstmForwardCpu, LstmForwardLoop, LstmForwardStep,
    RecurrentParams, RecurrentTail, RecurrentTailParams, RnnBackwardCpu, RnnBackwardLoop, RnnBackwardStep,
    RnnForwardCpu, RnnForwardLoop, RnnForwardStep,
};

use crate::error::KernelError;
use crate::launch::{Job, Launch, Lowered, MOST_ITERATIONS, Operand, count, lanes, stacked_grid};

pub use form::Form;
pub use problem::{Activation, Cell, Problem};
use problem::{LOOP_WORKGROUP, QUAD};

/// Rows of the batch and hidden units that a workgroup of the step form computes, and the depth of its tiles.
const STEP_ROWS: u32 = 8;
const STEP_UNITS: u32 = 16;
const STEP_DEPTH: u32 = 32;

/// Invocations of a workgroup that clears rows, and the elements that one clears.
const TAIL_WORKGROUP: u32 = 64;
const TAIL_SHARE: u32 = 1 << 16;

/// The recurrence of [`Cell`] over all steps, in the form that suits the device.
///
/// Bindings, all f32 except `steps`, u32 `[T, 2]` of (start, count):
///
/// | cell | `In(0)`, `In(1)`, ... | `Out(0)`, `Out(1)`, ... |
/// |---|---|---|
/// | RNN | x_proj `[N, H]`, w_hh `[H, H]`, h0 `[B, H]`, steps | y `[N, H]`, h_n `[B, H]`, before `[N, H]` |
/// | GRU | x_proj `[N, 3H]`, w_hh `[3H, H]`, h0, b_hn `[H]`, steps | y, h_n, before, gates `[N, 4H]`: r, z, n, m |
/// | LSTM | x_proj `[N, 4H]`, w_hh `[4H, H]`, h0, c0 `[B, H]`, steps | y, h_n, before, gates `[N, 4H]`: i, f, g, o, cells `[N, H]`, c_n `[B, H]` |
///
/// y is the state after each step, `before` the one before it; h_n and c_n are those after the step that each sequence
/// reaches last. The kernels do not check `steps`: counts start at B and never rise, and are 0 beyond the longest
/// sequence; starts follow from the counts if packed, otherwise steps are (t, B).
///
/// # Errors
/// T or H of 0, fewer rows than the sequences need, or sizes that no kernel can number or that exceed the
/// device's grid.
pub fn lower_forward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_forward_as(Form::suited(problem, facts), problem, facts)
}

/// [`lower_forward`] in a given form.
///
/// # Errors
/// As [`lower_forward`], [`Form::Cpu`] if the subgroup size is not known or H is no multiple of 4, and
/// [`Form::Loop`] if H is above 64.
pub fn lower_forward_as(form: Form, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some(plan) = Plan::new(form, Direction::Forward, problem, facts)? else {
        return Ok(Lowered::default());
    };
    let (ins, outs) = match plan.cell {
        Cell::Rnn(_) => (4, 3),
        Cell::Gru => (5, 4),
        Cell::Lstm => (5, 6),
    };
    let bindings: Vec<_> = (0..ins).map(Operand::In).chain((0..outs).map(Operand::Out)).collect();
    // h0 and h_n stand for the buffers that each launch reads h from and writes h to.
    let (prev, next) = (2, ins + 1);
    let mut launches = plan.launches(bindings, facts)?;
    let last = launches.len() - 1;
    for (i, launch) in launches.iter_mut().enumerate() {
        if i > 0 {
            launch.bindings[prev] = Operand::Scratch((i - 1) % 2);
        }
        if i < last {
            launch.bindings[next] = Operand::Scratch(i % 2);
        }
    }
    let scratch = vec![plan.state_bytes(); last.min(2)];
    launches.extend(plan.tail(Operand::In(ins - 1), &[(0, 1), (2, 1)], facts)?);
    Ok(Lowered { launches, scratch })
}

/// Gradients by back-propagation through time, in the form that suits the device.
///
/// Bindings, with `steps` and what forward saved as in [`lower_forward`]:
///
/// | cell | `In(0)`, `In(1)`, ... | `Out(0)`, `Out(1)`, ... |
/// |---|---|---|
/// | RNN | dy `[N, H]`, w_hh, steps, dh_n `[B, H]`, y | dz `[N, H]`, dh0 `[B, H]` |
/// | GRU | dy, w_hh, steps, dh_n, before, gates | dx_proj `[N, 3H]`, dh0, dh_proj `[N, 3H]` |
/// | LSTM | dy, w_hh, steps, dh_n, gates, cells, c0, dc_n `[B, H]` | dz `[N, 4H]`, dh0, dc0 `[B, H]` |
///
/// dz is the gradient of the pre-activations, which is that of x_proj; dzᵀ·before is that of w_hh. The GRU has two of
/// them, because the reset gate is between: dx_proj of x_proj, dh_proj of W·h + (0, 0, b_hn).
///
/// # Errors
/// As [`lower_forward`].
pub fn lower_backward(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_backward_as(Form::suited(problem, facts), problem, facts)
}

/// [`lower_backward`] in a given form.
///
/// # Errors
/// As [`lower_forward_as`].
pub fn lower_backward_as(form: Form, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Some(plan) = Plan::new(form, Direction::Backward, problem, facts)? else {
        return Ok(Lowered::default());
    };
    let (ins, outs, scratch) = match plan.cell {
        Cell::Rnn(_) => (5, 2, 0),
        Cell::Gru => (6, 3, 1),
        Cell::Lstm => (8, 3, 0),
    };
    let bindings = (0..ins).map(Operand::In).chain((0..outs).map(Operand::Out));
    let mut launches = plan.launches(bindings.chain((0..scratch).map(Operand::Scratch)).collect(), facts)?;
    let gates = plan.gates();
    let cleared: &[_] = if plan.cell == Cell::Gru { &[(0, gates), (2, gates)] } else { &[(0, gates)] };
    launches.extend(plan.tail(Operand::In(2), cleared, facts)?);
    Ok(Lowered { launches, scratch: vec![plan.state_bytes(); scratch] })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// A form with its sizes.
#[derive(Clone, Copy)]
enum Shape {
    Cpu { lanes: u32, rows: u32, halves: bool },
    Step,
    Loop,
}

/// A problem whose sizes have been checked.
struct Plan {
    cell: Cell,
    direction: Direction,
    shape: Shape,
    rows: u32,
    batch: u32,
    time: u32,
    hidden: u32,
    packed: bool,
    /// From the first step to the last, or in reverse.
    ascending: bool,
    grid: [u32; 3],
}

impl Plan {
    /// None for an empty batch.
    fn new(
        form: Form,
        direction: Direction,
        problem: &Problem,
        facts: &Facts,
    ) -> Result<Option<Self>, KernelError> {
        let Problem { cell, rows, batch, time, hidden, packed, reverse } = *problem;
        let op = cell.name();
        count(op, "gates", &[rows, 4, hidden])?;
        count(op, "w_hh", &[cell.gates(), hidden, hidden])?;
        count(op, "state", &[batch, hidden])?;
        count(op, "steps", &[time, 2])?;
        let refused = |detail| Err(KernelError::Problem { op, detail });
        if time == 0 || hidden == 0 {
            return refused(format!("nothing to do in {time} steps of width {hidden}"));
        }
        if batch == 0 {
            return Ok(None);
        }
        if !packed && rows != batch * time {
            return refused(format!("{rows} rows are not those of {batch} sequences of {time} steps"));
        }
        if packed && rows < batch {
            return refused(format!("{rows} rows cannot hold {batch} sequences"));
        }
        let [rows, batch, time, hidden] = [rows, batch, time, hidden].map(|size| size as u32);
        let (shape, grid) = match form {
            Form::Cpu if !hidden.is_multiple_of(QUAD as u32) => {
                return refused(format!(
                    "the form for CPUs needs H to be a multiple of {QUAD}, not {hidden}"
                ));
            }
            Form::Cpu => {
                let lanes = lanes(op, "cpu", facts)?;
                // Rows share the loads of the weights, so a tile is as tall as the batch gives work for. A ragged batch
                // shrinks: whole tiles of it fall away, and halves of the tall ones.
                let tall = match batch {
                    0..=8 => 8,
                    9..=16 => 16,
                    _ => 32,
                };
                // A workgroup costs time to start, so it gets two blocks of units with several columns each.
                let units = match (direction, cell) {
                    (Direction::Forward, Cell::Lstm | Cell::Gru) => 2 * lanes,
                    _ => 4 * lanes,
                };
                let grid = [hidden.div_ceil(units), batch.div_ceil(tall)];
                let halves = packed && tall == 32;
                (Shape::Cpu { lanes, rows: tall, halves }, grid)
            }
            Form::Step => (Shape::Step, [hidden.div_ceil(STEP_UNITS), batch.div_ceil(STEP_ROWS)]),
            Form::Loop if hidden > LOOP_WORKGROUP => {
                return refused(format!(
                    "the loop form holds {LOOP_WORKGROUP} hidden units at most, not {hidden}"
                ));
            }
            Form::Loop => (Shape::Loop, [1, batch.div_ceil(LOOP_WORKGROUP / hidden)]),
        };
        let grid = stacked_grid(op, grid, facts)?;
        let ascending = reverse != (direction == Direction::Forward);
        Ok(Some(Plan { cell, direction, shape, rows, batch, time, hidden, packed, ascending, grid }))
    }

    fn gates(&self) -> u32 {
        self.cell.gates() as u32
    }

    /// Bytes of a matrix `[B, H]`.
    fn state_bytes(&self) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.hidden)
    }

    /// The first step of each launch and how many it walks. Backward walks one more than there are, for dh0.
    fn walks(&self) -> Vec<(u32, u32)> {
        let (depth, beyond) = match self.direction {
            Direction::Forward => (self.hidden, 0),
            Direction::Backward => (self.gates() * self.hidden, 1),
        };
        let walk = match self.shape {
            Shape::Loop => (MOST_ITERATIONS / (depth + 1)).max(1),
            _ => 1,
        };
        let all = self.time + beyond;
        let starts = (0..all).step_by(walk as usize);
        let first = |done| if self.ascending { done } else { (self.time - 1).wrapping_sub(done) };
        starts.map(|done| (first(done), walk.min(all - done))).collect()
    }

    /// All launches, each with the same bindings.
    fn launches(&self, bindings: Vec<Operand>, facts: &Facts) -> Result<Vec<Launch>, KernelError> {
        // The shader is assembled once: the launches differ in their steps.
        let any = self.launch(bindings, facts)?;
        let weights = 4 * u64::from(self.gates() * self.hidden) * u64::from(self.hidden);
        let over = |(t, walk): (u32, u32)| Launch {
            label: format!("{} t={} walk={walk}", any.label, t as i32),
            immediates: bytes_of(&RecurrentParams { t, walk, ..self.params() }).to_vec(),
            flops: u64::from(walk) * any.flops,
            bytes: weights + u64::from(walk) * any.bytes,
            ..any.clone()
        };
        Ok(self.walks().into_iter().map(over).collect())
    }

    /// One step; bytes without the weights.
    fn launch(&self, bindings: Vec<Operand>, facts: &Facts) -> Result<Launch, KernelError> {
        use Direction::{Backward, Forward};
        let (rows, units, depth, workgroup) = (STEP_ROWS, STEP_UNITS, STEP_DEPTH, LOOP_WORKGROUP);
        let run = Run { plan: self, bindings, facts };
        match (self.direction, self.cell, self.shape) {
            (Forward, Cell::Rnn(a), Shape::Cpu { lanes, rows, halves }) => {
                run.with(RnnForwardCpu { activation: code(a), lanes, rows, halves })
            }
            (Forward, Cell::Rnn(a), Shape::Step) => {
                run.with(RnnForwardStep { activation: code(a), rows, units, depth })
            }
            (Forward, Cell::Rnn(a), Shape::Loop) => {
                run.with(RnnForwardLoop { activation: code(a), workgroup })
            }
            (Backward, Cell::Rnn(a), Shape::Cpu { lanes, rows, halves }) => {
                run.with(RnnBackwardCpu { activation: code(a), lanes, rows, halves })
            }
            (Backward, Cell::Rnn(a), Shape::Step) => {
                run.with(RnnBackwardStep { activation: code(a), rows, units, depth })
            }
            (Backward, Cell::Rnn(a), Shape::Loop) => {
                run.with(RnnBackwardLoop { activation: code(a), workgroup })
            }
            (Forward, Cell::Lstm, Shape::Cpu { lanes, rows, halves }) => {
                run.with(LstmForwardCpu { lanes, rows, halves })
            }
            (Forward, Cell::Lstm, Shape::Step) => run.with(LstmForwardStep { rows, units, depth }),
            (Forward, Cell::Lstm, Shape::Loop) => run.with(LstmForwardLoop { workgroup }),
            (Backward, Cell::Lstm, Shape::Cpu { lanes, rows, halves }) => {
                run.with(LstmBackwardCpu { lanes, rows, halves })
            }
            (Backward, Cell::Lstm, Shape::Step) => run.with(LstmBackwardStep { rows, units, depth }),
            (Backward, Cell::Lstm, Shape::Loop) => run.with(LstmBackwardLoop { workgroup }),
            (Forward, Cell::Gru, Shape::Cpu { lanes, rows, halves }) => {
                run.with(GruForwardCpu { lanes, rows, halves })
            }
            (Forward, Cell::Gru, Shape::Step) => run.with(GruForwardStep { rows, units, depth }),
            (Forward, Cell::Gru, Shape::Loop) => run.with(GruForwardLoop { workgroup }),
            (Backward, Cell::Gru, Shape::Cpu { lanes, rows, halves }) => {
                run.with(GruBackwardCpu { lanes, rows, halves })
            }
            (Backward, Cell::Gru, Shape::Step) => run.with(GruBackwardStep { rows, units, depth }),
            (Backward, Cell::Gru, Shape::Loop) => run.with(GruBackwardLoop { workgroup }),
        }
    }

    fn params(&self) -> RecurrentParams {
        RecurrentParams {
            batch: self.batch,
            time: self.time,
            hidden: self.hidden,
            stride: if self.packed { 1 } else { self.time },
            t: 0,
            delta: if self.ascending { 1 } else { u32::MAX },
            walk: 1,
        }
    }

    fn shape_label(&self) -> String {
        let Plan { rows, batch, time, hidden, .. } = self;
        format!("N={rows} B={batch} T={time} H={hidden}")
    }

    /// If packed, a launch for each `(output, columns in units of H)` that clears its rows past the last step's.
    fn tail(&self, steps: Operand, outs: &[(usize, u32)], facts: &Facts) -> Result<Vec<Launch>, KernelError> {
        if !self.packed {
            return Ok(Vec::new());
        }
        let clear = |&(out, columns): &(usize, u32)| {
            let width = columns * self.hidden;
            let groups = (self.rows * width).div_ceil(TAIL_SHARE).min(facts.max_grid);
            let job = Job {
                op: self.cell.name(),
                shape: self.shape_label(),
                spec: RecurrentTail { workgroup: TAIL_WORKGROUP },
                params: RecurrentTailParams { time: self.time, rows: self.rows, width },
                bindings: vec![steps, Operand::Out(out)],
                grid: [groups, 1, 1],
                flops: 0,
                bytes: 0,
            };
            job.plain(facts)
        };
        outs.iter().map(clear).collect()
    }
}

/// One launch without its kernel.
struct Run<'a> {
    plan: &'a Plan,
    bindings: Vec<Operand>,
    facts: &'a Facts,
}

impl Run<'_> {
    fn with<S: Spec<Params = RecurrentParams>>(self, spec: S) -> Result<Launch, KernelError> {
        let plan = self.plan;
        let units = u64::from(plan.batch) * u64::from(plan.hidden);
        let gates = u64::from(plan.gates());
        let job = Job {
            op: plan.cell.name(),
            shape: plan.shape_label(),
            spec,
            params: plan.params(),
            bindings: self.bindings,
            grid: plan.grid,
            // Products of H terms for every gate, and some operations on each. Either direction.
            flops: units * gates * (2 * u64::from(plan.hidden) + 5),
            // The gates are read and written once, and there are some six matrices of states.
            bytes: 4 * units * (2 * gates + 6),
        };
        job.plain(self.facts)
    }
}

/// How the kernels number activations.
fn code(activation: Activation) -> u32 {
    match activation {
        Activation::Tanh => 0,
        Activation::Relu => 1,
        Activation::Sigmoid => 2,
    }
}
