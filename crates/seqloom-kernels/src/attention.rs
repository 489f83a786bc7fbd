//! Attention: softmax(q·kᵀ·scale + terms)·v, forward and backward, with memory that grows with T and not with T².
//!
//! Forward walks the keys with a running maximum and sum and keeps, besides the result, one number a query: the logarithm
//! of its sum. From that number any weight can be had again, so backward stores none either. It is three problems of
//! their own, since no kernel can sum over queries and over keys at once without atomics: the queries' gradient (with
//! that of the terms by distance), the keys' and values', and the bias's. All need `delta`, the row sums of dout∘out.
//!
//! Masks are bounds of loops; whole tiles outside them are never visited. A query that attends to nothing gets 0.
//!
//! Two variants, as everywhere: one subgroup with tiles in registers for CPU adapters, tiles in workgroup memory for GPUs.
//! The former is bounded by what llvmpipe lets one invocation iterate, so long sums over heads are several launches.

use bytemuck::bytes_of;
use seqloom_device::Facts;
use seqloom_shaders::attention::{
    AttentionBias, AttentionBiasCpu, AttentionForward, AttentionForwardCpu, AttentionKey, AttentionKeyCpu,
    AttentionParams, AttentionQuery, AttentionQueryCpu,
};
use seqloom_shaders::{Elem, FusedCode, Spec};

use crate::error::KernelError;
use crate::launch::{Fusion, Job, Launch, Lowered, Operand, count, grid, lanes, prefers_cpu};
use crate::reduce::{self, ReduceOp};

const OP: &str = "attention";

/// Iterations of all loops together that an invocation of the CPU variant may make. llvmpipe leaves every loop, without a
/// word, after 65535 of them in one invocation; nested loops count as one.
const MAX_ITERATIONS: u64 = 60_000;

/// Farthest position and distance: sums of three of them stay within i32.
const FAR: usize = 1 << 29;

/// Rows that a GPU's workgroup owns and walks at a time, and channels of its result.
const SIDE: u32 = 32;
const CHANNELS: u32 = 64;

/// How q, k, v, the result and their gradients lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[B, T, H, D]`, as a projection to H·D channels leaves them.
    TimeFirst,
    /// `[B, H, T, D]`.
    HeadsFirst,
}

/// Where query 0 stands among the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// At this key.
    At(usize),
    /// So that the last query stands at the last key of its row's length; needs lengths.
    AtEnd,
}

/// An additive bias `[B or 1, H or 1, Tq, Tk]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bias {
    /// Every batch row has its own.
    pub batched: bool,
    /// Every head has its own.
    pub per_head: bool,
}

/// Weights that are dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability to keep a weight, above 0 and at most 1.
    pub keep: f32,
    /// Which of the step's random numbers decide: element ((b·H + h)·Tq + i)·Tk + j of this stream.
    pub stream: u32,
}

/// An attention of every head of every batch row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Problem {
    /// B.
    pub batch: usize,
    /// H.
    pub heads: usize,
    /// Hkv, a divisor of H: key head h serves the query heads from h·H/Hkv on.
    pub key_heads: usize,
    /// Tq.
    pub queries: usize,
    /// Tk.
    pub keys: usize,
    /// D, at least 1.
    pub width: usize,
    /// Dv, at least 1.
    pub value_width: usize,
    /// How operands and results lie.
    pub layout: Layout,
    /// Factor of the products q·k.
    pub scale: f32,
    /// Positions of the queries.
    pub start: Start,
    /// A query at position p attends to key j only if j ≥ p − before.
    pub before: Option<usize>,
    /// And only if j ≤ p + after.
    pub after: Option<usize>,
    /// Rows have lengths: only keys below its length count.
    pub lengths: bool,
    /// A bias is added to the scores.
    pub bias: Option<Bias>,
    /// Column 0 of `distance` holds slopes: −slope·|j − p| is added to the scores.
    pub slopes: bool,
    /// R: the last 2R+1 columns of `distance` hold terms to add, that of j − p clamped to −R..=R.
    pub radius: Option<usize>,
    /// Weights are dropped.
    pub dropout: Option<Dropout>,
}

/// Which kernels attend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// One subgroup per workgroup, no workgroup memory; needs a known subgroup size.
    Cpu,
    /// Tiles in workgroup memory.
    Tiled,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// `Out(0)` out `[B, Tq, H, Dv]` (as the layout says, here and below), `Out(1)` lse `[B, Tq, H]`, the base-2 logarithm
    /// of each query's sum of weights.
    Forward,
    /// `Out(0)` dq; if `learned`, `Out(1)` the gradient of `distance`.
    Query {
        /// The gradient of `distance` is wanted.
        learned: bool,
    },
    /// `Out(0)` dk, `Out(1)` dv.
    Key,
    /// `Out(0)` the gradient of the bias.
    Bias,
}

/// `out = softmax(q·kᵀ·scale + terms)·v` or one of its gradients, by the variant that suits the device.
///
/// Bindings: `In(0)` q `[B, Tq, H, D]`, `In(1)` k `[B, Tk, Hkv, D]`, `In(2)` v `[B, Tk, Hkv, Dv]`; backward `In(3)` dout,
/// `In(4)` lse, `In(5)` delta `[B, Tq, H]`, the sums of dout∘out over channels; then, of those that the problem has:
/// lengths `[B]` u32, bias `[B or 1, H or 1, Tq, Tk]`, distance `[H, columns]`. `Leaf(0)` is the control buffer. Results
/// are [`Pass`]'s.
///
/// # Errors
/// Sizes or options that contradict each other, sizes beyond what a kernel can number or the device's grid can hold, or
/// sequences longer than an invocation of a CPU adapter can walk.
pub fn lower(pass: Pass, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_as(if prefers_cpu(facts) { Variant::Cpu } else { Variant::Tiled }, pass, problem, facts)
}

/// [`lower`] by a given variant.
///
/// # Errors
/// As [`lower`], and [`Variant::Cpu`] where the subgroup size is not known.
pub fn lower_as(
    variant: Variant,
    pass: Pass,
    problem: &Problem,
    facts: &Facts,
) -> Result<Lowered, KernelError> {
    let plan = Plan::new(pass, problem)?;
    match variant {
        Variant::Cpu => plan.cpu(facts),
        Variant::Tiled => plan.tiled(facts),
    }
}

impl Problem {
    /// Columns of `distance`.
    #[must_use]
    pub fn columns(&self) -> usize {
        usize::from(self.slopes) + self.radius.map_or(0, |radius| radius.saturating_mul(2).saturating_add(1))
    }

    /// Pairs of a query and a key that the masks leave to a head, lengths aside.
    fn pairs(&self) -> u64 {
        let start =
            if let Start::At(start) = self.start { start } else { self.keys.saturating_sub(self.queries) };
        let seen = |query: usize| {
            let position = query + start;
            let first = self.before.map_or(0, |before| position.saturating_sub(before));
            let end = self.after.map_or(self.keys, |after| self.keys.min(position.saturating_add(after) + 1));
            end.saturating_sub(first) as u64
        };
        (0..self.queries).map(seen).sum()
    }

    fn check(&self, pass: Pass) -> Result<(), KernelError> {
        let fault = |detail: String| Err(KernelError::Problem { op: OP, detail });
        if self.width == 0 || self.value_width == 0 {
            return fault(format!(
                "queries of width {} and values of width {}",
                self.width, self.value_width
            ));
        }
        if self.heads == 0 || self.key_heads == 0 || !self.heads.is_multiple_of(self.key_heads) {
            return fault(format!("{} heads cannot share {} key heads", self.heads, self.key_heads));
        }
        if self.start == Start::AtEnd && !self.lengths {
            return fault("queries at the end of their rows need lengths".to_owned());
        }
        let start = if let Start::At(start) = self.start { start } else { 0 };
        let longest =
            [self.queries, self.keys, start, self.radius.unwrap_or(0)].into_iter().max().unwrap_or(0);
        if longest > FAR {
            return fault(format!("position {longest} is beyond {FAR}"));
        }
        if pass == (Pass::Query { learned: true }) && (self.batch == 0 || self.queries == 0) {
            return fault("no queries to learn terms by distance from".to_owned());
        }
        if self.dropout.is_some_and(|dropout| !(dropout.keep > 0.0 && dropout.keep <= 1.0)) {
            return fault(format!("{:?} keeps a share that is not in (0, 1]", self.dropout));
        }
        Ok(())
    }
}

/// A problem whose sizes have been checked.
struct Plan<'a> {
    pass: Pass,
    problem: &'a Problem,
    params: AttentionParams,
    batch: u32,
    /// Biases that differ.
    biases: u32,
    flops: u64,
    bytes: u64,
}

impl<'a> Plan<'a> {
    fn new(pass: Pass, problem: &'a Problem) -> Result<Self, KernelError> {
        problem.check(pass)?;
        let Problem { batch, heads, key_heads, queries, keys, width, value_width, .. } = *problem;
        let q = count(OP, "queries", &[batch, queries, heads, width])?;
        let k = count(OP, "keys", &[batch, keys, key_heads, width])?;
        let v = count(OP, "values", &[batch, keys, key_heads, value_width])?;
        let out = count(OP, "out", &[batch, queries, heads, value_width])?;
        let (biases, bias) = match problem.bias {
            None => (0, 0),
            Some(Bias { batched, per_head }) => {
                let biases = [if batched { batch } else { 1 }, if per_head { heads } else { 1 }];
                (count(OP, "biases", &biases)?, count(OP, "bias", &[biases[0], biases[1], queries, keys])?)
            }
        };
        let columns = count(OP, "distances", &[heads, problem.columns()])? / (heads.max(1) as u32);
        // A product of strides that passes 32 bits belongs to an empty batch, and is then never used.
        let strides = |time: usize, heads: usize, width: usize| {
            let [time, heads, width] = [time, heads, width].map(|size| size as u32);
            match problem.layout {
                Layout::TimeFirst => {
                    [time.wrapping_mul(heads).wrapping_mul(width), width, heads.wrapping_mul(width)]
                }
                Layout::HeadsFirst => {
                    [heads.wrapping_mul(time).wrapping_mul(width), time.wrapping_mul(width), width]
                }
            }
        };
        let [q_batch, q_head, q_time] = strides(queries, heads, width);
        let [k_batch, k_head, k_time] = strides(keys, key_heads, width);
        let [v_batch, v_head, v_time] = strides(keys, key_heads, value_width);
        let [o_batch, o_head, o_time] = strides(queries, heads, value_width);
        let matrix = (queries as u32).wrapping_mul(keys as u32);
        let distance = |limit: Option<usize>| limit.unwrap_or(FAR).min(FAR) as i32;
        let per_head = problem.bias.is_some_and(|bias| bias.per_head);
        let params = AttentionParams {
            heads: heads as u32,
            group: (heads / key_heads) as u32,
            queries: queries as u32,
            keys: keys as u32,
            width: width as u32,
            value_width: value_width as u32,
            q_batch,
            q_head,
            q_time,
            k_batch,
            k_head,
            k_time,
            v_batch,
            v_head,
            v_time,
            o_batch,
            o_head,
            o_time,
            scale: problem.scale * std::f32::consts::LOG2_E,
            start: match problem.start {
                Start::At(start) => start as i32,
                Start::AtEnd => -(queries as i32),
            },
            before: distance(problem.before),
            after: distance(problem.after),
            ragged: match problem.start {
                Start::AtEnd => 2,
                Start::At(_) => u32::from(problem.lengths),
            },
            bias_batch: match problem.bias {
                Some(Bias { batched: true, .. }) => {
                    matrix.wrapping_mul(if per_head { heads as u32 } else { 1 })
                }
                _ => 0,
            },
            bias_head: if per_head { matrix } else { 0 },
            slopes: u32::from(problem.slopes),
            columns,
            stream: problem.dropout.map_or(0, |dropout| dropout.stream),
            keep: problem.dropout.map_or(1.0, |dropout| dropout.keep),
            begin: 0,
            end: 0,
        };
        // Products of D or Dv terms for each pair.
        let (narrow, wide) = match pass {
            Pass::Forward | Pass::Bias => (1, 1),
            Pass::Query { .. } => (2, 1),
            Pass::Key => (2, 2),
        };
        let terms = narrow * width as u64 + wide * value_width as u64;
        let pairs = batch as u64 * heads as u64 * problem.pairs();
        let own = match pass {
            Pass::Forward => out,
            Pass::Query { .. } => q,
            Pass::Key => k + v,
            Pass::Bias => bias,
        };
        let read = u64::from(q) + u64::from(k) + u64::from(v) + u64::from(bias);
        let more = if pass == Pass::Forward { 0 } else { u64::from(out) };
        Ok(Plan {
            pass,
            problem,
            params,
            batch: batch as u32,
            biases,
            flops: 2 * pairs * terms,
            bytes: 4 * (read + more + u64::from(own)),
        })
    }

    fn cpu(&self, facts: &Facts) -> Result<Lowered, KernelError> {
        let lanes = lanes(OP, "cpu", facts)?;
        let bias = self.problem.bias.is_some();
        let distance = self.params.columns > 0;
        let dropout = self.problem.dropout.is_some();
        let columns = 4 * lanes;
        let AttentionParams { heads, group, queries, keys, .. } = self.params;
        // Loads are shared by the rows of a tile, so it is as tall as what is walked gives work for.
        let walked = if self.pass == Pass::Key { queries } else { keys };
        let rows = match lanes {
            8 if walked <= 8 => 8,
            8 if walked <= 16 => 16,
            8 | 16 => 32,
            _ => 16,
        };
        let ranges = self.ranges(rows, columns)?;
        match self.pass {
            Pass::Forward => {
                let grid = grid(OP, [queries.div_ceil(columns), heads, self.batch], facts)?;
                let spec = AttentionForwardCpu { lanes, rows, bias, distance, dropout };
                self.launches(spec, grid, &ranges, facts)
            }
            Pass::Query { learned } => {
                let grid = grid(OP, [queries.div_ceil(columns), heads, self.batch], facts)?;
                let learned = learned && distance;
                let spec = AttentionQueryCpu { lanes, rows, bias, distance, dropout, learned };
                self.launches(spec, grid, &ranges, facts)
            }
            Pass::Key => {
                let grid = grid(OP, [keys.div_ceil(columns), heads / group, self.batch], facts)?;
                let spec = AttentionKeyCpu { lanes, rows, bias, distance, dropout };
                self.launches(spec, grid, &ranges, facts)
            }
            Pass::Bias => {
                let grid = grid(OP, [queries.div_ceil(columns), keys.div_ceil(rows), self.biases], facts)?;
                let spec = AttentionBiasCpu { lanes, rows, bias, distance, dropout };
                self.launches(spec, grid, &ranges, facts)
            }
        }
    }

    fn tiled(&self, facts: &Facts) -> Result<Lowered, KernelError> {
        let bias = self.problem.bias.is_some();
        let distance = self.params.columns > 0;
        let dropout = self.problem.dropout.is_some();
        let AttentionParams { heads, group, queries, keys, width, value_width, .. } = self.params;
        let blocks = |channels: u32, heads: u32| heads.saturating_mul(channels.div_ceil(CHANNELS));
        let whole = [self.whole()];
        match self.pass {
            Pass::Forward => {
                let grid = grid(OP, [queries.div_ceil(SIDE), blocks(value_width, heads), self.batch], facts)?;
                self.launches(AttentionForward { bias, distance, dropout }, grid, &whole, facts)
            }
            Pass::Query { learned } => {
                let grid = grid(OP, [queries.div_ceil(SIDE), blocks(width, heads), self.batch], facts)?;
                let learned = learned && distance;
                self.launches(AttentionQuery { bias, distance, dropout, learned }, grid, &whole, facts)
            }
            Pass::Key => {
                let blocks = blocks(width.max(value_width), heads / group);
                let grid = grid(OP, [keys.div_ceil(SIDE), blocks, self.batch], facts)?;
                self.launches(AttentionKey { bias, distance, dropout }, grid, &whole, facts)
            }
            Pass::Bias => {
                let grid = grid(OP, [queries.div_ceil(SIDE), keys.div_ceil(SIDE), self.biases], facts)?;
                self.launches(AttentionBias { bias, distance, dropout }, grid, &whole, facts)
            }
        }
    }

    /// All that the pass sums over, as `begin` and `end`.
    fn whole(&self) -> (u32, u32) {
        match self.pass {
            Pass::Key => (0, self.params.group),
            Pass::Bias => (0, if self.params.bias_batch > 0 { 0 } else { self.batch }),
            _ => (0, 0),
        }
    }

    /// [`Self::whole`] in parts that one invocation of the CPU variant, with a tile of `rows` by `columns`, can walk.
    fn ranges(&self, rows: u32, columns: u32) -> Result<Vec<(u32, u32)>, KernelError> {
        let AttentionParams { heads, queries, keys, width, value_width, before, after, .. } = self.params;
        let [width, value_width, rows, columns] = [width, value_width, rows, columns].map(u64::from);
        // Loops of the kernels, with half a subgroup of terms to a step.
        let octets = rows / 8;
        let products = (8 * width).div_ceil(columns);
        let value_products = (8 * value_width).div_ceil(columns);
        let mixes = |channels: u64| channels.div_ceil(8) * (octets + 5);
        let each = 2 * octets + 2;
        let (walked, tile) = match self.pass {
            Pass::Forward => (keys, products + mixes(value_width) + each),
            Pass::Query { learned } => {
                let distances = if learned { octets * 9 } else { 0 };
                (keys, products + value_products + mixes(width) + each + distances)
            }
            Pass::Key => (queries, products + value_products + mixes(width) + mixes(value_width) + each),
            Pass::Bias => (1, products + value_products + rows + each),
        };
        // A window limits what is walked: by what lies before and after a whole tile of columns.
        let window = u64::from(before.unsigned_abs()) + u64::from(after.unsigned_abs()) + columns + 1;
        let tiles = u64::from(walked).min(window).div_ceil(rows);
        let ends = 10 * (width + value_width) + 10 * rows + u64::from(self.params.columns) + 16;
        let shared = match self.pass {
            Pass::Bias if self.params.bias_head == 0 => u64::from(heads),
            _ => 1,
        };
        let one = tiles * tile * shared + 2;
        let (begin, end) = self.whole();
        let budget = MAX_ITERATIONS.saturating_sub(ends);
        if one > budget {
            let detail = format!(
                "{queries} queries and {keys} keys of widths {width} and {value_width} are more than an invocation \
                 of this adapter can walk"
            );
            return Err(KernelError::Problem { op: OP, detail });
        }
        let step = u32::try_from(budget / one).unwrap_or(u32::MAX);
        let starts = (begin..end.max(begin + 1)).step_by(step as usize);
        Ok(starts.map(|at| (at, end.min(at.saturating_add(step)))).collect())
    }

    /// A launch for each range, and the reduction of what workgroups know of the terms by distance.
    fn launches<S: Spec<Params = AttentionParams>>(
        &self,
        spec: S,
        grid: [u32; 3],
        ranges: &[(u32, u32)],
        facts: &Facts,
    ) -> Result<Lowered, KernelError> {
        if grid.contains(&0) {
            return Ok(Lowered::default());
        }
        let AttentionParams { heads, queries, keys, width, value_width, columns, .. } = self.params;
        let (begin, end) = ranges.first().copied().unwrap_or_default();
        let job = Job {
            op: OP,
            shape: format!("B={} H={heads} [{queries}x{width}, {keys}x{value_width}]", self.batch),
            spec,
            params: AttentionParams { begin, end, ..self.params },
            bindings: self.bindings(),
            grid,
            flops: self.flops / ranges.len().max(1) as u64,
            bytes: self.bytes,
        };
        // The shader is assembled once: the launches differ in their range.
        let any = job.plain(facts)?;
        let over = |&(begin, end): &(u32, u32)| Launch {
            immediates: bytes_of(&AttentionParams { begin, end, ..self.params }).to_vec(),
            ..any.clone()
        };
        let mut lowered = Lowered { launches: ranges.iter().map(over).collect(), scratch: Vec::new() };
        let Pass::Query { learned } = self.pass else { return Ok(lowered) };
        if !(learned && columns > 0) {
            // What the kernel would write its parts to must be bound all the same.
            lowered.scratch.push(4);
            return Ok(lowered);
        }
        let workgroups = self.batch as usize * grid[0] as usize;
        let row = heads as usize * columns as usize;
        let parts = count(OP, "parts of the gradient by distance", &[workgroups, row])?;
        lowered.scratch.push(4 * u64::from(parts));
        let identity = Fusion {
            code: FusedCode { body: "    return leaf0[index];\n".to_owned(), leaves: vec![Elem::F32] },
            dims: [1; 4],
            strides: Vec::new(),
        };
        let sum = reduce::Problem { outer: 1, len: workgroups, inner: row, op: ReduceOp::Sum };
        let sum = reduce::lower(&sum, facts, &identity)?;
        let rewired = |operand: Operand| match operand {
            Operand::Leaf(_) => Operand::Scratch(0),
            Operand::Scratch(i) => Operand::Scratch(i + 1),
            Operand::Out(_) => Operand::Out(1),
            Operand::In(i) => Operand::In(i),
        };
        lowered.scratch.extend(sum.scratch);
        lowered.launches.extend(
            sum.launches.into_iter().map(|launch| Launch {
                bindings: launch.bindings.into_iter().map(rewired).collect(),
                ..launch
            }),
        );
        Ok(lowered)
    }

    /// What each binding is. The first operand stands in for those that the problem has not: they are never read.
    fn bindings(&self) -> Vec<Operand> {
        let mut next = if self.pass == Pass::Forward { 3 } else { 6 };
        let mut bindings: Vec<_> = (0..next).map(Operand::In).collect();
        for present in [self.problem.lengths, self.problem.bias.is_some(), self.params.columns > 0] {
            bindings.push(Operand::In(if present { next } else { 0 }));
            next += usize::from(present);
        }
        bindings.extend([Operand::Leaf(0), Operand::Out(0)]);
        match self.pass {
            Pass::Forward | Pass::Key => bindings.push(Operand::Out(1)),
            Pass::Query { .. } => bindings.push(Operand::Scratch(0)),
            Pass::Bias => {}
        }
        bindings
    }
}
