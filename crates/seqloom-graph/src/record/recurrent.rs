//! Recurrent layers over whole sequences: the vanilla RNN, the LSTM and the GRU, each one operation with a kernel
//! family that keeps the loop over time on the device.
//!
//! The input's part of the gates, x·W_ihᵀ + b, is one product over all steps before the operation; the gradients of the
//! weights are products over all steps after it. The operation is the part that must run in the order of time.
//! Recording a cell once per step instead would work with any cell, but make T times the nodes, dispatches and stored
//! tensors.
//!
//! Sequences are padded, [B, T, ·], if all rows have T steps, and packed, [N, ·], if they have [`Lengths`]. Packed rows
//! are ranked by length for the kernels, so states are put in the order of ranks before and back after.

use seqloom_kernels::recurrent::Cell;

pub use seqloom_kernels::recurrent::Activation;

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::{Recurrence, Table};
use crate::ir::shape::Shape;
use crate::record::lengths::Lengths;
use crate::record::tensor::{Tensor, here};

/// The result of [`Tensor::lstm`].
#[derive(Clone, Copy, Debug)]
pub struct LstmOutput<'g> {
    /// Hidden states of all steps: [B, T, H], or packed [N, H] with lengths, 0 on surplus rows.
    pub y: Tensor<'g>,
    /// Hidden state after each row's last step in the direction of the run, [B, H].
    pub h_n: Tensor<'g>,
    /// Cell state after it, [B, H].
    pub c_n: Tensor<'g>,
}

/// The result of [`Tensor::rnn`] and [`Tensor::gru`].
#[derive(Clone, Copy, Debug)]
pub struct RecurrentOutput<'g> {
    /// Hidden states of all steps: [B, T, H], or packed [N, H] with lengths, 0 on surplus rows.
    pub y: Tensor<'g>,
    /// Hidden state after each row's last step in the direction of the run, [B, H].
    pub h_n: Tensor<'g>,
}

impl<'g> Tensor<'g> {
    /// One direction of a vanilla RNN layer (Elman 1990) over whole sequences, PyTorch's equations:
    ///
    /// h ← φ(x_proj\[t\] + h·W_hhᵀ), φ = tanh, max(0, ·) or sigmoid
    ///
    /// `self` is x_proj, the projected input with both biases: [B, T, H], or packed [N, H] if there are `lengths`; `w_hh`
    /// [H, H]; `h0` [B, H]. If `reverse`, each row runs from its own last step to its first.
    #[track_caller]
    #[must_use]
    pub fn rnn(
        self,
        w_hh: Self,
        h0: Self,
        activation: Activation,
        reverse: bool,
        lengths: Option<Lengths<'g>>,
    ) -> RecurrentOutput<'g> {
        let outputs = self.recurrent(Cell::Rnn(activation), w_hh, &[h0], None, reverse, lengths);
        RecurrentOutput { y: outputs[0], h_n: outputs[1] }
    }

    /// One direction of an LSTM layer over whole sequences (Hochreiter & Schmidhuber 1997 with the forget gate of Gers et
    /// al. 2000), PyTorch's equations:
    ///
    /// z = x_proj\[t\] + h·W_hhᵀ; i, f, o = sigmoid(zᵢ, z_f, z_o); g = tanh(z_g); c ← f∘c + i∘g; h ← o∘tanh(c)
    ///
    /// `self` is x_proj, the projected input with both biases, gates in the order i, f, g, o: [B, T, 4H], or packed [N, 4H]
    /// if there are `lengths`; `w_hh` [4H, H]; `h0` and `c0` [B, H]. If `reverse`, each row runs from its own last step to
    /// its first.
    #[track_caller]
    #[must_use]
    pub fn lstm(
        self,
        w_hh: Self,
        h0: Self,
        c0: Self,
        reverse: bool,
        lengths: Option<Lengths<'g>>,
    ) -> LstmOutput<'g> {
        let outputs = self.recurrent(Cell::Lstm, w_hh, &[h0, c0], None, reverse, lengths);
        LstmOutput { y: outputs[0], h_n: outputs[1], c_n: outputs[2] }
    }

    /// One direction of a GRU layer over whole sequences (Cho et al. 2014, with the reset gate after the product as in
    /// cuDNN and PyTorch):
    ///
    /// r = sigmoid(x_r + h·W_hrᵀ); z = sigmoid(x_z + h·W_hzᵀ); n = tanh(x_n + r∘(h·W_hnᵀ + b_hn)); h ← (1 − z)∘n + z∘h
    ///
    /// `self` is x_proj, the projected input in the order r, z, n, with both biases of r and z but only the input's of n:
    /// [B, T, 3H], or packed [N, 3H] if there are `lengths`; `w_hh` [3H, H]; `b_hn` \[H\]; `h0` [B, H]. If `reverse`, each row
    /// runs from its own last step to its first.
    #[track_caller]
    #[must_use]
    pub fn gru(
        self,
        w_hh: Self,
        b_hn: Self,
        h0: Self,
        reverse: bool,
        lengths: Option<Lengths<'g>>,
    ) -> RecurrentOutput<'g> {
        let outputs = self.recurrent(Cell::Gru, w_hh, &[h0], Some(b_hn), reverse, lengths);
        RecurrentOutput { y: outputs[0], h_n: outputs[1] }
    }

    /// y and the final states; three copies of the poisoned tensor after a mistake.
    #[track_caller]
    fn recurrent(
        self,
        cell: Cell,
        w_hh: Self,
        states: &[Self],
        bias: Option<Self>,
        reverse: bool,
        lengths: Option<Lengths<'g>>,
    ) -> Vec<Self> {
        let at = here();
        let recurrence = Recurrence { cell, packed: lengths.is_some(), reverse };
        let name = recurrence.name();
        let others: Vec<_> = std::iter::once(w_hh).chain(states.iter().copied()).chain(bias).collect();
        let floats: Vec<_> =
            std::iter::once(self).chain(others.iter().copied()).map(|t| (t, DType::F32)).collect();
        let poisoned = self.refuse(name, &floats, at).or_else(|| lengths.and_then(|l| l.refuse(name, self)));
        if let Some(poisoned) = poisoned {
            return vec![poisoned; 3];
        }
        let (gates, hidden) = (cell.gates(), w_hh.dim(1));
        let lead = match lengths {
            None if self.rank() == 3 => vec![self.dim(0), self.dim(1)],
            None => Vec::new(),
            Some(lengths) => vec![lengths.rows()],
        };
        let batch = lengths.map_or(self.dim(0), Lengths::batch);
        let time = lengths.map_or(self.dim(1), Lengths::time);
        let fits = self.shape()[..] == [&lead[..], &[gates * hidden]].concat()
            && w_hh.shape()[..] == [gates * hidden, hidden]
            && states.iter().all(|state| state.shape()[..] == [batch, hidden])
            && bias.is_none_or(|bias| bias.shape()[..] == [hidden])
            && hidden > 0
            && time > 0;
        if !fits {
            let (rows, g) = (if lengths.is_some() { "N" } else { "B,T" }, gates);
            let (also, bias) = match cell {
                Cell::Lstm => (" and c0", ""),
                Cell::Gru => ("", ", b_hn [H]"),
                Cell::Rnn(_) => ("", ""),
            };
            let detail = format!(
                "needs x_proj [{rows},{g}H], w_hh [{g}H,H]{bias}, h0{also} [B,H], T and H of 1 or more"
            );
            return vec![self.shape_error(name, &others, &detail, at); 3];
        }
        let graph = self.graph;
        let steps = match lengths {
            Some(lengths) => lengths.table(Table::Steps),
            None => {
                let of = |t: usize| [t as u32, batch as u32];
                graph.literal_u32(&[self.dim(1), 2], (0..self.dim(1)).flat_map(of).collect())
            }
        };
        let moved =
            |state: Self, from, back| lengths.map_or(state, |lengths| lengths.moved(state, from, back));
        let rows: usize = lead.iter().product();
        let mut operands = vec![self.reshape(&[rows, gates * hidden]), w_hh];
        operands.extend(states.iter().map(|&state| moved(state, Table::Order, Table::Rank)));
        operands.extend(bias);
        operands.push(steps);
        let along = |columns| Shape::new(&[rows, columns]).unwrap_or_default();
        let (sequence, state) = (along(hidden), states[0].shape());
        let mut shapes = vec![sequence, state, sequence];
        match cell {
            Cell::Rnn(_) => {}
            Cell::Gru => shapes.push(along(4 * hidden)),
            Cell::Lstm => shapes.extend([along(4 * hidden), sequence, state]),
        }
        let shapes: Vec<_> = shapes.into_iter().map(|shape| (shape, DType::F32)).collect();
        let outputs = graph.push_outputs(Op::Recurrent(recurrence), &operands, &shapes, at);
        let y = outputs[0].reshape(&[&lead[..], &[hidden]].concat());
        let last = |state| moved(state, Table::Rank, Table::Order);
        std::iter::once(y)
            .chain([Some(&outputs[1]), outputs.get(5)].into_iter().flatten().map(|&s| last(s)))
            .collect()
    }
}
