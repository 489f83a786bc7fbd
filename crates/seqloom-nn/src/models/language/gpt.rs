//! The decoder-only Transformer: a language model that attends to all earlier steps.

use seqloom_graph::{AttentionOptions, Graph, Init, Lengths, Params, Tensor};

use crate::attention::multi_head::KeyValues;
use crate::attention::positions::{AbsolutePositions, Place, PositionEmbedding, padded_to, rounded_off};
use crate::attention::transformer_block::{BlockConfig, BlockInit, SPREAD};
use crate::attention::transformer_stack::TransformerStack;
use crate::batch::lm_batch::LmBatch;
use crate::layers::dropout::Dropout;
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::model::Model;
use crate::models::language::{LanguageModel, Reading, state_or_zeros};
use crate::state::{Past, StateShape};
use crate::vocab::Vocab;

/// Sizes of a [`Gpt`].
#[derive(Clone, Debug, PartialEq)]
pub struct GptConfig {
    /// Symbols that it reads and predicts, V.
    pub vocab: Vocab,
    /// Its blocks.
    pub block: BlockConfig,
    /// Number of blocks, L.
    pub layers: usize,
    /// Most steps of a sequence.
    pub max_time: usize,
    /// How positions are added to embeddings.
    pub positions: AbsolutePositions,
    /// Farthest step back that a block sees; all if `None`.
    pub window: Option<usize>,
    /// Whether the head's weight is the embedding's table; then it has no bias.
    pub tied: bool,
}

impl GptConfig {
    /// GPT-2's form (Radford et al. 2019) at these sizes, but with an untied head and exact GELU: pre-norm, learned
    /// positions, a last normalisation.
    #[must_use]
    pub fn new(vocab: Vocab, channels: usize, heads: usize, layers: usize, max_time: usize) -> Self {
        Self {
            vocab,
            block: BlockConfig { init: BlockInit::Gpt2, ..BlockConfig::new(channels, heads) },
            layers,
            max_time,
            positions: AbsolutePositions::Learned,
            window: None,
            tied: false,
        }
    }
}

/// A decoder-only Transformer over symbols (Radford et al. 2018, 2019): the probability of each symbol given those before it
/// in the row.
///
/// ```text
/// x = dropout(embedding(tokens) + positions)
/// logits = head(norm(blocks(x)))            blocks under a causal mask
/// loss = mean of −ln softmax(logits)[target], in nats a symbol
/// ```
///
/// Parameters: `embedding.weight` [V, C], `positions.weight` [max_time, C] if learned, `blocks.*` as [`TransformerStack`] names
/// them, `head.weight` [V, C] and `head.bias` \[V\] unless tied. Without `block.bias` the head has none either.
///
/// Errors: rows of more than `max_time` steps, and heads that do not divide the channels, poison the result.
#[derive(Clone, Debug)]
pub struct Gpt {
    config: GptConfig,
    embedding: Embedding,
    positions: PositionEmbedding,
    dropout: Dropout,
    blocks: TransformerStack,
    /// `None` if it is tied to the embedding's table.
    head: Option<Linear>,
}

impl Gpt {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: GptConfig) -> Self {
        let (size, channels) = (config.vocab.size(), config.block.channels);
        let spread = match config.block.init {
            BlockInit::Torch => 1.0,
            BlockInit::Gpt2 | BlockInit::Bert => SPREAD,
        };
        let embedding = Embedding::with(params, "embedding", size, channels, Init::Normal(spread));
        let positions =
            PositionEmbedding::new(params, "positions", config.positions, config.max_time, channels, spread);
        let blocks =
            TransformerStack::encoder(params, "blocks", &config.block, config.layers, config.max_time, true);
        let bias = config.block.bias;
        let head = (!config.tied).then(|| match config.block.init {
            BlockInit::Torch if bias => Linear::new(params, "head", channels, size),
            BlockInit::Torch => Linear::without_bias(params, "head", channels, size),
            BlockInit::Gpt2 | BlockInit::Bert => Linear::with(
                params,
                "head",
                channels,
                size,
                Init::Normal(SPREAD),
                bias.then_some(Init::Zeros),
            ),
        });
        let dropout = Dropout::new(config.block.dropout.embedding);
        Self { config, embedding, positions, dropout, blocks, head }
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &GptConfig {
        &self.config
    }

    /// Its blocks.
    #[must_use]
    pub fn blocks(&self) -> &TransformerStack {
        &self.blocks
    }

    /// Records the model up to the head: tokens [B, T] of u32 → features [B, T, C]. Rows may have several lengths: no
    /// step sees later ones, so padding changes nothing before it.
    #[track_caller]
    #[must_use]
    pub fn features<'g>(&self, tokens: Tensor<'g>) -> Tensor<'g> {
        self.features_with(tokens, Place::From(0), AttentionOptions::default(), |_, own| own)
    }

    /// As [`Self::features`], for steps at these positions, which in block l attend to what `remember(l, ..)` returns
    /// for their keys and values. `mask` adds restrictions; causality is always applied.
    #[track_caller]
    #[must_use]
    pub fn features_with<'g>(
        &self,
        tokens: Tensor<'g>,
        place: Place<'g>,
        mask: AttentionOptions<'g>,
        remember: impl FnMut(usize, KeyValues<'g>) -> KeyValues<'g>,
    ) -> Tensor<'g> {
        self.run(self.embedding.forward(tokens), place, mask, remember)
    }

    /// The part after the embedding.
    #[track_caller]
    fn run<'g>(
        &self,
        embedded: Tensor<'g>,
        place: Place<'g>,
        mask: AttentionOptions<'g>,
        remember: impl FnMut(usize, KeyValues<'g>) -> KeyValues<'g>,
    ) -> Tensor<'g> {
        let (time, most) = (embedded.dim(1), self.config.max_time);
        let embedded = if time > most {
            embedded.refused("gpt", &format!("{time} steps, the model reads {most} at most"))
        } else {
            embedded
        };
        let embedded = self.positions.forward(embedded, place);
        let mask = AttentionOptions { causal: true, window: self.config.window.or(mask.window), ..mask };
        self.blocks.forward_with(self.dropout.forward(embedded), place, mask, None, remember)
    }
}

impl Model<LmBatch> for Gpt {
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        self.next_token_loss(g, batch)
    }
}

impl LanguageModel for Gpt {
    fn vocab(&self) -> &Vocab {
        &self.config.vocab
    }

    fn max_time(&self) -> Option<usize> {
        Some(self.config.max_time)
    }

    /// Keys and values of each block, [B, max_time, Hkv, D].
    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        self.blocks.cache_shapes(rows, self.config.max_time)
    }

    /// A past's keys and values are appended to, and attended to as far as each row has come.
    #[track_caller]
    fn read<'g>(
        &self,
        tokens: Tensor<'g>,
        past: Option<&Past<'g>>,
        lengths: Option<Lengths<'g>>,
    ) -> Reading<'g> {
        let mut state = Vec::new();
        let features = match past {
            None => {
                let embedded = self.embedding.forward(tokens);
                let read =
                    if lengths.is_some() { rounded_off(embedded, self.config.max_time) } else { embedded };
                let features = self.run(read, Place::From(0), AttentionOptions::default(), |_, own| {
                    state.extend(own.padded(self.config.max_time));
                    own
                });
                padded_to(features, tokens.dim(1))
            }
            Some(past) => {
                let caches = state_or_zeros(self, "gpt", tokens, Some(past));
                let place = Place::At(past.steps.positions());
                self.features_with(tokens, place, AttentionOptions::after(past.steps), |l, own| {
                    let grown = own.appended(&caches, l, past.steps);
                    state.extend([grown.keys, grown.values]);
                    grown
                })
            }
        };
        Reading { features, state }
    }

    #[track_caller]
    fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        match &self.head {
            Some(head) => head.forward(features),
            None => features.matmul_t(self.embedding.table(features.graph())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::lm_batch::LmBatch;
    use seqloom_graph::Graph;

    fn config() -> GptConfig {
        GptConfig::new(Vocab::ids(7), 8, 2, 2, 6)
    }

    #[test]
    fn the_loss_of_full_and_of_ragged_batches_is_a_scalar() {
        for tied in [false, true] {
            let mut params = Params::seeded(1);
            let model = Gpt::new(&mut params, GptConfig { tied, ..config() });
            let block = 4 * 8 * 8 + 4 * 8 + 2 * 8 * 32 + 8 + 32 + 4 * 8;
            let head = if tied { 0 } else { 7 * 8 + 7 };
            assert_eq!(params.count(), 7 * 8 + 6 * 8 + 2 * block + 2 * 8 + head);
            for batch in [
                LmBatch::new(1, 2, vec![0; 2], vec![1; 2]).unwrap(),
                LmBatch::ragged(&[vec![0, 1, 2], vec![3, 4]], 7).unwrap(),
            ] {
                let g = Graph::training(&params);
                let loss = model.loss(&g, &batch);
                g.check().unwrap();
                assert!(loss.shape().to_vec().is_empty());
            }
        }
    }

    #[test]
    fn rows_beyond_the_greatest_length_and_of_other_vocabularies_are_refused() {
        let mut params = Params::seeded(1);
        let model = Gpt::new(&mut params, config());
        let g = Graph::training(&params);
        let _ = model.loss(&g, &LmBatch::new(1, 7, vec![0; 7], vec![1; 7]).unwrap());
        assert!(g.check().unwrap_err().to_string().contains("7 steps, the model reads 6 at most"));
        let g = Graph::training(&params);
        let _ = model.loss(&g, &LmBatch::ragged(&[[0, 1, 2]], 5).unwrap());
        assert!(g.check().is_err());
    }
}
