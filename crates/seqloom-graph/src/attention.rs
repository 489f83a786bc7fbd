//! Attention: one operation with a kernel family that never stores a matrix of weights, and beside it the weights
//! themselves, composed of smaller operations, for who wants to look at them. That path is never the cheaper one: on CPU
//! adapters it takes 2.2 to 5 times as long from T = 16 to 256, and its memory grows with T² (docs/results.md).
//!
//! Operands are [batch, time, heads, channels], which is how a projection to heads·channels leaves them once reshaped, so
//! heads need no transposing. Every mask is an option, in any combination.

use seqloom_kernels::attention::{Bias, Dropout, FARTHEST, Layout, Pass, Problem};

pub use seqloom_kernels::attention::Start;

use crate::graph::Graph;
use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::{Binary, Op};
use crate::ir::payload::{Attending, Part};
use crate::ir::shape::Shape;
use crate::tensor::{Tensor, here};

/// Who attends to whom in [`Tensor::attention`], and what is added to the scores. Query i stands at position p = i + start
/// among the keys.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOptions<'g> {
    /// A query sees no key after its own position.
    pub causal: bool,
    /// A query sees only keys at most this many positions away.
    pub window: Option<usize>,
    /// Where query 0 stands. `Start::At(n)` follows n cached keys; `Start::AtEnd` puts the last query at the last key of its
    /// row's length, so that a cache may fill at run time.
    pub start: Start,
    /// Keys of each row that count, \[B\] of u32 from 0 to Tk, as [`crate::Lengths::tensor`] gives them where none is 0.
    pub lengths: Option<Tensor<'g>>,
    /// Added to the scores: [H or 1, Tq, Tk] or [B or 1, H or 1, Tq, Tk].
    pub bias: Option<Tensor<'g>>,
    /// ALiBi (Press et al. 2022): −slope·|j − p| is added to the score of key j, \[H\].
    pub slopes: Option<Tensor<'g>>,
    /// Learned terms by distance (Raffel et al. 2020, without buckets): [H, 2R+1], of which column j − p + R is added to
    /// the score of key j, and the first or the last where j is farther than R.
    pub relative: Option<Tensor<'g>>,
    /// Probability to drop a weight, in training.
    pub dropout: f32,
    /// Factor of the products; 1/√D if `None`.
    pub scale: Option<f32>,
}

impl Default for AttentionOptions<'_> {
    /// Every query sees every key.
    fn default() -> Self {
        Self {
            causal: false,
            window: None,
            start: Start::At(0),
            lengths: None,
            bias: None,
            slopes: None,
            relative: None,
            dropout: 0.0,
            scale: None,
        }
    }
}

impl Part {
    /// The kernels' name for it.
    pub(crate) fn pass(self) -> Pass {
        match self {
            Part::Query { learned } => Pass::Query { learned },
            Part::Key => Pass::Key,
            Part::Bias => Pass::Bias,
        }
    }
}

impl Attending {
    /// The index of the operand with lengths, of those that forward operations have.
    pub(crate) fn lengths_at(self) -> Option<usize> {
        self.lengths.then_some(3)
    }

    /// The kernels' problem; `shapes` are those of q, k, v, then the operands that are there, in the order of the fields.
    pub(crate) fn problem(self, shapes: &[Shape]) -> Problem {
        let [q, k, v] = [shapes[0], shapes[1], shapes[2]];
        let bias_at = 3 + usize::from(self.lengths);
        let bias = shapes.get(bias_at).filter(|_| self.bias);
        let table = shapes.get(bias_at + usize::from(self.bias));
        // Of 2R+1 columns behind the slopes, R.
        let radius = table.map_or(0, |table| (table[1] - usize::from(self.slopes)) / 2);
        Problem {
            batch: q[0],
            heads: q[2],
            key_heads: k[2],
            queries: q[1],
            keys: k[1],
            width: q[3],
            value_width: v[3],
            layout: Layout::TimeFirst,
            scale: f32::from_bits(self.scale),
            start: self.start,
            before: self.window,
            after: if self.causal { Some(0) } else { self.window },
            lengths: self.lengths,
            bias: bias.map(|bias| Bias { batched: bias[0] > 1, per_head: bias[1] > 1 }),
            slopes: self.slopes,
            radius: self.relative.then_some(radius),
            dropout: self.dropout.map(|(keep, stream)| Dropout { keep: f32::from_bits(keep), stream }),
        }
    }
}

impl<'g> Tensor<'g> {
    /// Scaled dot-product attention of every head (Vaswani et al. 2017), softmax(q·kᵀ·scale + terms)·v, in memory that grows
    /// with T and not with T².
    ///
    /// `self` is the queries [B, Tq, H, D], `key` [B, Tk, Hkv, D], `value` [B, Tk, Hkv, Dv] → [B, Tq, H, Dv]. Hkv divides
    /// H, and key head h serves the query heads from h·H/Hkv on. A query that sees no key, or only scores of −∞, gives 0
    /// and has no gradient. `options` say who sees whom; what they hold may be trained, slopes too.
    #[track_caller]
    #[must_use]
    pub fn attention(self, key: Self, value: Self, options: AttentionOptions<'g>) -> Self {
        let at = here();
        let name = "attention";
        let (bias, table) = match self.attending(name, key, Some(value), &options, at) {
            Ok(both) => both,
            Err(poisoned) => return poisoned,
        };
        let graph = self.graph;
        let dropped = options.dropout > 0.0 && graph.is_training();
        let attending = Attending {
            causal: options.causal,
            window: options.window,
            start: options.start,
            lengths: options.lengths.is_some(),
            bias: bias.is_some(),
            slopes: options.slopes.is_some(),
            relative: options.relative.is_some(),
            dropout: dropped.then(|| ((1.0 - options.dropout).to_bits(), graph.next_stream())),
            scale: self.scale(&options).to_bits(),
        };
        let mut operands = vec![self, key, value];
        operands.extend([options.lengths, bias, table].into_iter().flatten());
        let result = self.shape().with(3, value.dim(3));
        let outputs = [(result, DType::F32), (self.rows_of_heads(), DType::F32)];
        graph.push_outputs(Op::Attention(attending), &operands, &outputs, at)[0]
    }

    /// The weights of [`Tensor::attention`] before dropout, [B, H, Tq, Tk]: for pictures, since they are what that
    /// operation never stores. Their gradient flows as any other.
    #[track_caller]
    #[must_use]
    pub fn attention_weights(self, key: Self, options: AttentionOptions<'g>) -> Self {
        let at = here();
        let name = "attention_weights";
        let (bias, _) = match self.attending(name, key, None, &options, at) {
            Ok(both) => both,
            Err(poisoned) => return poisoned,
        };
        let [batch, queries, heads, width] = [0, 1, 2, 3].map(|axis| self.dim(axis));
        let (keys, key_heads) = (key.dim(1), key.dim(2));
        let graph = self.graph;
        // Query heads that share a key head lie side by side, so one product serves them all.
        let rows = [batch * key_heads, heads / key_heads.max(1) * queries, width];
        let q = self.transpose(1, 2).reshape(&rows);
        let k = key.transpose(1, 2).reshape(&[batch * key_heads, keys, width]);
        let mut scores = q.matmul_t(k).reshape(&[batch, heads, queries, keys]) * self.scale(&options);
        let apart = distances(graph, queries, keys, &options);
        if let Some(bias) = bias {
            scores = scores + bias;
        }
        if let Some(slopes) = options.slopes {
            scores = scores - slopes.reshape(&[heads, 1, 1]) * apart.abs();
        }
        if let Some(relative) = options.relative {
            scores = scores + relative_terms(relative, apart, queries, keys, &options, at);
        }
        let lowest = graph.constant(LOWEST, at);
        let mut allowed = scores.greater(lowest);
        if options.causal {
            allowed = allowed * apart.less(graph.constant(0.5, at));
        }
        if let Some(window) = options.window {
            allowed = allowed * apart.abs().less(graph.constant(window as f32 + 0.5, at));
        }
        if let Some(lengths) = options.lengths {
            let number = graph.literal(&[keys], (0..keys).map(|key| key as f32).collect());
            allowed = allowed * number.less(lengths.to_f32().reshape(&[batch, 1, 1, 1]));
        }
        // Where nothing is allowed all scores are equally low: their softmax is finite, and then 0.
        (scores.maximum(lowest) + (allowed - 1.0) * -LOWEST).softmax() * allowed
    }

    /// The bias with four dimensions, and the table by distance, if everything fits together.
    fn attending(
        self,
        name: &'static str,
        key: Self,
        value: Option<Self>,
        options: &AttentionOptions<'g>,
        at: Location,
    ) -> Result<(Option<Self>, Option<Self>), Self> {
        let floats = [Some(key), value, options.bias, options.slopes, options.relative];
        let mut operands = vec![(self, DType::F32)];
        operands.extend(floats.into_iter().flatten().map(|tensor| (tensor, DType::F32)));
        operands.extend(options.lengths.map(|lengths| (lengths, DType::U32)));
        if let Some(poisoned) = self.refuse(name, &operands, at) {
            return Err(poisoned);
        }
        let others: Vec<_> = operands[1..].iter().map(|(tensor, _)| *tensor).collect();
        let fault = |detail: &str| Err(self.shape_error(name, &others, detail, at));
        let value = value.unwrap_or(key);
        if [self, key, value].iter().any(|tensor| tensor.rank() != 4 || tensor.shape().is_empty()) {
            return fault("queries, keys and values are [B, T, H, D] and not empty");
        }
        let [batch, queries, heads, width] = [0, 1, 2, 3].map(|axis| self.dim(axis));
        let (keys, key_heads) = (key.dim(1), key.dim(2));
        if key.dim(0) != batch || key.dim(3) != width || value.shape()[..3] != key.shape()[..3] {
            return fault("keys need the queries' B and D, values the keys' B, T and H");
        }
        if !heads.is_multiple_of(key_heads) {
            return fault(&format!("{heads} query heads cannot share {key_heads} key heads"));
        }
        if options.lengths.is_some_and(|lengths| lengths.shape()[..] != [batch]) {
            return fault(&format!("lengths are [{batch}]"));
        }
        if options.slopes.is_some_and(|slopes| slopes.shape()[..] != [heads]) {
            return fault(&format!("slopes are [{heads}]"));
        }
        let odd = |table: Self| table.rank() == 2 && table.dim(0) == heads && table.dim(1) % 2 == 1;
        if options.relative.is_some_and(|table| !odd(table)) {
            return fault(&format!("relative terms are [{heads}, 2R+1]"));
        }
        let bias = options.bias.map(|bias| match bias.rank() {
            3 => bias.reshape(&[1, bias.dim(0), bias.dim(1), bias.dim(2)]),
            _ => bias,
        });
        let fits = |bias: Self| {
            let one_of = |axis: usize, extent: usize| bias.dim(axis) == 1 || bias.dim(axis) == extent;
            bias.rank() == 4 && one_of(0, batch) && one_of(1, heads) && bias.shape()[2..] == [queries, keys]
        };
        if bias.is_some_and(|bias| !fits(bias)) {
            return fault(&format!("a bias is [{batch} or 1, {heads} or 1, {queries}, {keys}]"));
        }
        let wrong = |detail: String| Err(self.argument_error(name, detail, at));
        if options.start == Start::AtEnd && options.lengths.is_none() {
            return wrong("queries at the end of their rows need lengths".to_owned());
        }
        if let Start::At(start) = options.start
            && start > FARTHEST
        {
            return wrong(format!("start = {start} is beyond {FARTHEST}"));
        }
        if !(0.0..1.0).contains(&options.dropout) {
            return wrong(format!("dropout = {} is not in 0 <= p < 1", options.dropout));
        }
        if !self.scale(options).is_finite() {
            return wrong(format!("scale = {} is not finite", self.scale(options)));
        }
        let slopes = options.slopes.map(|slopes| slopes.reshape(&[heads, 1]));
        let table = match (slopes, options.relative) {
            (Some(slopes), Some(relative)) => Some(Self::concat(slopes, &[relative], 1)),
            (slopes, relative) => slopes.or(relative),
        };
        Ok((bias, table))
    }

    fn scale(self, options: &AttentionOptions<'g>) -> f32 {
        options.scale.unwrap_or_else(|| 1.0 / (self.dim(3) as f32).sqrt())
    }

    /// [B, T, H] of [B, T, H, C].
    fn rows_of_heads(self) -> Shape {
        self.shape().without(3)
    }
}

/// A score that does not count: as the kernels', finite, so that a softmax of nothing else is too.
const LOWEST: f32 = -1e30;

/// j − p for each query and key: [Tq, Tk], or [B, 1, Tq, Tk] where positions count from the rows' lengths.
fn distances<'g>(
    graph: &'g Graph,
    queries: usize,
    keys: usize,
    options: &AttentionOptions<'g>,
) -> Tensor<'g> {
    let start = if let Start::At(start) = options.start { start as f32 } else { -(queries as f32) };
    let apart = |at: usize| (at % keys) as f32 - (at / keys) as f32 - start;
    let apart = graph.literal(&[queries, keys], (0..queries * keys).map(apart).collect());
    match (options.start, options.lengths) {
        (Start::AtEnd, Some(lengths)) => apart - lengths.to_f32().reshape(&[lengths.dim(0), 1, 1, 1]),
        _ => apart,
    }
}

/// The column of `relative` for each distance: [H, Tq, Tk] or [B, H, Tq, Tk], as the distances are.
fn relative_terms<'g>(
    relative: Tensor<'g>,
    apart: Tensor<'g>,
    queries: usize,
    keys: usize,
    options: &AttentionOptions<'g>,
    at: Location,
) -> Tensor<'g> {
    let graph = relative.graph;
    let (heads, columns) = (relative.dim(0), relative.dim(1));
    let radius = columns / 2;
    if let Start::At(start) = options.start {
        let column = |pair: usize| {
            // clamp(j − p, −R, R) + R, without negative numbers.
            let (key, position) = (pair % keys, pair / keys + start);
            (key + radius).saturating_sub(position).min(2 * radius) as u32
        };
        let ids = graph.literal_u32(&[queries, keys], (0..queries * keys).map(column).collect());
        return relative.transpose(0, 1).gather_rows(ids).transpose(0, 2).transpose(1, 2);
    }
    // Only the device knows the distances: a product with a row of ones and zeros for each column picks the terms.
    let limit = graph.constant(radius as f32, at);
    let batch = apart.dim(0);
    let column = (apart.minimum(limit).maximum(-limit) + limit).reshape(&[1, batch * queries * keys]);
    let number = graph.literal(&[columns, 1], (0..columns).map(|column| column as f32).collect());
    relative.matmul(number.equal(column)).reshape(&[heads, batch, queries, keys]).transpose(0, 1)
}

/// Gradients of an attention's operands from that of its result. The weights come again from the saved sums; no kernel
/// sums both over queries and over keys, so queries, keys with values, and the bias have operations of their own, and
/// those whose gradient nobody needs are dropped as dead.
pub(crate) fn backward<'g>(
    attending: Attending,
    x: &[Tensor<'g>],
    outputs: &[Tensor<'g>],
    dy: Tensor<'g>,
    learned: impl Fn(Tensor<'g>) -> bool,
    at: Location,
) -> Vec<Option<Tensor<'g>>> {
    let [y, log_sums] = [outputs[0], outputs[1]];
    let graph = y.graph;
    let delta = dy.binary("gradient of attention", Binary::Mul, y).sum(-1);
    let mut operands = vec![x[0], x[1], x[2], dy, log_sums, delta];
    operands.extend_from_slice(&x[3..]);
    let record = |part: Part, shapes: &[Shape]| {
        let outputs: Vec<_> = shapes.iter().map(|&shape| (shape, DType::F32)).collect();
        graph.push_outputs(Op::AttentionGrad(attending, part), &operands, &outputs, at)
    };
    let table = if attending.slopes || attending.relative { x.last().copied() } else { None };
    let learned = table.filter(|&table| learned(table));
    let mut of_query = vec![x[0].shape()];
    of_query.extend(learned.map(Tensor::shape));
    let query = record(Part::Query { learned: learned.is_some() }, &of_query);
    let key = record(Part::Key, &[x[1].shape(), x[2].shape()]);
    let mut gradients = vec![Some(query[0]), Some(key[0]), Some(key[1])];
    if attending.lengths {
        gradients.push(None);
    }
    if attending.bias {
        let bias = x[gradients.len()];
        gradients.push(Some(record(Part::Bias, &[bias.shape()])[0]));
    }
    if table.is_some() {
        gradients.push(query.get(1).copied());
    }
    gradients
}
