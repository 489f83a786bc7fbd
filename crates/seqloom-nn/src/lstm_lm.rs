//! A character language model: embedding, LSTM, linear head.
//!
//! Training sees whole windows, each from a zero state; generation sees one step and carries the state. Both are recorded
//! from the same layers, so they cannot drift apart.

use seqloom_graph::{DType, Graph, ParamStore, Params, Tensor};

use crate::dropout::Dropout;
use crate::embedding::Embedding;
use crate::error::NnError;
use crate::generator::Generator;
use crate::linear::Linear;
use crate::lm_batch::LmBatch;
use crate::losses::cross_entropy;
use crate::lstm::{Lstm, LstmConfig, LstmOutput, LstmState};
use crate::vocab::Vocab;

/// Sizes of an [`LstmLm`].
#[derive(Clone, Debug, PartialEq)]
pub struct LstmLmConfig {
    /// Symbols that it reads and predicts, V.
    pub vocab: Vocab,
    /// Channels of the embedding, C.
    pub embed: usize,
    /// Width of the LSTM's hidden state, H.
    pub hidden: usize,
    /// Layers of the LSTM, L.
    pub layers: usize,
    /// Probability of dropout while training: between the layers, and on the last one's output before the head.
    pub dropout: f32,
}

/// A language model over symbols: the probability of each symbol given those before it in the row.
///
/// Formula: logits = head(dropout(lstm(embedding(tokens)))); loss = mean of −ln softmax(logits)\[target\], in nats a symbol.
///
/// Parameters: `embedding.weight` [V, C], `lstm.*` as [`Lstm`] names them, `head.weight` [V, H], `head.bias` \[V\].
#[derive(Clone, Debug)]
pub struct LstmLm {
    vocab: Vocab,
    embedding: Embedding,
    lstm: Lstm,
    dropout: Dropout,
    head: Linear,
}

impl LstmLm {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: LstmLmConfig) -> Self {
        let LstmLmConfig { vocab, embed, hidden, layers, dropout } = config;
        let size = vocab.size();
        Self {
            vocab,
            embedding: Embedding::new(params, "embedding", size, embed),
            lstm: Lstm::new(params, "lstm", LstmConfig { input: embed, hidden, layers, dropout }),
            dropout: Dropout::new(dropout),
            head: Linear::new(params, "head", hidden, size),
        }
    }

    /// The symbols it reads and predicts.
    #[must_use]
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// Its recurrent layers.
    #[must_use]
    pub fn lstm(&self) -> &Lstm {
        &self.lstm
    }

    /// Records the model: tokens [B, T] of u32, a state to start from (zeros if `None`), row lengths \[B\] (all T if `None`)
    /// → logits [B, T, V] and the LSTM's output and final states.
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(
        &self,
        tokens: Tensor<'g>,
        state: Option<LstmState<'g>>,
        lengths: Option<Tensor<'g>>,
    ) -> (Tensor<'g>, LstmOutput<'g>) {
        let out = self.lstm.forward(self.embedding.forward(tokens), state, lengths);
        (self.head.forward(self.dropout.forward(out.output)), out)
    }

    /// Records the loss of a batch, a scalar in nats per token, over inputs named as the batch names its tensors.
    ///
    /// Ids of V or more are found on the host before the device. A ragged batch made for another vocabulary poisons the
    /// result.
    #[track_caller]
    #[must_use]
    pub fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        let (rows, time, size) = (batch.rows(), batch.time(), self.vocab.size());
        let tokens = g.ids("tokens", &[rows, time], size);
        let lengths = batch.lengths().map(|_| g.lengths("lengths", rows, time));
        let (logits, _) = self.forward(tokens, None, lengths);
        match batch.padded_vocab() {
            None => cross_entropy(logits, g.ids("targets", &[rows, time], size), None),
            Some(padded) => {
                // A batch padded for another vocabulary fails here, by name of both shapes, instead of ignoring a symbol.
                let logits = logits.reshape(&[rows, time, padded]);
                let ignored = u32::try_from(padded).unwrap_or(u32::MAX);
                cross_entropy(logits, g.ids("targets", &[rows, time], padded + 1), Some(ignored))
            }
        }
    }

    /// A generator of text over the parameters in `store`, which keep changing if they are trained further.
    ///
    /// # Errors
    /// [`NnError::Graph`] if the store is another model's or the device has no room for the program.
    pub fn generator(&self, store: &impl AsRef<ParamStore>) -> Result<Generator, NnError> {
        Generator::new(self, store.as_ref())
    }

    /// Records one step of generation: inputs `token` [1, 1], `h0` and `c0` [L, 1, H] → logits \[V\] and the new state.
    #[track_caller]
    pub(crate) fn step<'g>(&self, g: &'g Graph) -> (Tensor<'g>, LstmState<'g>) {
        let state = [self.lstm.layers(), 1, self.lstm.hidden()];
        let token = g.ids("token", &[1, 1], self.vocab.size());
        let (h, c) = (g.input("h0", &state, DType::F32), g.input("c0", &state, DType::F32));
        let (logits, out) = self.forward(token, Some(LstmState { h, c }), None);
        (logits.reshape(&[self.vocab.size()]), LstmState { h: out.h_n, c: out.c_n })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(params: &mut Params) -> LstmLm {
        let config = LstmLmConfig { vocab: Vocab::ids(7), embed: 3, hidden: 4, layers: 2, dropout: 0.1 };
        LstmLm::new(params, config)
    }

    #[test]
    fn the_loss_of_full_and_of_ragged_batches_is_a_scalar() {
        let mut params = Params::seeded(1);
        let model = model(&mut params);
        assert_eq!(params.count(), 7 * 3 + 16 * (3 + 4 + 2) + 16 * (4 + 4 + 2) + 7 * 4 + 7);
        for batch in
            [LmBatch::new(1, 2, vec![0; 2], vec![1; 2]).unwrap(), LmBatch::ragged(&[[0, 1, 2]], 7).unwrap()]
        {
            let g = Graph::training(&params);
            let loss = model.loss(&g, &batch);
            g.check().unwrap();
            assert!(loss.shape().to_vec().is_empty());
        }
    }

    #[test]
    fn a_batch_padded_for_another_vocabulary_is_refused() {
        let mut params = Params::seeded(1);
        let model = model(&mut params);
        let g = Graph::training(&params);
        let _ = model.loss(&g, &LmBatch::ragged(&[[0, 1, 2]], 5).unwrap());
        assert!(g.check().is_err());
    }
}
