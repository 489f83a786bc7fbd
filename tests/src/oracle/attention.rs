//! Attention over whole sequences, and its gradients, by matrices of scores.
//!
//! Tensors are `[B, T, H, D]`. The forward pass is the definition. The backward pass is written by hand from it and is
//! itself checked against finite differences of the forward pass, so it cannot share a mistake with a kernel.

use super::softmax::log_sum_exp;

/// Sizes and masks.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// B.
    pub batch: usize,
    /// H, query heads.
    pub heads: usize,
    /// Key heads, a divisor of H.
    pub key_heads: usize,
    /// Tq.
    pub queries: usize,
    /// Tk.
    pub keys: usize,
    /// D, channels of queries and keys.
    pub width: usize,
    /// Dv, channels of values.
    pub value_width: usize,
    /// Factor of the products.
    pub scale: f64,
    /// Position of query 0 among the keys, by batch row.
    pub starts: Vec<i64>,
    /// Keys of a batch row that count.
    pub lengths: Vec<usize>,
    /// How far back a query sees.
    pub before: Option<usize>,
    /// How far ahead a query sees.
    pub after: Option<usize>,
}

/// What goes in.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// `[B, Tq, H, D]`.
    pub q: Vec<f64>,
    /// `[B, Tk, Hkv, D]`.
    pub k: Vec<f64>,
    /// `[B, Tk, Hkv, Dv]`.
    pub v: Vec<f64>,
    /// Added to scores, `[B or 1, H or 1, Tq, Tk]`, with its first two extents.
    pub bias: Option<(Vec<f64>, [usize; 2])>,
    /// `[H]`: −slope·|key − position| is added to scores.
    pub slopes: Option<Vec<f64>>,
    /// `[H, 2R+1]`: the term of key − position, clamped to −R..=R, is added to scores.
    pub relative: Option<Vec<f64>>,
    /// `[B, H, Tq, Tk]`: what dropout multiplies weights with.
    pub kept: Option<Vec<f64>>,
}

/// Gradients of a scalar loss with respect to what went in.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// As q.
    pub q: Vec<f64>,
    /// As k.
    pub k: Vec<f64>,
    /// As v.
    pub v: Vec<f64>,
    /// As the bias, empty without one.
    pub bias: Vec<f64>,
    /// As the slopes.
    pub slopes: Vec<f64>,
    /// As the relative terms.
    pub relative: Vec<f64>,
}

/// One query and one key of a head: indices of all that belongs to the pair.
struct Pair {
    q: usize,
    k: usize,
    v: usize,
    out: usize,
    bias: usize,
    head: usize,
    relative: usize,
    apart: f64,
    /// Place in `[B, H, Tq, Tk]`.
    index: usize,
}

impl Sizes {
    /// The pairs of query i of head h in row b that no mask forbids.
    fn pairs(&self, inputs: &Inputs, b: usize, h: usize, i: usize) -> Vec<Pair> {
        let position = i as i64 + self.starts[b];
        let kv = h / (self.heads / self.key_heads);
        let radius = inputs.relative.as_ref().map_or(0, |table| (table.len() / self.heads - 1) / 2) as i64;
        let [bias_b, bias_h] = inputs.bias.as_ref().map_or([1, 1], |(_, extents)| *extents);
        let allowed = |j: &usize| {
            let apart = *j as i64 - position;
            self.before.is_none_or(|before| -apart <= before as i64)
                && self.after.is_none_or(|after| apart <= after as i64)
        };
        let pair = |j: usize| {
            let apart = j as i64 - position;
            let row = (b * self.keys + j) * self.key_heads + kv;
            let column = (apart.clamp(-radius, radius) + radius) as usize;
            let bias = if bias_b > 1 { b } else { 0 } * bias_h + if bias_h > 1 { h } else { 0 };
            Pair {
                q: ((b * self.queries + i) * self.heads + h) * self.width,
                k: row * self.width,
                v: row * self.value_width,
                out: ((b * self.queries + i) * self.heads + h) * self.value_width,
                bias: (bias * self.queries + i) * self.keys + j,
                head: h,
                relative: h * (2 * radius as usize + 1) + column,
                apart: apart.abs() as f64,
                index: ((b * self.heads + h) * self.queries + i) * self.keys + j,
            }
        };
        (0..self.lengths[b].min(self.keys)).filter(allowed).map(pair).collect()
    }

    fn scores(&self, inputs: &Inputs, pairs: &[Pair]) -> Vec<f64> {
        let score = |pair: &Pair| {
            let product: f64 = (0..self.width).map(|c| inputs.q[pair.q + c] * inputs.k[pair.k + c]).sum();
            product * self.scale + inputs.bias.as_ref().map_or(0.0, |(bias, _)| bias[pair.bias])
                - inputs.slopes.as_ref().map_or(0.0, |slopes| slopes[pair.head] * pair.apart)
                + inputs.relative.as_ref().map_or(0.0, |table| table[pair.relative])
        };
        pairs.iter().map(score).collect()
    }

    /// Weights of those pairs: the softmax of their scores. Where all scores are minus infinity, all are 0.
    fn weights(&self, inputs: &Inputs, pairs: &[Pair]) -> Vec<f64> {
        let scores = self.scores(inputs, pairs);
        let total = total_of(&scores);
        scores
            .iter()
            .map(|score| if total > f64::NEG_INFINITY { (score - total).exp() } else { 0.0 })
            .collect()
    }

    /// What dropout makes of a weight of 1.
    fn kept(inputs: &Inputs, pair: &Pair) -> f64 {
        inputs.kept.as_ref().map_or(1.0, |kept| kept[pair.index])
    }

    fn rows(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (batch, heads, queries) = (self.batch, self.heads, self.queries);
        (0..batch).flat_map(move |b| (0..heads).flat_map(move |h| (0..queries).map(move |i| (b, h, i))))
    }
}

/// `out[b,i,h] = Σ_j kept·softmax_j(q·k·scale + terms)·v[b,j]`, `[B, Tq, H, Dv]`; 0 where no key is allowed.
pub fn forward(sizes: &Sizes, inputs: &Inputs) -> Vec<f64> {
    let mut out = vec![0.0; sizes.batch * sizes.queries * sizes.heads * sizes.value_width];
    for (b, h, i) in sizes.rows() {
        let pairs = sizes.pairs(inputs, b, h, i);
        for (pair, weight) in pairs.iter().zip(sizes.weights(inputs, &pairs)) {
            for c in 0..sizes.value_width {
                out[pair.out + c] += weight * Sizes::kept(inputs, pair) * inputs.v[pair.v + c];
            }
        }
    }
    out
}

/// The weights after softmax and dropout, `[B, H, Tq, Tk]`.
pub fn weights(sizes: &Sizes, inputs: &Inputs) -> Vec<f64> {
    let mut all = vec![0.0; sizes.batch * sizes.heads * sizes.queries * sizes.keys];
    for (b, h, i) in sizes.rows() {
        let pairs = sizes.pairs(inputs, b, h, i);
        for (pair, weight) in pairs.iter().zip(sizes.weights(inputs, &pairs)) {
            all[pair.index] = weight * Sizes::kept(inputs, pair);
        }
    }
    all
}

/// Base-2 logarithm of each query's sum of e^score, `[B, Tq, H]`; minus infinity where no key counts.
pub fn log_sums(sizes: &Sizes, inputs: &Inputs) -> Vec<f64> {
    let mut all = vec![0.0; sizes.batch * sizes.queries * sizes.heads];
    for (b, h, i) in sizes.rows() {
        let scores = sizes.scores(inputs, &sizes.pairs(inputs, b, h, i));
        all[(b * sizes.queries + i) * sizes.heads + h] = total_of(&scores) / std::f64::consts::LN_2;
    }
    all
}

/// `ln Σ e^score`, minus infinity of nothing.
fn total_of(scores: &[f64]) -> f64 {
    if scores.iter().all(|score| *score == f64::NEG_INFINITY) {
        f64::NEG_INFINITY
    } else {
        log_sum_exp(scores)
    }
}

/// Gradients of Σ out·dout, by the chain rule through the matrix of weights.
pub fn backward(sizes: &Sizes, inputs: &Inputs, dout: &[f64]) -> Gradients {
    let like = |of: Option<usize>| vec![0.0; of.unwrap_or(0)];
    let mut grads = Gradients {
        q: like(Some(inputs.q.len())),
        k: like(Some(inputs.k.len())),
        v: like(Some(inputs.v.len())),
        bias: like(inputs.bias.as_ref().map(|(bias, _)| bias.len())),
        slopes: like(inputs.slopes.as_ref().map(Vec::len)),
        relative: like(inputs.relative.as_ref().map(Vec::len)),
    };
    for (b, h, i) in sizes.rows() {
        let pairs = sizes.pairs(inputs, b, h, i);
        let weights = sizes.weights(inputs, &pairs);
        let through = |pair: &Pair| -> f64 {
            let dot: f64 = (0..sizes.value_width).map(|c| dout[pair.out + c] * inputs.v[pair.v + c]).sum();
            dot * Sizes::kept(inputs, pair)
        };
        let mean: f64 = pairs.iter().zip(&weights).map(|(pair, weight)| weight * through(pair)).sum();
        for (pair, weight) in pairs.iter().zip(&weights) {
            let ds = weight * (through(pair) - mean);
            for c in 0..sizes.value_width {
                grads.v[pair.v + c] += weight * Sizes::kept(inputs, pair) * dout[pair.out + c];
            }
            for c in 0..sizes.width {
                grads.q[pair.q + c] += ds * sizes.scale * inputs.k[pair.k + c];
                grads.k[pair.k + c] += ds * sizes.scale * inputs.q[pair.q + c];
            }
            if let Some(of) = grads.bias.get_mut(pair.bias) {
                *of += ds;
            }
            if let Some(of) = grads.slopes.get_mut(pair.head) {
                *of -= ds * pair.apart;
            }
            if let Some(of) = grads.relative.get_mut(pair.relative) {
                *of += ds;
            }
        }
    }
    grads
}
