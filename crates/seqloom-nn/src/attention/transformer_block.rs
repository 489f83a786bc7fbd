//! The blocks that Transformers are stacks of.
//!
//! A block is a residual stream with two or three branches: self-attention, attention to an encoder's outputs (only in
//! decoders of encoder–decoders), and a feed-forward layer. A line of `Branch::around` decides whether the branch's
//! input is normalised (pre-norm) or its sum with the stream (post-norm), so one block does both. It also serves
//! encoder and decoder: an encoder's block has no attention to a memory, and a decoder-only model is an encoder under a
//! causal mask.
//!
//! In generation the keys and values of earlier steps come from a cache. [`TransformerBlock::forward_with`] takes a
//! function from a step's keys and values to those attended to; training passes them on unchanged.

use seqloom_graph::{AttentionOptions, Init, Params, Tensor};

use crate::attention::multi_head::{AttentionConfig, AttentionInit, KeyValues, MultiHeadAttention};
use crate::attention::positions::Place;
use crate::attention::relative_positions::RelativePositions;
use crate::attention::transformer_dropout::TransformerDropout;
use crate::layers::dropout::Dropout;
use crate::layers::feed_forward::{FeedForward, FeedForwardActivation, FeedForwardConfig};
use crate::layers::norm::{Norm, NormKind};

/// Where a block normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NormPlace {
    /// The input of each branch: x + branch(norm(x)). Trains without warm-up (Xiong et al. 2020).
    Pre,
    /// The sum: norm(x + branch(x)) (Vaswani et al. 2017).
    Post,
}

/// Sizes of a block, the same in all blocks of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockConfig {
    /// Channels of the residual stream, C.
    pub channels: usize,
    /// Heads of each attention, H.
    pub heads: usize,
    /// Heads of keys and values; H if `None`.
    pub key_heads: Option<usize>,
    /// Channels inside the feed-forward layer, F.
    pub feed_forward: usize,
    /// Function inside the feed-forward layer.
    pub activation: FeedForwardActivation,
    /// Where it normalises.
    pub norm_place: NormPlace,
    /// How it normalises.
    pub norm: NormKind,
    /// Added to the variance under the root.
    pub norm_eps: f32,
    /// Probabilities of dropout while training, place by place.
    pub dropout: TransformerDropout,
    /// Whether attention, feed-forward layers and normalisations have biases: PyTorch's `bias`.
    pub bias: bool,
    /// How heads of self-attention know distances.
    pub relative: RelativePositions,
    /// Initial values.
    pub init: BlockInit,
}

/// Initial values of a block's weights.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BlockInit {
    /// As PyTorch's Transformer layers.
    Torch,
    /// As GPT-2: normal with deviation 0.02, biases 0, and 0.02/√(2L) for what is added to the stream of L blocks (Radford
    /// et al. 2019).
    Gpt2,
    /// As BERT: normal with deviation 0.02, biases 0 (Devlin et al. 2019, who cut the normal off at two deviations).
    Bert,
}

impl BlockInit {
    /// Deviations of a branch's first and last weights, for this number of blocks; `None` for PyTorch's own.
    fn spreads(self, layers: usize) -> Option<[f32; 2]> {
        match self {
            Self::Torch => None,
            // The last weights of two branches per block, which add to the residual stream.
            Self::Gpt2 => Some([SPREAD, SPREAD / (2.0 * layers.max(1) as f32).sqrt()]),
            Self::Bert => Some([SPREAD; 2]),
        }
    }
}

impl BlockConfig {
    /// A block with these channels and heads, and a feed-forward layer four times as wide: pre-norm, exact GELU, biases,
    /// no dropout.
    #[must_use]
    pub fn new(channels: usize, heads: usize) -> Self {
        Self {
            channels,
            heads,
            key_heads: None,
            feed_forward: channels.saturating_mul(4),
            activation: FeedForwardActivation::Gelu,
            norm_place: NormPlace::Pre,
            norm: NormKind::Layer,
            norm_eps: 1e-5,
            dropout: TransformerDropout::default(),
            bias: true,
            relative: RelativePositions::None,
            init: BlockInit::Torch,
        }
    }

    fn attention(&self, layers: usize, max_positions: usize, relative: RelativePositions) -> AttentionConfig {
        AttentionConfig {
            key_heads: self.key_heads.unwrap_or(self.heads),
            dropout: self.dropout.attention,
            relative,
            max_positions,
            bias: self.bias,
            init: match self.init.spreads(layers) {
                None => AttentionInit::Torch,
                Some([spread, out]) => AttentionInit::Normal { spread, out },
            },
            ..AttentionConfig::new(self.channels, self.heads)
        }
    }
}

/// GPT-2's and BERT's standard deviation of initial values.
pub(crate) const SPREAD: f32 = 0.02;

/// One block of a Transformer.
///
/// ```text
/// x = x + dropout(self_attn(norm1(x)))                      pre-norm; post-norm: x = norm1(x + dropout(self_attn(x))), ..
/// x = x + dropout(multihead_attn(norm2(x), memory))         in the decoder of an encoder–decoder
/// x = x + dropout(linear2(f(linear1(norm(x)))))             norm is norm2, or norm3 behind attention to a memory
/// ```
///
/// [`TransformerDropout`] lists the places of dropout.
///
/// Shapes: x [B, T, C] → [B, T, C]; memory [B, S, C].
///
/// Parameters, as PyTorch's `nn.TransformerEncoderLayer` and `nn.TransformerDecoderLayer`: `self_attn.*` and `multihead_attn.*`
/// as [`MultiHeadAttention`] names them, `linear1.*`, `linear2.*` (and `linear3.*`) as [`FeedForward`], `norm1.*`, `norm2.*`,
/// `norm3.*`; without biases only those that end in `weight`.
#[derive(Clone, Debug)]
pub struct TransformerBlock {
    attention: MultiHeadAttention,
    attention_branch: Branch,
    cross: Option<(MultiHeadAttention, Branch)>,
    feed_forward: FeedForward,
    feed_forward_branch: Branch,
    dropout: TransformerDropout,
}

/// A branch of the residual stream.
#[derive(Clone, Copy, Debug)]
struct Branch {
    norm: Norm,
    place: NormPlace,
    dropout: Dropout,
}

impl Branch {
    /// The stream after the branch.
    #[track_caller]
    fn around<'g>(&self, x: Tensor<'g>, branch: impl FnOnce(Tensor<'g>) -> Tensor<'g>) -> Tensor<'g> {
        match self.place {
            NormPlace::Pre => x + self.dropout.forward(branch(self.norm.forward(x))),
            NormPlace::Post => self.norm.forward(x + self.dropout.forward(branch(x))),
        }
    }
}

/// What a decoder's block attends to besides its own sequence. Rows of the decoder may share a memory: each of the B
/// memory rows serves the same number of adjacent decoder rows.
#[derive(Clone, Copy, Debug)]
pub struct CrossAttended<'g> {
    /// The encoder's outputs, projected by this block ([`TransformerBlock::memory`]).
    pub memory: KeyValues<'g>,
    /// Which of them each query sees.
    pub mask: AttentionOptions<'g>,
}

impl TransformerBlock {
    /// Registers one of `layers` blocks under `name`, for sequences of up to `max_positions` steps; `cross` tells whether it attends to
    /// an encoder's outputs.
    pub fn new(
        params: &mut Params,
        name: &str,
        config: &BlockConfig,
        layers: usize,
        max_positions: usize,
        cross: bool,
    ) -> Self {
        let BlockConfig {
            channels, feed_forward, activation, norm, norm_place, norm_eps, dropout, bias, ..
        } = *config;
        params.scope(name, |params| {
            let attention = config.attention(layers, max_positions, config.relative);
            let attention = MultiHeadAttention::new(params, "self_attn", attention);
            let cross = cross.then(|| {
                let attention = config.attention(layers, max_positions, RelativePositions::None);
                MultiHeadAttention::new(params, "multihead_attn", attention)
            });
            let init = config.init.spreads(layers).map(|spreads| spreads.map(Init::Normal));
            let maps = FeedForwardConfig::new(channels, feed_forward, activation);
            let maps = FeedForwardConfig { dropout: dropout.inner, bias, init, ..maps };
            let feed_forward = FeedForward::new(params, maps);
            let mut branch = |name: &str, dropout: f32| Branch {
                norm: Norm::new(params, name, norm, channels, norm_eps, bias),
                place: norm_place,
                dropout: Dropout::new(dropout),
            };
            let attention_branch = branch("norm1", dropout.attention_result);
            let cross = cross.map(|cross| (cross, branch("norm2", dropout.attention_result)));
            let last = if cross.is_some() { "norm3" } else { "norm2" };
            let feed_forward_branch = branch(last, dropout.feed_forward_result);
            Self { attention, attention_branch, cross, feed_forward, feed_forward_branch, dropout }
        })
    }

    /// Records the block over whole sequences: x [B, T, C], who sees whom, and the memory → [B, T, C].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(
        &self,
        x: Tensor<'g>,
        mask: AttentionOptions<'g>,
        cross: Option<CrossAttended<'g>>,
    ) -> Tensor<'g> {
        self.forward_with(x, Place::From(0), mask, cross, |own| own)
    }

    /// As [`Self::forward`], for steps at these positions, which attend to what `remember` returns for their keys and
    /// values.
    #[track_caller]
    #[must_use]
    pub fn forward_with<'g>(
        &self,
        x: Tensor<'g>,
        place: Place<'g>,
        mask: AttentionOptions<'g>,
        cross: Option<CrossAttended<'g>>,
        remember: impl FnOnce(KeyValues<'g>) -> KeyValues<'g>,
    ) -> Tensor<'g> {
        self.forward_watched(x, place, mask, cross, remember, None)
    }

    /// As [`Self::forward_with`]; `watch` receives the weights of the attention to a memory, the mean over heads [B, T,
    /// S].
    #[track_caller]
    pub(crate) fn forward_watched<'g>(
        &self,
        x: Tensor<'g>,
        place: Place<'g>,
        mask: AttentionOptions<'g>,
        cross: Option<CrossAttended<'g>>,
        remember: impl FnOnce(KeyValues<'g>) -> KeyValues<'g>,
        watch: Option<&mut dyn FnMut(Tensor<'g>)>,
    ) -> Tensor<'g> {
        let x = self.attention_branch.around(self.dropout.checked(x), |x| {
            let (query, own) = self.attention.project(x, place);
            self.attention.attend(query, remember(own), mask)
        });
        let x = match (&self.cross, cross) {
            (Some((attention, branch)), Some(CrossAttended { memory, mask })) => branch.around(x, |x| {
                // Several rows may share one memory, as the beams of a sentence do; they are then all its queries.
                let (rows, sentences) = (x.dim(0), memory.keys.dim(0));
                let shared = rows != sentences && rows.is_multiple_of(sentences.max(1));
                let together =
                    if shared { x.reshape(&[sentences, rows / sentences * x.dim(1), x.dim(2)]) } else { x };
                let queries = attention.queries(together, Place::From(0));
                if let Some(watch) = watch {
                    let weights = attention.weights(queries, memory, mask).mean(1);
                    watch(weights.reshape(&[rows, x.dim(1), memory.keys.dim(1)]));
                }
                attention.attend(queries, memory, mask).reshape(&x.shape())
            }),
            (None, None) => x,
            (Some(_), None) => x.refused("transformer_block", "attention to a memory needs one"),
            (None, Some(_)) => x.refused("transformer_block", "has no attention to a memory"),
        };
        self.feed_forward_branch.around(x, |x| self.feed_forward.forward(x))
    }

    /// Records this block's projection of an encoder's outputs [B, S, C]; `None` if it attends to none.
    #[track_caller]
    #[must_use]
    pub fn memory<'g>(&self, encoded: Tensor<'g>) -> Option<KeyValues<'g>> {
        self.cross.as_ref().map(|(attention, _)| attention.memory(encoded, Place::From(0)))
    }

    /// Its attention of the sequence to itself.
    #[must_use]
    pub fn self_attention(&self) -> &MultiHeadAttention {
        &self.attention
    }

    /// Its attention to an encoder's outputs.
    #[must_use]
    pub fn cross_attention(&self) -> Option<&MultiHeadAttention> {
        self.cross.as_ref().map(|(attention, _)| attention)
    }
}
