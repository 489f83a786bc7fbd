//! Made-up operands for tuning: numbers of both signs without a pattern, so a wrong element shows and nothing
//! overflows.
//!
//! They are random and not zeros, because some adapters multiply zeros faster, and a kernel that computes nothing would
//! look right.

use seqloom_shaders::Control;

use crate::attention::{self, Pass};
use crate::recurrent::{self, Cell};
use crate::{matmul, reduce};

/// Contents of a task's buffers, as 32-bit words.
#[derive(Clone, Debug, Default)]
pub struct Operands {
    /// Contents of `In(i)`.
    pub ins: Vec<Vec<u32>>,
    /// Contents of `Leaf(i)`.
    pub leaves: Vec<Vec<u32>>,
    /// Elements of `Out(i)`, f32.
    pub outs: Vec<usize>,
}

impl Operands {
    /// A and B.
    pub(super) fn of_matmul(problem: &matmul::Problem) -> Self {
        let matmul::Problem { batch, m, n, k, a_batched, b_batched, .. } = *problem;
        let times = |batched: bool| if batched { batch } else { 1 };
        let ins = vec![floats(1, times(a_batched) * m * k, 1.0), floats(2, times(b_batched) * k * n, 1.0)];
        Self { ins, leaves: Vec::new(), outs: vec![batch * m * n] }
    }

    /// The tensor to reduce, as the one leaf of a plain head.
    pub(super) fn of_reduce(problem: &reduce::Problem) -> Self {
        let reduce::Problem { outer, len, inner, .. } = *problem;
        Self { ins: Vec::new(), leaves: vec![floats(1, outer * len * inner, 1.0)], outs: vec![outer * inner] }
    }

    /// Operands of [`recurrent::lower_forward`].
    pub(super) fn of_recurrence(problem: &recurrent::Problem) -> Self {
        let recurrent::Problem { cell, rows, batch, hidden, .. } = *problem;
        let (wide, states) = (rows * hidden, batch * hidden);
        let mut ins = vec![floats(1, cell.gates() * wide, 1.0), weights(problem), floats(3, states, 1.0)];
        let mut outs = vec![wide, states, wide];
        match cell {
            Cell::Rnn(_) => {}
            Cell::Gru => {
                ins.push(floats(4, hidden, 1.0));
                outs.push(4 * wide);
            }
            Cell::Lstm => {
                ins.push(floats(4, states, 1.0));
                outs.extend([4 * wide, wide, states]);
            }
        }
        ins.push(steps(problem));
        Self { ins, leaves: Vec::new(), outs }
    }

    /// Operands of [`recurrent::lower_backward`]. Saved gates are between 0 and 1, so gradients do not grow without
    /// limit on the way back.
    pub(super) fn of_recurrent_gradient(problem: &recurrent::Problem) -> Self {
        let recurrent::Problem { cell, rows, batch, hidden, .. } = *problem;
        let (wide, states) = (rows * hidden, batch * hidden);
        let mut ins = vec![floats(1, wide, 1.0), weights(problem), steps(problem), floats(3, states, 1.0)];
        let outs = match cell {
            Cell::Rnn(_) => {
                ins.push(shares(4, wide));
                vec![wide, states]
            }
            Cell::Gru => {
                ins.extend([shares(4, wide), shares(5, 4 * wide)]);
                vec![3 * wide, states, 3 * wide]
            }
            Cell::Lstm => {
                ins.extend([shares(4, 4 * wide), shares(5, wide), shares(6, states), floats(7, states, 1.0)]);
                vec![4 * wide, states, states]
            }
        };
        Self { ins, leaves: Vec::new(), outs }
    }

    /// Operands of [`attention::lower`]; every row is as long as the keys.
    pub(super) fn of_attention(pass: Pass, problem: &attention::Problem) -> Self {
        let attention::Problem { batch, heads, key_heads, queries, keys, width, value_width, .. } = *problem;
        let [q, k] = [batch * queries * heads * width, batch * keys * key_heads * width];
        let [v, out] = [batch * keys * key_heads * value_width, batch * queries * heads * value_width];
        let rows = batch * queries * heads;
        let mut ins = vec![floats(1, q, 1.0), floats(2, k, 1.0), floats(3, v, 1.0)];
        if pass != Pass::Forward {
            // Any logarithm of a sum will do; with this one, weights are of order 1.
            ins.extend([floats(4, out, 1.0), floats(5, rows, 1.0), floats(6, rows, 1.0)]);
        }
        if problem.lengths {
            ins.push(vec![keys as u32; batch]);
        }
        let bias = problem.bias.map_or(0, |bias| {
            let [batch, heads] =
                [(bias.batched, batch), (bias.per_head, heads)].map(|(own, n)| if own { n } else { 1 });
            batch * heads * queries * keys
        });
        if problem.bias.is_some() {
            ins.push(floats(7, bias, 1.0));
        }
        let distances = heads * problem.columns();
        if distances > 0 {
            ins.push(shares(8, distances));
        }
        let outs = match pass {
            Pass::Forward => vec![out, rows],
            Pass::Query { learned: true } if distances > 0 => vec![q, distances],
            Pass::Query { .. } => vec![q],
            Pass::Key => vec![k, v],
            Pass::Bias => vec![bias],
        };
        let control = Control { seed: 1, ..Control::default() };
        Self { ins, leaves: vec![bytemuck::cast_slice(&[control]).to_vec()], outs }
    }
}

/// Recurrent weights with which states neither vanish nor grow.
fn weights(problem: &recurrent::Problem) -> Vec<u32> {
    let (hidden, gates) = (problem.hidden, problem.cell.gates());
    floats(2, gates * hidden * hidden, 0.5 / (hidden as f32).sqrt())
}

/// Sequences that are live at each step: all, or as many as fit the rows of a packed batch.
pub(super) fn counts(problem: &recurrent::Problem) -> Vec<usize> {
    let recurrent::Problem { rows, batch, time, packed, .. } = *problem;
    let later = time.saturating_sub(1);
    let rest = match packed && later > 0 {
        true => (rows.saturating_sub(batch) / later).min(batch),
        false => batch,
    };
    std::iter::once(batch).chain(std::iter::repeat_n(rest, later)).collect()
}

/// (start, count) of each step.
fn steps(problem: &recurrent::Problem) -> Vec<u32> {
    let mut start = 0;
    let step = |(t, count): (usize, usize)| {
        let at = if problem.packed { start } else { t };
        start += count;
        [at as u32, count as u32]
    };
    counts(problem).into_iter().enumerate().flat_map(step).collect()
}

/// Floats in [0, 1].
fn shares(seed: u64, len: usize) -> Vec<u32> {
    // The sign is one bit.
    floats(seed, len, 1.0).into_iter().map(|bits| bits & i32::MAX as u32).collect()
}

/// Floats in [-scale, scale) that look random and are the same for the same seed; mixed by splitmix64's constants
/// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn floats(seed: u64, len: usize, scale: f32) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 24 bits are exact in f32.
        (scale * (((mixed ^ (mixed >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0)).to_bits()
    };
    (0..len).map(|_| next()).collect()
}
