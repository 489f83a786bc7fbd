//! Sizes and results of recurrent layers.

use seqloom_graph::Tensor;

/// Sizes of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecurrentConfig {
    /// Channels of the input, C.
    pub input: usize,
    /// Width of the hidden state, H.
    pub hidden: usize,
    /// Stacked layers, L; at least 1 (0 is taken as 1).
    pub layers: usize,
    /// Whether each layer runs over the sequence in both directions, D = 2; the next layer sees both outputs side by side.
    pub bidirectional: bool,
    /// Probability of dropout between layers, while training; not after the last one.
    pub dropout: f32,
    /// Whether that dropout has one mask for all steps of a sequence, as [`crate::Dropout::variational`]. Steps that are recorded one
    /// by one have each their own.
    pub variational: bool,
}

impl RecurrentConfig {
    /// One layer in one direction without dropout.
    #[must_use]
    pub fn new(input: usize, hidden: usize) -> Self {
        Self { input, hidden, layers: 1, bidirectional: false, dropout: 0.0, variational: false }
    }

    /// D: 2 if bidirectional, else 1.
    #[must_use]
    pub fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// Shape [L·D, B, H] of each tensor of a state.
    #[must_use]
    pub fn state_shape(&self, batch: usize) -> [usize; 3] {
        [self.layers * self.directions(), batch, self.hidden]
    }
}

/// The result of [`crate::Recurrent::run`].
#[derive(Clone, Debug)]
pub struct Run<'g> {
    /// Hidden states of the last layer: [B, T, D·H], 0 on padded steps; or packed [N, D·H], 0 on surplus rows.
    pub output: Tensor<'g>,
    /// The state after each row's last step, of the tensors that [`crate::Recurrent::STATE`] names, [L·D, B, H] each.
    pub state: Vec<Tensor<'g>>,
}

/// The result of [`crate::Rnn`] and [`crate::Gru`].
#[derive(Clone, Copy, Debug)]
pub struct RecurrentOutput<'g> {
    /// Hidden states of the last layer: [B, T, D·H], 0 on padded steps; or packed [N, D·H], 0 on surplus rows.
    pub output: Tensor<'g>,
    /// Hidden state of every layer and direction after each row's last step [L·D, B, H].
    pub h_n: Tensor<'g>,
}

impl<'g> RecurrentOutput<'g> {
    pub(crate) fn of(run: Run<'g>) -> Self {
        Self { output: run.output, h_n: run.state.first().copied().unwrap_or(run.output) }
    }
}
