//! Where a Transformer applies dropout, with a probability for each place.
//!
//! PyTorch's layers have one probability for all places of a block; GPT-2 and BERT have several, and none inside the
//! feed-forward layer. So each place has its own here, and [`TransformerDropout::all`] sets them as PyTorch does.

use seqloom_graph::Tensor;

/// Probabilities of dropout while training, each 0 ≤ p < 1; 0 if nothing is dropped.
///
/// ```text
/// x = dropout_embedding(embedding + positions)                   once, only in models x = x +
/// dropout_attention_result(attention(x))                 the weights in attention under dropout_attention x = x +
/// dropout_feed_forward_result(W₂·dropout_inner(f(W₁·x)))
/// ```
///
/// ```
/// # use seqloom_nn::{BlockConfig, TransformerDropout};
/// let block = BlockConfig { dropout: TransformerDropout::all(0.1), ..BlockConfig::new(64, 4) };
/// let bert = TransformerDropout { inner: 0.0, ..block.dropout };
/// assert_eq!((bert.attention, bert.inner), (0.1, 0.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TransformerDropout {
    /// Of embeddings with their positions, before the first block. A single block has no such place.
    pub embedding: f32,
    /// Of the weights of attention, to the sequence itself and to a memory.
    pub attention: f32,
    /// Of the result of attention, before it is added to the stream: `dropout1` of PyTorch's layers, and a decoder's
    /// `dropout2`.
    pub attention_result: f32,
    /// Inside the feed-forward layer, after its function: `dropout` of PyTorch's layers.
    pub inner: f32,
    /// Of the result of the feed-forward layer, before it is added to the stream: `dropout2` of PyTorch's encoder
    /// layer, `dropout3` of its decoder layer.
    pub feed_forward_result: f32,
}

impl TransformerDropout {
    /// The same probability at every place, as PyTorch's Transformer layers have it.
    #[must_use]
    pub fn all(p: f32) -> Self {
        Self { embedding: p, attention: p, attention_result: p, inner: p, feed_forward_result: p }
    }

    /// The operand, if every probability is valid, also those of places that are not recorded here.
    #[track_caller]
    pub(crate) fn checked<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let Self { embedding, attention, attention_result, inner, feed_forward_result } = *self;
        let places = [
            ("embedding", embedding),
            ("attention", attention),
            ("attention_result", attention_result),
            ("inner", inner),
            ("feed_forward_result", feed_forward_result),
        ];
        match places.into_iter().find(|(_, p)| !(0.0..1.0).contains(p)) {
            Some((place, p)) => {
                x.refused("transformer_block", &format!("dropout.{place} = {p} is not in 0 <= p < 1"))
            }
            None => x,
        }
    }
}
