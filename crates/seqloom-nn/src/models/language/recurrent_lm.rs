//! Language models over a recurrent layer: embedding, recurrent layers, linear head.
//!
//! Training sees whole windows; generation goes one step at a time and passes the state on. Both record the same
//! layers, so they cannot drift apart. Rows of several lengths are embedded, run and scored as packed rows, so padding
//! costs nothing.

use seqloom_graph::{Graph, Lengths, Params, Tensor};

use crate::batch::Batch;
use crate::batch::lm_batch::LmBatch;
use crate::layers::dropout::Dropout;
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::layers::losses::{cross_entropy, packed_cross_entropy};
use crate::model::Model;
use crate::models::language::{LanguageModel, Reading, state_or_zeros};
use crate::recurrent::Recurrent;
use crate::recurrent::gru::Gru;
use crate::recurrent::lstm::Lstm;
use crate::recurrent::rnn::Rnn;
use crate::recurrent::shapes::{RecurrentConfig, Run};
use crate::state::{Past, StateShape};
use crate::vocab::Vocab;

/// Sizes of a [`RecurrentLm`].
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentLmConfig {
    /// Symbols that it reads and predicts, V.
    pub vocab: Vocab,
    /// Channels of the embedding, C.
    pub embed: usize,
    /// Width of the hidden state, H.
    pub hidden: usize,
    /// Recurrent layers, L.
    pub layers: usize,
    /// Probability of dropout while training: between the layers, and on the last one's output before the head.
    pub dropout: f32,
}

impl RecurrentLmConfig {
    /// A config with these sizes, without dropout.
    ///
    /// ```
    /// # use seqloom_nn::{LstmLmConfig, Vocab};
    /// let config = LstmLmConfig { dropout: 0.1, ..LstmLmConfig::new(Vocab::ids(9), 4, 8, 1) };
    /// assert_eq!(config, LstmLmConfig { vocab: Vocab::ids(9), embed: 4, hidden: 8, layers: 1, dropout: 0.1 });
    /// ```
    #[must_use]
    pub fn new(vocab: Vocab, embed: usize, hidden: usize, layers: usize) -> Self {
        Self { vocab, embed, hidden, layers, dropout: 0.0 }
    }
}

/// A language model over symbols: the probability of each symbol given those before it in the row.
///
/// Formula: logits = head(dropout(layers(embedding(tokens)))); loss = mean of −ln softmax(logits)\[target\], in nats a symbol.
///
/// Parameters: `embedding.weight` [V, C], those of the layers under [`Recurrent::NAME`] (`lstm.*`, `gru.*`, `rnn.*`),
/// `head.weight` [V, H], `head.bias` \[V\].
///
/// Each row starts from a zero state, unless the model is made [`RecurrentLm::stateful`].
#[derive(Clone, Debug)]
pub struct RecurrentLm<L> {
    vocab: Vocab,
    embedding: Embedding,
    layers: L,
    dropout: Dropout,
    head: Linear,
    stateful: bool,
}

/// The language model over an [`Lstm`].
pub type LstmLm = RecurrentLm<Lstm>;
/// Sizes of an [`LstmLm`].
pub type LstmLmConfig = RecurrentLmConfig;
/// The language model over a [`Gru`].
pub type GruLm = RecurrentLm<Gru>;
/// The language model over an [`Rnn`], with tanh unless made by [`RecurrentLm::with`].
pub type RnnLm = RecurrentLm<Rnn>;

impl<L: Recurrent> RecurrentLm<L> {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: RecurrentLmConfig) -> Self {
        Self::with(params, config, L::register)
    }

    /// As [`Self::new`], with layers that `register` makes from the parameters, a name and the sizes.
    ///
    /// ```
    /// # use seqloom_graph::{Activation, Params};
    /// # use seqloom_nn::{RecurrentLmConfig, Rnn, RnnLm, Vocab};
    /// let config = RecurrentLmConfig { vocab: Vocab::ids(9), embed: 4, hidden: 8, layers: 1, dropout: 0.0 };
    /// let mut params = Params::seeded(1);
    /// let model = RnnLm::with(&mut params, config, |p, name, c| Rnn::new(p, name, Activation::Relu, c));
    /// assert_eq!(params.count(), 9 * 4 + 8 * (4 + 8 + 2) + 9 * (8 + 1));
    /// ```
    pub fn with(
        params: &mut Params,
        config: RecurrentLmConfig,
        register: impl FnOnce(&mut Params, &str, RecurrentConfig) -> L,
    ) -> Self {
        let RecurrentLmConfig { vocab, embed, hidden, layers, dropout } = config;
        let size = vocab.size();
        let sizes = RecurrentConfig { layers, dropout, ..RecurrentConfig::new(embed, hidden) };
        Self {
            vocab,
            embedding: Embedding::new(params, "embedding", size, embed),
            layers: register(params, L::NAME, sizes),
            dropout: Dropout::new(dropout),
            head: Linear::new(params, "head", hidden, size),
            stateful: false,
        }
    }

    /// The same model carrying its state: row b of a batch continues row b of the previous batch, so a text in windows
    /// ([`LmBatch`]es of one number of rows, in the order of the text) is read as a whole. Gradients end at the
    /// window's start: truncated back-propagation through time (Williams & Peng 1990).
    ///
    /// The state stays on the device and costs one small copy per step. It is 0 before the first batch and before each
    /// one that [`LmBatch::beginning`] marks; training and evaluation have separate states.
    #[must_use]
    pub fn stateful(mut self) -> Self {
        self.stateful = true;
        self
    }

    /// Its recurrent layers.
    #[must_use]
    pub fn layers(&self) -> &L {
        &self.layers
    }

    /// Records the model: tokens [B, T] of u32, a state to start from (zeros if `None`; [`Recurrent::STATE`] names its
    /// tensors) → logits [B, T, V] and the layers' output and final state.
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, tokens: Tensor<'g>, state: Option<&[Tensor<'g>]>) -> (Tensor<'g>, Run<'g>) {
        let run = self.layers.run(self.embedding.forward(tokens), state, None);
        (self.head.forward(self.dropout.forward(run.output)), run)
    }

    /// Records the model over packed rows: tokens \[N\] of u32 → logits [N, V].
    #[track_caller]
    #[must_use]
    pub fn forward_packed<'g>(
        &self,
        tokens: Tensor<'g>,
        state: Option<&[Tensor<'g>]>,
        lengths: Lengths<'g>,
    ) -> (Tensor<'g>, Run<'g>) {
        let run = self.layers.run_packed(self.embedding.forward(tokens), state, lengths);
        (self.head.forward(self.dropout.forward(run.output)), run)
    }

    /// The state that the last batch left.
    #[track_caller]
    fn carried<'g>(&self, g: &'g Graph, rows: usize) -> Vec<Tensor<'g>> {
        let shape = self.layers.config().state_shape(rows);
        L::STATE.iter().map(|name| g.state(&state_name::<L>(name), &shape)).collect()
    }
}

impl<L: Recurrent> LanguageModel for RecurrentLm<L> {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// [L, B, H] for each tensor that [`Recurrent::STATE`] names.
    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        vec![StateShape::new(&self.layers.config().state_shape(rows), 1); L::STATE.len()]
    }

    #[track_caller]
    fn read<'g>(
        &self,
        tokens: Tensor<'g>,
        past: Option<&Past<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> Reading<'g> {
        let state = state_or_zeros(self, L::NAME, tokens, past);
        let run = self.layers.run(self.embedding.forward(tokens), Some(&state), lengths);
        Reading { features: self.dropout.forward(run.output), state: run.state }
    }

    #[track_caller]
    fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(features)
    }
}

impl<L: Recurrent> Model<LmBatch> for RecurrentLm<L> {
    /// Over packed rows, so that padding costs nothing; and from a carried state, if the model is
    /// [`RecurrentLm::stateful`].
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        let (inputs, size) = (batch.bind(g), self.vocab.size());
        let tokens = inputs.ids("tokens", size);
        let state = self.stateful.then(|| self.carried(g, batch.rows()));
        let (loss, run) = match batch.padded_vocab() {
            None => {
                let (logits, run) = self.forward(tokens, state.as_deref());
                (cross_entropy(logits, inputs.ids("targets", size), None), run)
            }
            Some(padded) => {
                let lengths = inputs.lengths("lengths");
                // Surplus rows reach no output, so any symbol will do.
                let (logits, run) =
                    self.forward_packed(lengths.pack_ids(tokens, 0), state.as_deref(), lengths);
                let targets = inputs.ids("targets", padded.saturating_add(1));
                (packed_cross_entropy(logits, lengths, targets, padded, 0.0), run)
            }
        };
        if self.stateful {
            for (name, last) in L::STATE.iter().zip(run.state) {
                g.keep(&state_name::<L>(name), last);
            }
        }
        loss
    }
}

/// Name of a carried tensor: `lstm.h`.
fn state_name<L: Recurrent>(tensor: &str) -> String {
    format!("{}.{tensor}", L::NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model<L: Recurrent>(params: &mut Params) -> RecurrentLm<L> {
        let config = RecurrentLmConfig { vocab: Vocab::ids(7), embed: 3, hidden: 4, layers: 2, dropout: 0.1 };
        RecurrentLm::new(params, config)
    }

    fn losses_are_scalars<L: Recurrent + Clone>(gates: usize) {
        let mut params = Params::seeded(1);
        let model = model::<L>(&mut params);
        let of_layers = 4 * gates * (3 + 4 + 2) + 4 * gates * (4 + 4 + 2);
        assert_eq!(params.count(), 7 * 3 + of_layers + 7 * 4 + 7);
        for batch in
            [LmBatch::new(1, 2, vec![0; 2], vec![1; 2]).unwrap(), LmBatch::ragged(&[[0, 1, 2]], 7).unwrap()]
        {
            for model in [model.clone(), model.clone().stateful()] {
                let g = Graph::training(&params);
                let loss = model.loss(&g, &batch);
                g.check().unwrap();
                assert!(loss.shape().to_vec().is_empty());
            }
        }
    }

    #[test]
    fn the_loss_of_full_and_of_ragged_batches_is_a_scalar() {
        losses_are_scalars::<Rnn>(1);
        losses_are_scalars::<Lstm>(4);
        losses_are_scalars::<Gru>(3);
    }

    #[test]
    fn a_batch_padded_for_another_vocabulary_is_refused() {
        let mut params = Params::seeded(1);
        let model = model::<Lstm>(&mut params);
        let g = Graph::training(&params);
        let _ = model.loss(&g, &LmBatch::ragged(&[[0, 1, 2]], 5).unwrap());
        assert!(g.check().is_err());
    }
}
