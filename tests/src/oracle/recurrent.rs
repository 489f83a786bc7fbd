//! The LSTM over whole sequences, forward, and backward through time.
//!
//! Gates stand in PyTorch's order i, f, g, o. The forward pass is the definition; the backward pass is written by
//! hand from it and is itself held against finite differences of the forward pass by the kernel tests, so that it
//! cannot share a mistake with a kernel.

use super::pointwise::sigmoid;

/// Sizes of a batch of sequences.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// B, number of sequences.
    pub batch: usize,
    /// T, steps of the longest.
    pub time: usize,
    /// H, width of the state.
    pub hidden: usize,
}

/// What goes in.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// `[B, T, 4H]`, the input's part of the pre-activations, biases included.
    pub x_proj: Vec<f64>,
    /// `[4H, H]`.
    pub w_hh: Vec<f64>,
    /// `[B, H]`.
    pub h0: Vec<f64>,
    /// `[B, H]`.
    pub c0: Vec<f64>,
    /// `[B]`, the number of true steps of each sequence, 0 to T.
    pub lengths: Vec<u32>,
}

/// What comes out; padded steps hold zeros.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// `[B, T, H]`.
    pub y: Vec<f64>,
    /// `[B, T, 4H]`, after their activations.
    pub gates: Vec<f64>,
    /// `[B, T, H]`.
    pub cells: Vec<f64>,
    /// `[B, H]`, the state after the last true step.
    pub h_n: Vec<f64>,
    /// `[B, H]`, the cell after the last true step.
    pub c_n: Vec<f64>,
}

/// Gradients of a scalar loss with respect to the outputs.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `[B, T, H]`; whatever stands on padded steps has no influence.
    pub dy: Vec<f64>,
    /// `[B, H]`.
    pub dh_n: Vec<f64>,
    /// `[B, H]`.
    pub dc_n: Vec<f64>,
}

/// Gradients with respect to what went in.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// `[B, T, 4H]`, gradient of the pre-activations and so of `x_proj`; 0 on padded steps.
    pub dz: Vec<f64>,
    /// `[4H, H]`.
    pub dw_hh: Vec<f64>,
    /// `[B, H]`.
    pub dh0: Vec<f64>,
    /// `[B, H]`.
    pub dc0: Vec<f64>,
}

/// `z = x_proj + h·W_hhᵀ; i,f,o = σ(z), g = tanh(z); c' = f·c + i·g; h' = o·tanh(c')`, for every true step.
pub fn forward(sizes: &Sizes, inputs: &Inputs) -> Outputs {
    let Sizes { batch, time, hidden } = *sizes;
    let mut out = Outputs {
        y: vec![0.0; batch * time * hidden],
        gates: vec![0.0; batch * time * 4 * hidden],
        cells: vec![0.0; batch * time * hidden],
        h_n: inputs.h0.clone(),
        c_n: inputs.c0.clone(),
    };
    for b in 0..batch {
        for t in 0..inputs.lengths[b] as usize {
            let step = b * time + t;
            let h = out.h_n[b * hidden..][..hidden].to_vec();
            for j in 0..hidden {
                let z = |gate: usize| {
                    let row = gate * hidden + j;
                    let dot: f64 = (0..hidden).map(|k| h[k] * inputs.w_hh[row * hidden + k]).sum();
                    inputs.x_proj[step * 4 * hidden + row] + dot
                };
                let (i, f, g, o) = (sigmoid(z(0)), sigmoid(z(1)), z(2).tanh(), sigmoid(z(3)));
                let c = f * out.c_n[b * hidden + j] + i * g;
                for (gate, value) in [i, f, g, o].into_iter().enumerate() {
                    out.gates[(step * 4 + gate) * hidden + j] = value;
                }
                out.cells[step * hidden + j] = c;
                out.y[step * hidden + j] = o * c.tanh();
                out.c_n[b * hidden + j] = c;
                out.h_n[b * hidden + j] = o * c.tanh();
            }
        }
    }
    out
}

/// Back-propagation through time from the saved gates and cells of [`forward`].
pub fn backward(sizes: &Sizes, inputs: &Inputs, saved: &Outputs, upstream: &Upstream) -> Gradients {
    let Sizes { batch, time, hidden } = *sizes;
    let mut grads = Gradients {
        dz: vec![0.0; batch * time * 4 * hidden],
        dw_hh: vec![0.0; 4 * hidden * hidden],
        dh0: upstream.dh_n.clone(),
        dc0: upstream.dc_n.clone(),
    };
    for b in 0..batch {
        for t in (0..inputs.lengths[b] as usize).rev() {
            let step = b * time + t;
            for j in 0..hidden {
                let gate = |gate: usize| saved.gates[(step * 4 + gate) * hidden + j];
                let (i, f, g, o) = (gate(0), gate(1), gate(2), gate(3));
                let before =
                    if t == 0 { inputs.c0[b * hidden + j] } else { saved.cells[(step - 1) * hidden + j] };
                let squashed = saved.cells[step * hidden + j].tanh();
                let dh = upstream.dy[step * hidden + j] + grads.dh0[b * hidden + j];
                let dc = grads.dc0[b * hidden + j] + dh * o * (1.0 - squashed * squashed);
                let dz = [
                    dc * g * i * (1.0 - i),
                    dc * before * f * (1.0 - f),
                    dc * i * (1.0 - g * g),
                    dh * squashed * o * (1.0 - o),
                ];
                for (gate, value) in dz.into_iter().enumerate() {
                    grads.dz[(step * 4 + gate) * hidden + j] = value;
                }
                grads.dc0[b * hidden + j] = dc * f;
            }
            let dz = &grads.dz[step * 4 * hidden..][..4 * hidden];
            for k in 0..hidden {
                let h = match t {
                    0 => inputs.h0[b * hidden + k],
                    _ => saved.y[(step - 1) * hidden + k],
                };
                grads.dh0[b * hidden + k] =
                    (0..4 * hidden).map(|r| dz[r] * inputs.w_hh[r * hidden + k]).sum();
                for r in 0..4 * hidden {
                    grads.dw_hh[r * hidden + k] += dz[r] * h;
                }
            }
        }
    }
    grads
}
