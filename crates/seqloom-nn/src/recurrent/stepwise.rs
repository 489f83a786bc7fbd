//! Recurrences without a kernel, recorded step by step.
//!
//! A projection and a reset before the product make a second product within a step, of what all hidden units of that step are.
//! The kernels of recurrent layers have one product in a step, so here each step is recorded on its own, as two products and a
//! few pointwise operations. That makes T times the nodes, launches and stored tensors. Forward and backward over B = 16, T = 64 and
//! C = H = 64 take 100 ms in 1850 launches, with the kernels 26 ms in 141 (llvmpipe, Mesa 22.3, 2 shared cores). Peepholes and
//! the clip need no second product; they are recorded here too.
//!
//! Steps are parted and joined by halves: parted one by one, the gradient of each step would be as long as the sequence, and
//! there would be T² steps to add.

use seqloom_graph::{Lengths, Tensor};

/// How the steps of one direction of a layer are walked.
#[derive(Clone, Copy)]
pub(super) struct Walk<'g> {
    /// From each row's last step to its first.
    pub(super) reverse: bool,
    /// With lengths sequences are packed.
    pub(super) lengths: Option<Lengths<'g>>,
}

/// What a step of an LSTM has besides x_proj.
#[derive(Clone, Copy)]
pub(super) struct LstmWeights<'g> {
    /// [4H, P], P = H without a projection.
    pub(super) w_hh: Tensor<'g>,
    /// [P, H].
    pub(super) projection: Option<Tensor<'g>>,
    /// \[3H\] of i, f and o.
    pub(super) peepholes: Option<Tensor<'g>>,
    /// Bound of what the gates' activations get.
    pub(super) clip: Option<f32>,
}

/// An LSTM over x_proj [B, T, 4H] or packed [N, 4H], both biases in it, from h0 [B, P] and c0 [B, H]: outputs and final states.
#[track_caller]
pub(super) fn lstm<'g>(
    x_proj: Tensor<'g>,
    weights: LstmWeights<'g>,
    start: [Tensor<'g>; 2],
    walk: Walk<'g>,
) -> (Tensor<'g>, [Tensor<'g>; 2]) {
    let LstmWeights { w_hh, projection, peepholes, clip } = weights;
    let hidden = start[1].dim(1);
    let seen = |gate: usize, z: Tensor<'g>, c: Tensor<'g>| match peepholes {
        Some(peepholes) => z + peepholes.slice(0, gate * hidden, hidden) * c,
        None => z,
    };
    let bounded = |z: Tensor<'g>| clip.map_or(z, |clip| z.clamp(-clip, clip));
    walk.over(x_proj, start, |x, [h, c]| {
        let z = x + h.matmul_t(w_hh);
        let part = |gate: usize| z.slice(1, gate * hidden, hidden);
        let i = bounded(seen(0, part(0), c)).sigmoid();
        let f = bounded(seen(1, part(1), c)).sigmoid();
        let g = bounded(part(2)).tanh();
        let c = f * c + i * g;
        let o = bounded(seen(2, part(3), c)).sigmoid();
        let h = o * c.tanh();
        [projection.map_or(h, |w_hr| h.matmul_t(w_hr)), c]
    })
}

/// A GRU with the reset before the product over x_proj [B, T, 3H] or packed [N, 3H], both biases in it, from h0 [B, H].
#[track_caller]
pub(super) fn gru<'g>(
    x_proj: Tensor<'g>,
    w_hh: Tensor<'g>,
    h0: Tensor<'g>,
    walk: Walk<'g>,
) -> (Tensor<'g>, [Tensor<'g>; 1]) {
    let hidden = h0.dim(1);
    let (w_rz, w_n) = (w_hh.slice(0, 0, 2 * hidden), w_hh.slice(0, 2 * hidden, hidden));
    walk.over(x_proj, [h0], |x, [h]| {
        let gates = (x.slice(1, 0, 2 * hidden) + h.matmul_t(w_rz)).sigmoid();
        let (r, z) = (gates.slice(1, 0, hidden), gates.slice(1, hidden, hidden));
        let n = (x.slice(1, 2 * hidden, hidden) + (r * h).matmul_t(w_n)).tanh();
        [n + z * (h - n)]
    })
}

impl<'g> Walk<'g> {
    /// All steps in their order. `step` makes the next states of a step's x_proj [B, G] and the states [B, ·]; the first of them is
    /// its output. Outputs lie as x_proj does.
    #[track_caller]
    fn over<const STATES: usize>(
        self,
        x_proj: Tensor<'g>,
        start: [Tensor<'g>; STATES],
        step: impl Fn(Tensor<'g>, [Tensor<'g>; STATES]) -> [Tensor<'g>; STATES],
    ) -> (Tensor<'g>, [Tensor<'g>; STATES]) {
        let x = self.lengths.map_or(x_proj, |lengths| lengths.unpack(x_proj));
        let (g, batch, time) = (x.graph(), x.dim(0), x.dim(1));
        let mut steps = Vec::with_capacity(time);
        part(x, &mut steps);
        let counts = self.lengths.map(|lengths| lengths.tensor().to_f32().reshape(&[batch, 1]));
        let mut states = start;
        // What stands on padded steps is not packed.
        let mut outputs = Vec::with_capacity(time);
        for done in 0..steps.len() {
            let t = if self.reverse { steps.len() - 1 - done } else { done };
            let next = step(steps[t], states);
            outputs.push(next[0]);
            states = match counts {
                None => next,
                // A row that has ended, or not begun, hands its states on.
                Some(counts) => {
                    let live = g.full(&[batch, 1], t as f32).less(counts);
                    std::array::from_fn(|i| live.select(next[i], states[i]))
                }
            };
        }
        if self.reverse {
            outputs.reverse();
        }
        let y = joined(&outputs).unwrap_or(x);
        (self.lengths.map_or(y, |lengths| lengths.pack(y)), states)
    }
}

/// The steps of x [B, T, G], [B, G] each.
#[track_caller]
fn part<'g>(x: Tensor<'g>, steps: &mut Vec<Tensor<'g>>) {
    match x.dim(1) {
        0 => {}
        1 => steps.push(x.reshape(&[x.dim(0), x.dim(2)])),
        time => {
            part(x.slice(1, 0, time / 2), steps);
            part(x.slice(1, time / 2, time - time / 2), steps);
        }
    }
}

/// Steps [B, H] side by side, [B, T, H]; none of no step.
#[track_caller]
fn joined<'g>(steps: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    match steps {
        [] => None,
        [only] => Some(only.reshape(&[only.dim(0), 1, only.dim(1)])),
        _ => {
            let (first, second) = steps.split_at(steps.len() / 2);
            let (first, second) = (joined(first)?, joined(second)?);
            Some(Tensor::concat(first, &[second], 1))
        }
    }
}
