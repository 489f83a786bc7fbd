//! A checked attention problem, and its launches on either kind of adapter.

use bytemuck::bytes_of;
use seqloom_device::Facts;
use seqloom_shaders::Spec;
use seqloom_shaders::attention::{
    AttentionBias, AttentionBiasCpu, AttentionForward, AttentionForwardCpu, AttentionKey, AttentionKeyCpu,
    AttentionParams, AttentionQuery, AttentionQueryCpu,
};

use super::problem::{Bias, FARTHEST, Layout, OP, Pass, Problem, Start};
use crate::error::KernelError;
use crate::launch::{Fusion, Job, Launch, Lowered, MOST_ITERATIONS, Operand, count, lanes, parts_grid};
use crate::reduce::{self, ReduceOp};

/// Rows that a GPU's workgroup owns and walks at a time, and channels of its result.
const SIDE: u32 = 32;
const CHANNELS: u32 = 64;

/// Channels that the kernels for CPU adapters read at a time.
pub(super) const QUAD: usize = 4;

/// A problem whose sizes have been checked.
pub(super) struct Plan<'a> {
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
    pub(super) fn new(pass: Pass, problem: &'a Problem) -> Result<Self, KernelError> {
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
        // Only an empty batch can have strides whose product exceeds 32 bits; they are then never used.
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
        let distance = |limit: Option<usize>| limit.unwrap_or(FARTHEST).min(FARTHEST) as i32;
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
            planes: if pass == Pass::Bias { biases } else { batch as u32 },
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

    /// The launches for a CPU adapter, whose kernels read [`QUAD`] channels at a time: widths must be multiples of it.
    pub(super) fn cpu(mut self, rows: u32, facts: &Facts) -> Result<Lowered, KernelError> {
        let params = &mut self.params;
        let counted = [
            &mut params.width,
            &mut params.value_width,
            &mut params.q_batch,
            &mut params.q_head,
            &mut params.q_time,
            &mut params.k_batch,
            &mut params.k_head,
            &mut params.k_time,
            &mut params.v_batch,
            &mut params.v_head,
            &mut params.v_time,
            &mut params.o_batch,
            &mut params.o_head,
            &mut params.o_time,
        ];
        counted.into_iter().for_each(|channels| *channels /= QUAD as u32);
        let lanes = lanes(OP, "cpu", facts)?;
        let bias = self.problem.bias.is_some();
        let distance = self.params.columns > 0;
        let dropout = self.problem.dropout.is_some();
        let columns = 4 * lanes;
        let AttentionParams { heads, group, queries, keys, .. } = self.params;
        let ranges = self.ranges(rows, columns)?;
        match self.pass {
            Pass::Forward => {
                // A step of generation has only one query per row, so tiles of four per lane would be almost empty.
                let columns = if queries <= lanes { 1 } else { 4 };
                let parts = [queries.div_ceil(columns * lanes), heads, self.batch];
                let spec = AttentionForwardCpu { lanes, rows, columns, bias, distance, dropout };
                self.launches(spec, parts, &ranges, facts)
            }
            Pass::Query { learned } => {
                let parts = [queries.div_ceil(columns), heads, self.batch];
                let learned = learned && distance;
                let spec = AttentionQueryCpu { lanes, rows, bias, distance, dropout, learned };
                self.launches(spec, parts, &ranges, facts)
            }
            Pass::Key => {
                let parts = [keys.div_ceil(columns), heads / group, self.batch];
                let spec = AttentionKeyCpu { lanes, rows, bias, distance, dropout };
                self.launches(spec, parts, &ranges, facts)
            }
            Pass::Bias => {
                let parts = [queries.div_ceil(columns), keys.div_ceil(rows), self.biases];
                let spec = AttentionBiasCpu { lanes, rows, bias, distance, dropout };
                self.launches(spec, parts, &ranges, facts)
            }
        }
    }

    pub(super) fn tiled(&self, facts: &Facts) -> Result<Lowered, KernelError> {
        let bias = self.problem.bias.is_some();
        let distance = self.params.columns > 0;
        let dropout = self.problem.dropout.is_some();
        let AttentionParams { heads, group, queries, keys, width, value_width, .. } = self.params;
        let blocks = |channels: u32, heads: u32| heads.saturating_mul(channels.div_ceil(CHANNELS));
        let whole = [self.whole()];
        match self.pass {
            Pass::Forward => {
                let parts = [queries.div_ceil(SIDE), blocks(value_width, heads), self.batch];
                self.launches(AttentionForward { bias, distance, dropout }, parts, &whole, facts)
            }
            Pass::Query { learned } => {
                let parts = [queries.div_ceil(SIDE), blocks(width, heads), self.batch];
                let learned = learned && distance;
                self.launches(AttentionQuery { bias, distance, dropout, learned }, parts, &whole, facts)
            }
            Pass::Key => {
                let blocks = blocks(width.max(value_width), heads / group);
                let parts = [keys.div_ceil(SIDE), blocks, self.batch];
                self.launches(AttentionKey { bias, distance, dropout }, parts, &whole, facts)
            }
            Pass::Bias => {
                let parts = [queries.div_ceil(SIDE), keys.div_ceil(SIDE), self.biases];
                self.launches(AttentionBias { bias, distance, dropout }, parts, &whole, facts)
            }
        }
    }

    /// The whole range that the pass sums over, as `begin` and `end`, if one launch is enough.
    fn whole(&self) -> (u32, u32) {
        match self.pass {
            Pass::Key => (0, self.params.group),
            Pass::Bias => (0, self.summed_rows()),
            _ => (0, 0),
        }
    }

    /// Batch rows that share a bias.
    fn summed_rows(&self) -> u32 {
        if self.params.bias_batch > 0 { 0 } else { self.batch }
    }

    /// What the pass sums over, in parts that one invocation of the CPU variant, with a tile of `rows` by `columns`, can
    /// walk: numbers of keys; of queries, of one head after the other; or of batch rows.
    fn ranges(&self, rows: u32, columns: u32) -> Result<Vec<(u32, u32)>, KernelError> {
        let AttentionParams { heads, group, queries, keys, width, value_width, before, after, .. } =
            self.params;
        let [width, value_width, columns] = [width, value_width, columns].map(u64::from);
        // Loops of the kernels: products and mixtures take a quad of channels at a time.
        let octets = u64::from(rows / 8);
        let each = 2 * octets + 2;
        let (items, length, tile) = match self.pass {
            Pass::Forward => (1, keys, width + value_width + each),
            Pass::Query { learned } => {
                let distances = if learned { octets * 9 } else { 0 };
                (1, keys, 2 * width + value_width + each + distances)
            }
            Pass::Key => (group, queries, 2 * width + 2 * value_width + each),
            Pass::Bias => {
                let sharing = if self.params.bias_head == 0 { u64::from(heads) } else { 1 };
                (self.summed_rows(), 1, (width + value_width + u64::from(rows) + each) * sharing)
            }
        };
        // A window limits the walk to what lies before and after a whole tile of columns.
        let window = u64::from(before.unsigned_abs()) + u64::from(after.unsigned_abs()) + columns + 1;
        let tiles = u64::from(length).min(window).div_ceil(u64::from(rows));
        let ends = 2 * (width + value_width) + 10 * u64::from(rows) + u64::from(self.params.columns) + 16;
        let budget = u64::from(MOST_ITERATIONS).saturating_sub(ends);
        let item = tiles * tile + 2;
        if tile + 2 > budget {
            let Problem { width, value_width, .. } = self.problem;
            let detail = format!(
                "{heads} heads of widths {width} and {value_width} are more than an invocation of this adapter can walk"
            );
            return Err(KernelError::Problem { op: OP, detail });
        }
        let fits = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        if items == 0 || length == 0 {
            return Ok(vec![(0, 0)]);
        }
        if item <= budget {
            let step = fits(budget / item);
            let ends = |at: u32| (at * length, items.min(at.saturating_add(step)) * length);
            return Ok((0..items).step_by(step as usize).map(ends).collect());
        }
        let step = fits((budget - 2) / tile).saturating_mul(rows);
        let parts = (0..length).step_by(step as usize).map(|at| (at, length.min(at.saturating_add(step))));
        let of_item =
            |item: u32| parts.clone().map(move |(at, end)| (item * length + at, item * length + end));
        Ok((0..items).flat_map(of_item).collect())
    }

    /// A launch for each range, and the reduction of the workgroups' gradients of the distance terms.
    fn launches<S: Spec<Params = AttentionParams>>(
        &self,
        spec: S,
        parts: [u32; 3],
        ranges: &[(u32, u32)],
        facts: &Facts,
    ) -> Result<Lowered, KernelError> {
        if parts.contains(&0) {
            return Ok(Lowered::default());
        }
        let grid = parts_grid(OP, parts, facts)?;
        let AttentionParams { heads, columns, .. } = self.params;
        let Problem { queries, keys, width, value_width, .. } = *self.problem;
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
            // The kernel's buffer of partial results must be bound all the same.
            lowered.scratch.push(4);
            return Ok(lowered);
        }
        // One per batch row and tile of queries, wherever it is in the grid.
        let workgroups = self.batch as usize * parts[0] as usize;
        let row = heads as usize * columns as usize;
        let parts = count(OP, "parts of the gradient by distance", &[workgroups, row])?;
        lowered.scratch.push(4 * u64::from(parts));
        let sum = reduce::Problem { outer: 1, len: workgroups, inner: row, op: ReduceOp::Sum };
        let sum = reduce::lower(&sum, facts, &Fusion::identity())?;
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

    /// The bindings. The first operand stands in for absent ones, which are never read.
    fn bindings(&self) -> Vec<Operand> {
        let mut next = if self.pass == Pass::Forward { 3 } else { 6 };
        let mut bindings: Vec<_> = (0..next).map(Operand::In).collect();
        if self.params.keys == 0 {
            // These are not read then either, and a binding must not be smaller than its contents.
            bindings[1..3].fill(Operand::In(0));
        }
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
