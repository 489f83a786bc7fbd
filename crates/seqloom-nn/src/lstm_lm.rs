//! A character language model: embedding, LSTM, linear head.
//!
//! The loss over windows and the generation of text are every language model's ([`LanguageModel`]).

use seqloom_graph::{Params, Tensor};

use crate::dropout::Dropout;
use crate::embedding::Embedding;
use crate::language_model::{LanguageModel, Prediction, state_or_zeros};
use crate::linear::Linear;
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
}

impl LanguageModel for LstmLm {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// h and c, [L, B, H] each.
    fn state_shapes(&self, rows: usize) -> Vec<Vec<usize>> {
        vec![vec![self.lstm.layers(), rows, self.lstm.hidden()]; 2]
    }

    #[track_caller]
    fn predict<'g>(
        &self,
        tokens: Tensor<'g>,
        state: &[Tensor<'g>],
        lengths: Option<Tensor<'g>>,
    ) -> Prediction<'g> {
        let state = match state_or_zeros(self, "LstmLm", tokens, state)[..] {
            [h, c] => Some(LstmState { h, c }),
            _ => None,
        };
        let (logits, out) = self.forward(tokens, state, lengths);
        Prediction { logits, state: vec![out.h_n, out.c_n] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm_batch::LmBatch;
    use seqloom_graph::Graph;

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
