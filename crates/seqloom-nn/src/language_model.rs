//! What every language model over symbols has in common.
//!
//! A model says once how it reads tokens ([`LanguageModel::predict`]): any number of steps, from any state. Training
//! records whole windows of it from a zero state and generation records one step of it, so the two cannot drift apart, and
//! the loss and the generator are written once for all models. A state is a list of plain tensors, because models differ in
//! nothing but their number and shapes: none for a Markov chain, the last embeddings for a window, h and c for an LSTM.

use seqloom_graph::{Graph, Lengths, ParamStore, Tensor};

use crate::error::NnError;
use crate::generator::Generator;
use crate::lm_batch::LmBatch;
use crate::losses::cross_entropy;
use crate::vocab::Vocab;

/// What a language model says about tokens.
#[derive(Clone, Debug)]
pub struct Prediction<'g> {
    /// Logits [B, T, V]: those at step t are of the token after token t.
    pub logits: Tensor<'g>,
    /// The state after each row's last true step, to continue from; shapes as [`LanguageModel::state_shapes`] gives them.
    pub state: Vec<Tensor<'g>>,
}

/// A model of the probability of each symbol given those before it in its row.
pub trait LanguageModel {
    /// The symbols it reads and predicts.
    fn vocab(&self) -> &Vocab;

    /// Shapes of the state that `rows` rows carry from step to step, outermost dimension first.
    fn state_shapes(&self, rows: usize) -> Vec<Vec<usize>>;

    /// Records the model: tokens [B, T] of u32, a state to start from (empty for zeros), row lengths (all T if `None`)
    /// → logits and the state after them. Padded steps have logits without meaning and change no state.
    ///
    /// A state of another number of tensors or of other shapes poisons the result.
    #[track_caller]
    fn predict<'g>(
        &self,
        tokens: Tensor<'g>,
        state: &[Tensor<'g>],
        lengths: Option<Lengths<'g>>,
    ) -> Prediction<'g>;

    /// Records the loss of a batch, a scalar in nats per token, over inputs named as the batch names its tensors: the mean
    /// over true steps of −ln softmax(logits)\[target\].
    ///
    /// Ids of V or more are found on the host before the device. A ragged batch made for another vocabulary poisons the
    /// result.
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        let (rows, time, size) = (batch.rows(), batch.time(), self.vocab().size());
        let tokens = g.ids("tokens", &[rows, time], size);
        let lengths = batch.lengths().map(|_| g.lengths("lengths", rows, time));
        let logits = self.predict(tokens, &[], lengths).logits;
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
    fn generator(&self, store: &impl AsRef<ParamStore>) -> Result<Generator, NnError>
    where
        Self: Sized,
    {
        Generator::new(self, store.as_ref())
    }
}

/// Checks a given state against the shapes that `model` wants: the tensors, or zeros where none are given. A state that
/// does not fit comes back poisoned, and poisons what is computed from it.
#[track_caller]
pub(crate) fn state_or_zeros<'g>(
    model: &impl LanguageModel,
    name: &'static str,
    tokens: Tensor<'g>,
    state: &[Tensor<'g>],
) -> Vec<Tensor<'g>> {
    let g = tokens.graph();
    let shapes = model.state_shapes(tokens.dim(0));
    if state.is_empty() {
        return shapes.iter().map(|shape| g.full(shape, 0.0)).collect();
    }
    let fits = state.len() == shapes.len() && state.iter().zip(&shapes).all(|(t, s)| t.shape()[..] == s[..]);
    if fits {
        return state.to_vec();
    }
    let has: Vec<_> = state.iter().map(|t| t.shape()).collect();
    vec![state[0].refused(name, &format!("needs a state of shapes {shapes:?}, not {has:?}")); shapes.len()]
}

/// The step at which each row ends: x [B, T, C] → [B, C], at T − 1 or at `lengths[b]` − 1.
#[track_caller]
pub(crate) fn last_step<'g>(x: Tensor<'g>, lengths: Option<Lengths<'g>>) -> Tensor<'g> {
    let (rows, time, channels) = (x.dim(0), x.dim(1), x.dim(2));
    let Some(lengths) = lengths else {
        return x.slice(1, time.saturating_sub(1), 1).reshape(&[rows, channels]);
    };
    // A row of the identity for each row of the batch: one product picks, and its gradient puts back.
    let ends = x.graph().literal(&[time], (1..=time).map(|t| t as f32).collect());
    let picks = lengths.tensor().to_f32().reshape(&[rows, 1]).equal(ends).reshape(&[rows, 1, time]);
    picks.matmul(x).reshape(&[rows, channels])
}
