//! Operations with kernels of their own: softmax, cross-entropy, the embedding gather, the LSTM.

use crate::op::Op;
use crate::shape::{DType, Shape};
use crate::tensor::{Tensor, here};

/// What [`Tensor::lstm`] gives.
#[derive(Clone, Copy, Debug)]
pub struct LstmOutput<'g> {
    /// Hidden states of all steps, [B, T, H]; 0 on padded steps.
    pub y: Tensor<'g>,
    /// Hidden state after each row's last true step, [B, H].
    pub h_n: Tensor<'g>,
    /// Cell state after each row's last true step, [B, H].
    pub c_n: Tensor<'g>,
}

impl<'g> Tensor<'g> {
    /// eˣ / Σ eˣ over the last axis.
    #[track_caller]
    #[must_use]
    pub fn softmax(self) -> Self {
        self.normalised("softmax", false)
    }

    /// x − ln Σ eˣ over the last axis.
    #[track_caller]
    #[must_use]
    pub fn log_softmax(self) -> Self {
        self.normalised("log_softmax", true)
    }

    #[track_caller]
    fn normalised(self, name: &'static str, log: bool) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32)], at) {
            return poisoned;
        }
        match self.rows(name, at) {
            Ok(rows) => rows.unary_node(Op::Softmax { log }, rows.shape(), at).unary_node(
                Op::Reshape,
                self.shape(),
                at,
            ),
            Err(poisoned) => poisoned,
        }
    }

    /// Mean over the targets that count of −log_softmax(logits)\[target\]: logits [.., V], targets [..] of u32 → scalar.
    /// Targets equal to `ignore_index` count neither in the sum nor in the mean; if none counts the loss is 0.
    #[track_caller]
    #[must_use]
    pub fn cross_entropy(self, targets: Self, ignore_index: Option<u32>) -> Self {
        let at = here();
        let name = "cross_entropy";
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32), (targets, DType::U32)], at) {
            return poisoned;
        }
        let logits = match self.rows(name, at) {
            Ok(logits) => logits,
            Err(poisoned) => return poisoned,
        };
        let rows = logits.dim(0);
        if targets.shape()[..] != self.shape()[..self.rank() - 1] {
            return self.shape_error(
                name,
                &[targets],
                "targets need the logits' shape without the last axis",
                at,
            );
        }
        let targets = targets.reshape(&[rows]);
        let per_row = Shape::new(&[rows]).unwrap_or_default();
        let outputs = [(per_row, DType::F32), (logits.shape(), DType::F32)];
        let losses =
            self.graph.push_outputs(Op::CrossEntropy { ignore_index }, &[logits, targets], &outputs, at);
        let total = losses[0].sum(0);
        match ignore_index {
            None => total / self.graph.count(rows, at),
            Some(ignored) => {
                let ignored = targets.to_f32().equal(self.graph.constant(ignored as f32, at)).sum(0);
                let counted = self.graph.count(rows, at) - ignored;
                total / counted.maximum(self.graph.constant(1.0, at))
            }
        }
    }

    /// Rows of this table [V, C] named by `ids` [..] → [.., C]: an embedding. Its gradient sums, for each id, the rows
    /// that took it, in the order of their positions; for that `ids` must be an input, so that the host can sort them.
    /// An id of V or more is an error when the program is run.
    #[track_caller]
    #[must_use]
    pub fn gather_rows(self, ids: Self) -> Self {
        let at = here();
        let name = "gather_rows";
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32), (ids, DType::U32)], at) {
            return poisoned;
        }
        if self.rank() != 2 || ids.rank() + 1 > crate::MAX_RANK {
            return self.shape_error(
                name,
                &[ids],
                "needs a table [V, C] and ids of at most 3 dimensions",
                at,
            );
        }
        let mut dims = ids.shape().to_vec();
        let flat = ids.reshape(&[ids.shape().len()]);
        let rows = Shape::new(&[flat.dim(0), self.dim(1)]).unwrap_or_default();
        dims.push(self.dim(1));
        self.graph.push(Op::Gather, &[self, flat], rows, DType::F32, at).reshape(&dims)
    }

    /// One layer of LSTM over whole sequences (Hochreiter & Schmidhuber 1997 with forget gates, PyTorch's equations):
    ///
    /// z = x_proj\[t\] + h·W_hhᵀ; i, f, o = sigmoid(zᵢ, z_f, z_o); g = tanh(z_g); c ← f∘c + i∘g; h ← o∘tanh(c)
    ///
    /// `self` is x_proj [B, T, 4H], the projected input with both biases, gates in the order i, f, g, o; `w_hh` [4H, H];
    /// `h0` and `c0` [B, H]; `lengths` \[B\] of u32, from 1 to T, or `None` where every row has T steps.
    #[track_caller]
    #[must_use]
    pub fn lstm(self, w_hh: Self, h0: Self, c0: Self, lengths: Option<Self>) -> LstmOutput<'g> {
        let at = here();
        let name = "lstm";
        let all = |poisoned| LstmOutput { y: poisoned, h_n: poisoned, c_n: poisoned };
        let floats = [self, w_hh, h0, c0].map(|t| (t, DType::F32));
        if let Some(poisoned) = self.refuse(name, &floats, at) {
            return all(poisoned);
        }
        let (batch, time, hidden) = (self.dim(0), self.dim(1), self.dim(2) / 4);
        if lengths.is_some() {
            let detail = "sequences of many lengths have to be packed, which the graph cannot do yet";
            return all(self.shape_error(name, &[w_hh, h0, c0], detail, at));
        }
        let steps: Vec<u32> = (0..time).flat_map(|t| [t as u32, batch as u32]).collect();
        let steps = self.graph.literal_u32(&[time, 2], steps);
        let fits = self.rank() == 3
            && self.dim(2) == 4 * hidden
            && w_hh.shape()[..] == [4 * hidden, hidden]
            && h0.shape()[..] == [batch, hidden]
            && c0.shape()[..] == [batch, hidden]
            && !self.shape().is_empty();
        if !fits {
            let detail = "needs x_proj [B,T,4H], w_hh [4H,H], h0 and c0 [B,H]";
            return all(self.shape_error(name, &[w_hh, h0, c0], detail, at));
        }
        let (sequence, state) = (self.shape().with(2, hidden), h0.shape());
        let outputs = [sequence, state, sequence, self.shape(), sequence, state].map(|s| (s, DType::F32));
        let outputs = self.graph.push_outputs(Op::Lstm, &[self, w_hh, h0, c0, steps], &outputs, at);
        LstmOutput { y: outputs[0], h_n: outputs[1], c_n: outputs[5] }
    }
}
