//! RNN, LSTM and GRU over whole sequences, forward, and backward through time.
//!
//! It goes one sequence after another, one step after another, whatever the layout of the rows. Gates are in PyTorch's
//! order. The forward pass is the definition. The backward pass is written by hand from it, and the kernel tests check
//! it against finite differences of the forward pass, so it cannot share a mistake with a kernel.

use seqloom_kernels::recurrent::{Activation, Cell};

use super::pointwise::sigmoid;

/// Where the rows of a batch of sequences lie.
#[derive(Clone, Debug)]
pub struct Layout {
    /// \[B\], the steps of each sequence; of packed ones none is 0 and none longer than the one before it.
    pub lengths: Vec<usize>,
    /// T, the steps of the longest.
    pub time: usize,
    /// N, rows of every matrix.
    pub rows: usize,
    /// Time-major without padding, and not `[B, T, ·]`.
    pub packed: bool,
    /// Whether time is walked from the end.
    pub reverse: bool,
}

impl Layout {
    /// Sequences in `[B, T, ·]`.
    pub fn padded(lengths: &[usize], time: usize, reverse: bool) -> Self {
        Layout { lengths: lengths.to_vec(), time, rows: lengths.len() * time, packed: false, reverse }
    }

    /// Sequences without padding inside, followed by `spare` rows.
    pub fn packed(lengths: &[usize], spare: usize, reverse: bool) -> Self {
        let rows = lengths.iter().sum::<usize>() + spare;
        Layout { lengths: lengths.to_vec(), time: lengths[0], rows, packed: true, reverse }
    }

    /// B.
    pub fn batch(&self) -> usize {
        self.lengths.len()
    }

    /// Sequences that are live at step t.
    fn count(&self, t: usize) -> usize {
        self.lengths.iter().filter(|&&length| length > t).count()
    }

    /// The row of sequence b at step t.
    pub fn row(&self, b: usize, t: usize) -> usize {
        if self.packed { (0..t).map(|t| self.count(t)).sum::<usize>() + b } else { b * self.time + t }
    }

    /// The steps of sequence b in the order in which they are walked.
    pub fn order(&self, b: usize) -> Vec<usize> {
        let steps = 0..self.lengths[b];
        if self.reverse { steps.rev().collect() } else { steps.collect() }
    }

    /// `[T, 2]`: start and count of each step, as the kernels want them; of padded sequences only if all are full.
    pub fn steps(&self) -> Vec<u32> {
        (0..self.time).flat_map(|t| [self.row(0, t), self.count(t)]).map(|number| number as u32).collect()
    }
}

/// What goes in; what a cell does not have is empty.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `[N, G·H]`, the input's part of the pre-activations, biases included (of the GRU's n only the input's).
    pub x_proj: Vec<f64>,
    /// `[G·H, H]`.
    pub w_hh: Vec<f64>,
    /// `[B, H]`.
    pub h0: Vec<f64>,
    /// LSTM: `[B, H]`.
    pub c0: Vec<f64>,
    /// GRU: `[H]`.
    pub b_hn: Vec<f64>,
}

/// What comes out; rows that belong to no step hold zeros.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// `[N, H]`.
    pub y: Vec<f64>,
    /// `[B, H]`, the state after the step walked last.
    pub h_n: Vec<f64>,
    /// LSTM: `[B, H]`, its cell.
    pub c_n: Vec<f64>,
    /// `[N, H]`, the state before each step.
    pub before: Vec<f64>,
    /// `[N, 4H]`. LSTM: i, f, g, o; GRU: r, z, n and W_hn h + b_hn.
    pub gates: Vec<f64>,
    /// LSTM: `[N, H]`.
    pub cells: Vec<f64>,
}

/// Gradients of a scalar loss with respect to the outputs.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// `[N, H]`; rows of no step have no influence.
    pub dy: Vec<f64>,
    /// `[B, H]`.
    pub dh_n: Vec<f64>,
    /// LSTM: `[B, H]`.
    pub dc_n: Vec<f64>,
}

/// Gradients with respect to what went in.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    /// `[N, G·H]`; 0 on rows of no step.
    pub dx_proj: Vec<f64>,
    /// `[N, G·H]`, of W_hh h and the bias beside it; other than `dx_proj` only for the GRU.
    pub dh_proj: Vec<f64>,
    /// `[G·H, H]`.
    pub dw_hh: Vec<f64>,
    /// `[B, H]`.
    pub dh0: Vec<f64>,
    /// LSTM: `[B, H]`.
    pub dc0: Vec<f64>,
    /// GRU: `[H]`.
    pub db_hn: Vec<f64>,
}

/// The cell's equations (see [`Cell`]) for every step of every sequence.
pub fn forward(cell: Cell, layout: &Layout, inputs: &Inputs) -> Outputs {
    let (gates, hidden) = (cell.gates(), inputs.h0.len() / layout.batch());
    let mut out = Outputs {
        y: vec![0.0; layout.rows * hidden],
        h_n: inputs.h0.clone(),
        c_n: inputs.c0.clone(),
        before: vec![0.0; layout.rows * hidden],
        gates: vec![0.0; layout.rows * 4 * hidden],
        cells: vec![0.0; layout.rows * hidden],
    };
    for b in 0..layout.batch() {
        for t in layout.order(b) {
            let row = layout.row(b, t);
            let h = out.h_n[b * hidden..][..hidden].to_vec();
            for j in 0..hidden {
                let product = |gate: usize| -> f64 {
                    let weights = &inputs.w_hh[(gate * hidden + j) * hidden..][..hidden];
                    weights.iter().zip(&h).map(|(w, h)| w * h).sum()
                };
                let x = |gate: usize| inputs.x_proj[(row * gates + gate) * hidden + j];
                let (after, saved) = match cell {
                    Cell::Rnn(activation) => (activate(activation, x(0) + product(0)), [0.0; 4]),
                    Cell::Lstm => {
                        let z = |gate: usize| x(gate) + product(gate);
                        let (i, f, g, o) = (sigmoid(z(0)), sigmoid(z(1)), z(2).tanh(), sigmoid(z(3)));
                        let c = f * out.c_n[b * hidden + j] + i * g;
                        out.c_n[b * hidden + j] = c;
                        out.cells[row * hidden + j] = c;
                        (o * c.tanh(), [i, f, g, o])
                    }
                    Cell::Gru => {
                        let (r, z) = (sigmoid(x(0) + product(0)), sigmoid(x(1) + product(1)));
                        let m = product(2) + inputs.b_hn[j];
                        let n = (x(2) + r * m).tanh();
                        ((1.0 - z) * n + z * h[j], [r, z, n, m])
                    }
                };
                for (gate, value) in saved.into_iter().enumerate() {
                    out.gates[(row * 4 + gate) * hidden + j] = value;
                }
                out.before[row * hidden + j] = h[j];
                out.y[row * hidden + j] = after;
                out.h_n[b * hidden + j] = after;
            }
        }
    }
    out
}

/// Back-propagation through time from what [`forward`] saved.
pub fn backward(
    cell: Cell,
    layout: &Layout,
    inputs: &Inputs,
    saved: &Outputs,
    upstream: &Upstream,
) -> Gradients {
    let (gates, hidden) = (cell.gates(), inputs.h0.len() / layout.batch());
    let mut grads = Gradients {
        dx_proj: vec![0.0; layout.rows * gates * hidden],
        dh_proj: vec![0.0; layout.rows * gates * hidden],
        dw_hh: vec![0.0; inputs.w_hh.len()],
        dh0: upstream.dh_n.clone(),
        dc0: upstream.dc_n.clone(),
        db_hn: vec![0.0; inputs.b_hn.len()],
    };
    for b in 0..layout.batch() {
        let order = layout.order(b);
        for (walked, &t) in order.iter().enumerate().rev() {
            let row = layout.row(b, t);
            // The part of the gradient that reaches the state before the step without the product.
            let mut past = vec![0.0; hidden];
            for j in 0..hidden {
                let gate = |gate: usize| saved.gates[(row * 4 + gate) * hidden + j];
                let dh = upstream.dy[row * hidden + j] + grads.dh0[b * hidden + j];
                // Gradients of the gates' pre-activations, and of W_hh h where it is not the same.
                let (dx, dp) = match cell {
                    Cell::Rnn(activation) => {
                        let d = [dh * slope(activation, saved.y[row * hidden + j]), 0.0, 0.0, 0.0];
                        (d, d)
                    }
                    Cell::Lstm => {
                        let (i, f, g, o) = (gate(0), gate(1), gate(2), gate(3));
                        let earlier = match walked {
                            0 => inputs.c0[b * hidden + j],
                            _ => saved.cells[layout.row(b, order[walked - 1]) * hidden + j],
                        };
                        let squashed = saved.cells[row * hidden + j].tanh();
                        let dc = grads.dc0[b * hidden + j] + dh * o * (1.0 - squashed * squashed);
                        grads.dc0[b * hidden + j] = dc * f;
                        let d = [
                            dc * g * i * (1.0 - i),
                            dc * earlier * f * (1.0 - f),
                            dc * i * (1.0 - g * g),
                            dh * squashed * o * (1.0 - o),
                        ];
                        (d, d)
                    }
                    Cell::Gru => {
                        let (r, z, n, m) = (gate(0), gate(1), gate(2), gate(3));
                        past[j] = dh * z;
                        let dn = dh * (1.0 - z) * (1.0 - n * n);
                        let dz = dh * (saved.before[row * hidden + j] - n) * z * (1.0 - z);
                        let dr = dn * m * r * (1.0 - r);
                        grads.db_hn[j] += dn * r;
                        ([dr, dz, dn, 0.0], [dr, dz, dn * r, 0.0])
                    }
                };
                for gate in 0..gates {
                    grads.dx_proj[(row * gates + gate) * hidden + j] = dx[gate];
                    grads.dh_proj[(row * gates + gate) * hidden + j] = dp[gate];
                }
            }
            let dp = &grads.dh_proj[row * gates * hidden..][..gates * hidden];
            for k in 0..hidden {
                let product: f64 = dp.iter().enumerate().map(|(r, d)| d * inputs.w_hh[r * hidden + k]).sum();
                grads.dh0[b * hidden + k] = past[k] + product;
                for (r, d) in dp.iter().enumerate() {
                    grads.dw_hh[r * hidden + k] += d * saved.before[row * hidden + k];
                }
            }
        }
    }
    grads
}

fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Tanh => z.tanh(),
        Activation::Relu => z.max(0.0),
        Activation::Sigmoid => sigmoid(z),
    }
}

/// The derivative of the activation, given its value y.
fn slope(activation: Activation, y: f64) -> f64 {
    match activation {
        Activation::Tanh => 1.0 - y * y,
        Activation::Relu => f64::from(y > 0.0),
        Activation::Sigmoid => y * (1.0 - y),
    }
}
