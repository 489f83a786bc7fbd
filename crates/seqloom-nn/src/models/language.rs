//! What all language models over symbols have in common.
//!
//! A model says once how it reads tokens ([`LanguageModel::read`]): any number of steps, from the start of a text or
//! after a past. Training records whole windows of it and generation records one step, so the two cannot drift apart,
//! and loss and generator are written once for all models. A state is a list of plain tensors, because models differ
//! only in their number and shapes: none for a Markov chain, the last embeddings for a window, h and c for an LSTM,
//! keys and values for a Transformer.
//!
//! Reading and the head ([`LanguageModel::logits`]) are separate, because the head is the widest layer and few steps
//! need it: the true steps in training, the last step of a prompt in generation.

pub mod conv_lm;
pub mod gpt;
pub mod latent_lm;
pub mod markov_lm;
pub mod recurrent_lm;
pub mod window_lm;

use seqloom_graph::{Graph, Lengths, Tensor};

use crate::batch::Batch;
use crate::batch::lm_batch::LmBatch;
use crate::layers::losses::{cross_entropy, packed_cross_entropy};
use crate::model::Model;
use crate::state::{Past, StateShape};
use crate::vocab::Vocab;

/// A language model's result for the tokens that it read.
#[derive(Clone, Debug)]
pub struct Reading<'g> {
    /// Features for [`LanguageModel::logits`], [B, T, F]: step t predicts the token after token t. Those of padded
    /// steps have no meaning.
    pub features: Tensor<'g>,
    /// The state after each row's last true step, to continue from; shapes as [`LanguageModel::state_shapes`] gives them.
    pub state: Vec<Tensor<'g>>,
}

/// A model of the probability of each symbol given those before it in its row.
///
/// Its loss, as a [`Model`], is [`LanguageModel::next_token_loss`] unless it has reasons of its own.
pub trait LanguageModel: Model<LmBatch> {
    /// The symbols it reads and predicts.
    fn vocab(&self) -> &Vocab;

    /// Most steps of a row, or any number.
    fn max_time(&self) -> Option<usize> {
        None
    }

    /// Shapes of the state that `rows` rows carry from step to step.
    fn state_shapes(&self, rows: usize) -> Vec<StateShape>;

    /// Records the model up to its head: tokens [B, T] of u32, from the start of a text or after a `past`, row lengths
    /// (all T if `None`) → features and the state after them. Padded steps change no state that a later step sees
    ///
    /// A state of another number of tensors or of other shapes poisons the result, as do rows beyond [`Self::max_time`].
    #[track_caller]
    fn read<'g>(
        &self,
        tokens: Tensor<'g>,
        past: Option<&Past<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> Reading<'g>;

    /// Records the head: features [.., F] → logits [.., V].
    #[track_caller]
    fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g>;

    /// Records the loss of a batch, a scalar in nats per token, over inputs named as the batch names its tensors: the
    /// mean over true steps of −ln softmax(logits)\[target\]. The head and the loss see only true steps.
    ///
    /// Ids of V or more are found on the host before the device. A ragged batch made for another vocabulary poisons the
    /// result.
    #[track_caller]
    fn next_token_loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        let (inputs, size) = (batch.bind(g), self.vocab().size());
        let tokens = inputs.ids("tokens", size);
        match batch.padded_vocab() {
            None => {
                let logits = self.logits(self.read(tokens, None, None).features);
                cross_entropy(logits, inputs.ids("targets", size), None)
            }
            Some(padded) => {
                let lengths = inputs.lengths("lengths");
                // Rounded up, T may be more than a model reads; no row may.
                let most = self.max_time().map_or(batch.time(), |most| most.min(batch.time()));
                let _ = g.lengths("lengths", batch.rows(), most);
                let features = lengths.pack(self.read(tokens, None, Some(lengths)).features);
                let targets = inputs.ids("targets", padded.saturating_add(1));
                packed_cross_entropy(self.logits(features), lengths, targets, padded, 0.0)
            }
        }
    }
}

/// Checks a past's state against the shapes that `model` wants. Returns the tensors, or zeros if nothing was read. A
/// state that does not fit is returned poisoned.
#[track_caller]
pub(crate) fn state_or_zeros<'g>(
    model: &impl LanguageModel,
    name: &'static str,
    tokens: Tensor<'g>,
    past: Option<&Past<'g>>,
) -> Vec<Tensor<'g>> {
    let g = tokens.graph();
    let shapes = model.state_shapes(tokens.dim(0));
    let Some(Past { state, .. }) = past else {
        return shapes.iter().map(|shape| g.full(&shape.dims, 0.0)).collect();
    };
    let fits =
        state.len() == shapes.len() && state.iter().zip(&shapes).all(|(t, s)| t.shape()[..] == s.dims[..]);
    if fits {
        return state.clone();
    }
    let shapes: Vec<_> = shapes.into_iter().map(|shape| shape.dims).collect();
    let has: Vec<_> = state.iter().map(|t| t.shape()).collect();
    vec![tokens.refused(name, &format!("needs a state of shapes {shapes:?}, not {has:?}")); shapes.len()]
}

/// The step at which each row ends: x [B, T, C] → [B, C], at T − 1 or at `lengths[b]` − 1.
#[track_caller]
pub(crate) fn last_step<'g>(x: Tensor<'g>, lengths: Option<Lengths<'g>>) -> Tensor<'g> {
    let (rows, time, channels) = (x.dim(0), x.dim(1), x.dim(2));
    let Some(lengths) = lengths else {
        return x.slice(1, time.saturating_sub(1), 1).reshape(&[rows, channels]);
    };
    // A row of the identity for each row of the batch: one product picks, and its gradient scatters.
    let ends = x.graph().literal(&[time], (1..=time).map(|t| t as f32).collect());
    let picks = lengths.tensor().to_f32().reshape(&[rows, 1]).equal(ends).reshape(&[rows, 1, time]);
    picks.matmul(x).reshape(&[rows, channels])
}
