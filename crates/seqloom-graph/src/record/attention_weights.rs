//! The weights of an attention, composed of smaller operations, for callers who want to look at them.
//!
//! The operation itself never stores them. This path is never the cheaper one: on CPU adapters it takes 2.2 to 5 times
//! as long from T = 16 to 256, and its memory grows with T² (docs/results.md).

use crate::ir::error::Location;
use crate::record::attention::{AttentionOptions, Start};
use crate::record::graph::Graph;
use crate::record::tensor::{Tensor, here};

impl<'g> Tensor<'g> {
    /// The weights of [`Tensor::attention`] before dropout, [B, H, Tq, Tk]: for pictures, because that operation never
    /// stores them. They have a gradient like any other tensor.
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
        // Query heads that share a key head are adjacent, so one product serves them all.
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
        // If nothing is allowed, all scores are equally low: their softmax is finite, and then set to 0.
        (scores.maximum(lowest) + (allowed - 1.0) * -LOWEST).softmax() * allowed
    }
}

/// A masked score. It is finite, as in the kernels, so a softmax of only masked scores is finite too.
const LOWEST: f32 = -1e30;

/// j − p for each query and key: [Tq, Tk], or [B, 1, Tq, Tk] if positions depend on the rows' lengths.
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
    // Only the device knows the distances, so a product with a row of ones and zeros for each column picks the terms.
    let limit = graph.constant(radius as f32, at);
    let batch = apart.dim(0);
    let column = (apart.minimum(limit).maximum(-limit) + limit).reshape(&[1, batch * queries * keys]);
    let number = graph.literal(&[columns, 1], (0..columns).map(|column| column as f32).collect());
    relative.matmul(number.equal(column)).reshape(&[heads, batch, queries, keys]).transpose(0, 1)
}
