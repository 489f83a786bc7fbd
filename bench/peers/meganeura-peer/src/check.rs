//! W6's inputs, and whether what came out of them is attention.
//!
//! Out of the first and the last head, in f64 on the CPU: with `P = softmax(Q·Kᵀ/√d)` under the causal mask, `O = P·V`; of
//! the gradient `G` of `O`, `dV = Pᵀ·G`, `dS = P∘(G·Vᵀ − rowsum(G∘O))`, `dQ = dS·K/√d`, `dK = dSᵀ·Q/√d`. A time of a
//! wrong result would be worth nothing, and a driver may well give one: meganeura's own continuous integration skips the
//! backward kernels on software adapters.

use meganeura::Session;

use super::{ALL_HEADS, HEAD, Lcg};

/// Of the greatest value: above what f32 sums of 1024 terms leave, below any wrong sum.
pub const TOLERANCE: f64 = 1e-3;

/// Queries, keys, values and the gradient of the result, each `[time, ALL_HEADS·HEAD]`.
pub struct Inputs {
    time: usize,
    values: [Vec<f32>; 4],
}

const NAMES: [&str; 4] = ["q", "k", "v", "grad"];

impl Inputs {
    /// Uniform, of about unit variance.
    pub fn random(time: usize) -> Self {
        let mut random = Lcg(7);
        Self { time, values: NAMES.map(|_| random.uniform(time * ALL_HEADS * HEAD, 1.7)) }
    }

    pub fn set(&self, session: &mut Session, gradients: bool) {
        for (name, values) in NAMES.iter().zip(&self.values) {
            match (gradients, *name) {
                (true, "grad") => session.set_input(name, values),
                (false, "grad") => {}
                (true, _) => session.set_parameter(name, values),
                (false, _) => session.set_input(name, values),
            }
        }
    }

    /// Greatest difference over the greatest value: of the result, or with `gradients` of the three gradients.
    pub fn error(&self, session: &Session, gradients: bool) -> f64 {
        let size = self.values[0].len();
        let found: Vec<Vec<f32>> = if gradients {
            let gradient = |name: &&str| {
                let mut values = vec![0.0; size];
                session.read_param_grad(name, &mut values);
                values
            };
            NAMES[..3].iter().map(gradient).collect()
        } else {
            vec![session.read_output(size)]
        };
        let mut worst = 0.0f64;
        for head in [0, ALL_HEADS - 1] {
            let [result, dq, dk, dv] = self.expected(head);
            let expected = if gradients { vec![dq, dk, dv] } else { vec![result] };
            for (found, expected) in found.iter().zip(expected) {
                let greatest = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
                let found = self.rows(found, head);
                for (found, expected) in found.iter().zip(expected) {
                    let off = (found - expected).abs() / greatest;
                    // What is no number is as wrong as can be.
                    worst = worst.max(if off.is_nan() { f64::INFINITY } else { off });
                }
            }
        }
        worst
    }

    /// One head, `[time, HEAD]`.
    fn rows(&self, values: &[f32], head: usize) -> Vec<f64> {
        let rows = values.chunks_exact(ALL_HEADS * HEAD);
        rows.flat_map(|row| row[head * HEAD..(head + 1) * HEAD].iter().map(|value| f64::from(*value)))
            .collect()
    }

    /// Of one head: the result and the gradients of queries, keys and values.
    fn expected(&self, head: usize) -> [Vec<f64>; 4] {
        let [q, k, v, grad] = [0, 1, 2, 3].map(|which| self.rows(&self.values[which], head));
        let row = |of: &[f64], at: usize| of[at * HEAD..(at + 1) * HEAD].to_vec();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let add = |to: &mut [f64], at: usize, scale: f64, from: &[f64]| {
            to[at * HEAD..(at + 1) * HEAD].iter_mut().zip(from).for_each(|(to, from)| *to += scale * from);
        };
        let scale = 1.0 / (HEAD as f64).sqrt();
        let [mut result, mut dq, mut dk, mut dv] = [(); 4].map(|()| vec![0.0; self.time * HEAD]);
        for i in 0..self.time {
            let (q, grad) = (row(&q, i), row(&grad, i));
            let scores: Vec<f64> = (0..=i).map(|j| scale * dot(&q, &row(&k, j))).collect();
            let most = scores.iter().fold(f64::MIN, |most, score| most.max(*score));
            let sum: f64 = scores.iter().map(|score| (score - most).exp()).sum();
            let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp() / sum).collect();
            shares.iter().enumerate().for_each(|(j, share)| add(&mut result, i, *share, &row(&v, j)));
            let mean = dot(&grad, &row(&result, i));
            for (j, share) in shares.iter().enumerate() {
                let slope = scale * share * (dot(&grad, &row(&v, j)) - mean);
                add(&mut dq, i, slope, &row(&k, j));
                add(&mut dk, j, slope, &q);
                add(&mut dv, j, *share, &grad);
            }
        }
        [result, dq, dk, dv]
    }
}
