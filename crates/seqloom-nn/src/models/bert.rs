//! The encoder-only Transformer: every step sees all others, and the model predicts hidden tokens.
//!
//! Only hidden tokens reach the head, which is the widest layer, and the loss: the batch lists their places, and their
//! features are gathered. Other tasks use the features of each step, or the pooler's summary of a row.

use seqloom_graph::{AttentionOptions, Graph, Init, Lengths, ParamId, Params, Tensor};

use crate::attention::positions::{AbsolutePositions, Place, PositionEmbedding, padded_to, rounded_off};
use crate::attention::transformer_block::{BlockConfig, BlockInit, NormPlace, SPREAD};
use crate::attention::transformer_dropout::TransformerDropout;
use crate::attention::transformer_stack::TransformerStack;
use crate::batch::Batch;
use crate::batch::masked_batch::MaskedBatch;
use crate::layers::dropout::Dropout;
use crate::layers::embedding::Embedding;
use crate::layers::feed_forward::FeedForwardActivation;
use crate::layers::linear::Linear;
use crate::layers::losses::cross_entropy;
use crate::layers::norm::Norm;
use crate::model::Model;
use crate::vocab::Vocab;

/// Sizes of a [`Bert`].
#[derive(Clone, Debug, PartialEq)]
pub struct BertConfig {
    /// Symbols that it reads and predicts, V, including the mask symbol.
    pub vocab: Vocab,
    /// Its blocks.
    pub block: BlockConfig,
    /// Number of blocks, L.
    pub layers: usize,
    /// Most steps of a sequence.
    pub max_time: usize,
    /// How positions are added to embeddings.
    pub positions: AbsolutePositions,
    /// Kinds of tokens, such as those of a first and a second sentence; 0 for no kinds.
    pub token_types: usize,
    /// Whether it has a summary of a row ([`Bert::pooled`]).
    pub pooler: bool,
    /// Whether it has a head that predicts hidden tokens.
    pub head: bool,
}

impl BertConfig {
    /// BERT's form (Devlin et al. 2019) at these sizes: post-norm, exact GELU, learned positions, dropout of 0.1
    /// everywhere except inside the feed-forward layer; with the head, without pooler and kinds of tokens.
    #[must_use]
    pub fn new(vocab: Vocab, channels: usize, heads: usize, layers: usize, max_time: usize) -> Self {
        let block = BlockConfig {
            norm_place: NormPlace::Post,
            norm_eps: 1e-12,
            dropout: TransformerDropout { inner: 0.0, ..TransformerDropout::all(0.1) },
            init: BlockInit::Bert,
            ..BlockConfig::new(channels, heads)
        };
        let positions = AbsolutePositions::Learned;
        Self { vocab, block, layers, max_time, positions, token_types: 0, pooler: false, head: true }
    }
}

/// An encoder-only Transformer (Devlin et al. 2019).
///
/// ```text
/// x = dropout(norm(embedding(tokens) + positions + token_types(kinds)))
/// features = blocks(x)                                            every step sees all true steps
/// logits = norm(f(dense(features)))·embeddingᵀ + bias             f the blocks' activation
/// loss = mean over hidden tokens of −ln softmax(logits)[token], in nats
/// pooled = tanh(pooler(features of step 0))
/// ```
///
/// Parameters: `embedding.weight` [V, C], `positions.weight` [max_time, C] if learned, `token_types.weight` [kinds, C] if there
/// are kinds, `norm.*`, `blocks.*` as [`TransformerStack`] names them, `pooler.{weight,bias}` [C, C] and \[C\],
/// `head.dense.{weight,bias}` the same, `head.norm.*`, `head.bias` \[V\].
///
/// Pre-norm blocks are followed by a last normalisation, `blocks.norm.*`.
///
/// Errors: rows of more than `max_time` steps, heads that do not divide the channels, and the use of a pooler, a head
/// or kinds that the model lacks poison the result; ids out of range are found on the host.
#[derive(Clone, Debug)]
pub struct Bert {
    config: BertConfig,
    embedding: Embedding,
    positions: PositionEmbedding,
    token_types: Option<ParamId>,
    norm: Norm,
    dropout: Dropout,
    blocks: TransformerStack,
    pooler: Option<Linear>,
    head: Option<Head>,
}

/// The part between the features and the embedding's table.
#[derive(Clone, Copy, Debug)]
struct Head {
    dense: Linear,
    activation: FeedForwardActivation,
    norm: Norm,
    bias: ParamId,
}

impl Bert {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: BertConfig) -> Self {
        let BertConfig { block, layers, max_time, token_types, .. } = &config;
        let (size, channels) = (config.vocab.size(), block.channels);
        let norm =
            |params: &mut Params| Norm::new(params, "norm", block.norm, channels, block.norm_eps, block.bias);
        let dense = |params: &mut Params, name: &str| match block.init {
            BlockInit::Torch => Linear::new(params, name, channels, channels),
            BlockInit::Gpt2 | BlockInit::Bert => {
                Linear::with(params, name, channels, channels, Init::Normal(SPREAD), Some(Init::Zeros))
            }
        };
        let spread = match block.init {
            BlockInit::Torch => 1.0,
            BlockInit::Gpt2 | BlockInit::Bert => SPREAD,
        };
        let embedding = Embedding::with(params, "embedding", size, channels, Init::Normal(spread));
        let positions =
            PositionEmbedding::new(params, "positions", config.positions, *max_time, channels, spread);
        let token_types = (*token_types > 0).then(|| {
            let shape = [*token_types, channels];
            params.scope("token_types", |params| params.add("weight", &shape, Init::Normal(spread)))
        });
        let first = norm(params);
        let normed = block.norm_place == NormPlace::Pre;
        let blocks = TransformerStack::encoder(params, "blocks", block, *layers, *max_time, normed);
        let pooler = config.pooler.then(|| dense(params, "pooler"));
        let head = config.head.then(|| {
            params.scope("head", |params| Head {
                dense: dense(params, "dense"),
                activation: block.activation,
                norm: norm(params),
                bias: params.add("bias", &[size], Init::Zeros),
            })
        });
        let dropout = Dropout::new(block.dropout.embedding);
        Self { config, embedding, positions, token_types, norm: first, dropout, blocks, pooler, head }
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Its blocks.
    #[must_use]
    pub fn blocks(&self) -> &TransformerStack {
        &self.blocks
    }

    /// Records the encoder: tokens [B, T] of u32, their kinds [B, T] of u32 (all of kind 0 if `None`), and the rows' lengths
    /// (all T if `None`) → features [B, T, C]. Those of padded steps have no meaning.
    #[track_caller]
    #[must_use]
    pub fn features<'g>(
        &self,
        tokens: Tensor<'g>,
        kinds: Option<Tensor<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> Tensor<'g> {
        let (g, time, most) = (tokens.graph(), tokens.dim(1), self.config.max_time);
        // The lengths' own limit is that of the steps that are attended to.
        let read = |x: Tensor<'g>| if lengths.is_some() { rounded_off(x, most) } else { x };
        let x = read(self.embedding.forward(tokens));
        let x = if x.dim(1) > most {
            x.refused("bert", &format!("{time} steps, the model reads {most} at most"))
        } else {
            x
        };
        let x = self.positions.forward(x, Place::From(0));
        let x = match (self.token_types, kinds) {
            (None, None) => x,
            (Some(table), None) => x + g.param(table).slice(0, 0, 1).reshape(&[self.config.block.channels]),
            (Some(table), Some(kinds)) => x + read(g.param(table).gather_rows(kinds)),
            (None, Some(_)) => x.refused("bert", "tells no kinds of tokens apart"),
        };
        let mask = AttentionOptions { lengths: lengths.map(Lengths::tensor), ..AttentionOptions::default() };
        let features = self.blocks.forward(self.dropout.forward(self.norm.forward(x)), mask, None);
        padded_to(features, time)
    }

    /// Records the summary of each row: features [B, T, C] → [B, C].
    #[track_caller]
    #[must_use]
    pub fn pooled<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        let Some(pooler) = &self.pooler else { return features.refused("bert", "has no pooler") };
        let first = features.slice(1, 0, 1).reshape(&[features.dim(0), self.config.block.channels]);
        pooler.forward(first).tanh()
    }

    /// Records the head: features [.., C] → logits [.., V].
    #[track_caller]
    #[must_use]
    pub fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        let Some(Head { dense, activation, norm, bias }) = &self.head else {
            return features.refused("bert", "has no head");
        };
        let g = features.graph();
        let x = norm.forward(activation.apply(dense.forward(features)));
        x.matmul_t(self.embedding.table(g)) + g.param(*bias)
    }

    /// Records the logits of a batch's hidden tokens [M, V], over inputs named as the batch names its tensors. Surplus
    /// places, if the batch has any, repeat its first step.
    #[track_caller]
    #[must_use]
    pub fn hidden_logits<'g>(&self, g: &'g Graph, batch: &MaskedBatch) -> Tensor<'g> {
        let inputs = batch.bind(g);
        let tokens = inputs.ids("tokens", self.config.vocab.size());
        let lengths = inputs.has("lengths").then(|| inputs.lengths("lengths"));
        let features = self.features(tokens, None, lengths);
        let steps = batch.rows().saturating_mul(batch.time());
        let places = inputs.ids("places", steps);
        self.logits(features.reshape(&[steps, self.config.block.channels]).gather_rows(places))
    }
}

impl Model<MaskedBatch> for Bert {
    /// Records the loss of a batch, a scalar in nats per hidden token.
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &MaskedBatch) -> Tensor<'g> {
        let logits = self.hidden_logits(g, batch);
        let size = self.config.vocab.size();
        // A batch made for another vocabulary marks surplus places by another id.
        let logits = match batch.vocab() {
            Some(other) if other != size => {
                logits.refused("bert", &format!("a batch of {other} symbols for a model of {size}"))
            }
            _ => logits,
        };
        let targets = batch.bind(g).ids("targets", size + 1);
        cross_entropy(logits, targets, Some(u32::try_from(size).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::masked_batch::Masking;
    use seqloom_graph::DType;

    fn config() -> BertConfig {
        BertConfig::new(Vocab::ids(7), 8, 2, 2, 6)
    }

    fn error(config: BertConfig, use_it: impl for<'g> Fn(&Bert, &'g Graph) -> Tensor<'g>) -> String {
        let mut params = Params::seeded(1);
        let model = Bert::new(&mut params, config);
        let g = Graph::training(&params);
        let _ = use_it(&model, &g);
        g.check().map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn the_loss_of_full_and_of_ragged_batches_is_a_scalar() {
        let mut params = Params::seeded(1);
        let model = Bert::new(&mut params, BertConfig { token_types: 2, pooler: true, ..config() });
        let block = 4 * 8 * 8 + 4 * 8 + 2 * 8 * 32 + 8 + 32 + 4 * 8;
        let dense = 8 * 8 + 8;
        assert_eq!(params.count(), (7 + 6 + 2) * 8 + 16 + 2 * block + dense + dense + 16 + 7);
        for rows in [vec![vec![0, 1, 2]; 2], vec![vec![0, 1, 2], vec![3]]] {
            let batch = MaskedBatch::new(&rows, &Masking::new(7, 6), 1).unwrap();
            let g = Graph::training(&params);
            let loss = model.loss(&g, &batch);
            g.check().unwrap();
            assert!(loss.shape().to_vec().is_empty());
        }
        let g = Graph::inference(&params);
        let features = model.features(g.ids("tokens", &[2, 3], 7), Some(g.ids("kinds", &[2, 3], 2)), None);
        assert_eq!(model.pooled(features).shape()[..], [2, 8]);
        g.check().unwrap();
    }

    #[test]
    fn what_the_model_has_not_is_refused() {
        assert!(
            error(config(), |model, g| model.features(g.ids("tokens", &[1, 7], 7), None, None))
                .contains("7 steps, the model reads 6 at most")
        );
        let heads = BertConfig { block: BlockConfig { heads: 3, ..config().block }, ..config() };
        assert!(
            error(heads, |model, g| model.features(g.ids("tokens", &[1, 2], 7), None, None))
                .contains("3 heads do not divide")
        );
        assert!(
            error(config(), |model, g| model.pooled(g.input("x", &[1, 2, 8], DType::F32)))
                .contains("has no pooler")
        );
        let headless = BertConfig { head: false, ..config() };
        assert!(
            error(headless, |model, g| model.logits(g.input("x", &[1, 2, 8], DType::F32)))
                .contains("has no head")
        );
        assert!(
            error(config(), |model, g| {
                model.features(g.ids("tokens", &[1, 2], 7), Some(g.ids("kinds", &[1, 2], 2)), None)
            })
            .contains("tells no kinds")
        );
        let other = MaskedBatch::new(&[[0, 1]], &Masking::new(6, 5), 1).unwrap();
        assert!(error(config(), |model, g| model.loss(g, &other)).contains("a batch of 6 symbols"));
    }
}
