//! The encoder–decoder Transformer.

use seqloom_graph::{AttentionOptions, Graph, Init, Lengths, Params, Tensor};

use crate::attention::multi_head::KeyValues;
use crate::attention::positions::{AbsolutePositions, Place, PositionEmbedding};
use crate::attention::transformer_block::{BlockConfig, TransformerBlock};
use crate::attention::transformer_stack::{StackMemory, TransformerStack};
use crate::batch::Batch;
use crate::batch::translation_batch::{TranslationBatch, TranslationVocab};
use crate::layers::dropout::Dropout;
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::layers::losses::packed_cross_entropy;
use crate::model::Model;
use crate::models::encoder_decoder::{Begun, EncoderDecoder, Next, Source};
use crate::state::{Past, StateShape};

/// Sizes of a [`Transformer`].
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Ids of both sides, and the tokens that start and end a target.
    pub vocab: TranslationVocab,
    /// The blocks of encoder and decoder.
    pub block: BlockConfig,
    /// Number of the encoder's blocks.
    pub encoder_layers: usize,
    /// Number of the decoder's blocks.
    pub decoder_layers: usize,
    /// Longest source, in tokens.
    pub max_source: usize,
    /// Longest target, in tokens and the start or end.
    pub max_target: usize,
    /// How positions are added to embeddings.
    pub positions: AbsolutePositions,
    /// Whether the head's weight is the target embedding's table; then it has no bias.
    pub tied: bool,
    /// Share of the targets' probability that is spread evenly over all ids while training (Szegedy et al. 2016).
    pub label_smoothing: f32,
}

/// An encoder–decoder Transformer (Vaswani et al. 2017).
///
/// ```text
/// m = encoder(dropout(embedding(sources)·√C + positions))
/// y = decoder(dropout(embedding(targets)·√C + positions), m)      causal among targets, all of m's true steps
/// logits = head(y)
/// loss = mean over true target steps of −ln softmax(logits)[target], with label smoothing while training
/// ```
///
/// Parameters: `encoder.embedding.weight` [Vs, C], `decoder.embedding.weight` [V, C], both initially normal with
/// deviation 1/√C; `encoder.positions.weight` and `decoder.positions.weight` if learned; `encoder.layers.*`,
/// `encoder.norm.*`, `decoder.layers.*`, `decoder.norm.*` as [`TransformerStack`] names them; `head.weight` [V, C] and
/// `head.bias` \[V\] unless tied.
///
/// Errors: sentences longer than the greatest lengths, a batch of other vocabularies, and heads that do not divide the
/// channels poison the result; ids and lengths out of range are found on the host.
#[derive(Clone, Debug)]
pub struct Transformer {
    config: TransformerConfig,
    source_embedding: Embedding,
    source_positions: PositionEmbedding,
    encoder: TransformerStack,
    target_embedding: Embedding,
    target_positions: PositionEmbedding,
    decoder: TransformerStack,
    /// `None` if it is tied to the target embedding's table.
    head: Option<Linear>,
    dropout: Dropout,
}

impl Transformer {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: TransformerConfig) -> Self {
        let TransformerConfig { vocab, block, positions, max_source, max_target, .. } = &config;
        let channels = block.channels;
        // Scaled embeddings have size 1, as positions have.
        let spread = 1.0 / (channels.max(1) as f32).sqrt();
        let mut side = |name: &str, size, most, layers, cross| {
            let (embedding, places) = params.scope(name, |params| {
                let embedding = Embedding::with(params, "embedding", size, channels, Init::Normal(spread));
                let learned = PositionEmbedding::new(params, "positions", *positions, most, channels, spread);
                (embedding, learned)
            });
            let stack = if cross { TransformerStack::decoder } else { TransformerStack::encoder };
            (embedding, places, stack(params, name, block, layers, most, true))
        };
        let (source_embedding, source_positions, encoder) =
            side("encoder", vocab.source, *max_source, config.encoder_layers, false);
        let (target_embedding, target_positions, decoder) =
            side("decoder", vocab.target, *max_target, config.decoder_layers, true);
        let head = (!config.tied).then(|| Linear::new(params, "head", channels, vocab.target));
        let dropout = Dropout::new(block.dropout.embedding);
        Self {
            config,
            source_embedding,
            source_positions,
            encoder,
            target_embedding,
            target_positions,
            decoder,
            head,
            dropout,
        }
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The decoder's blocks.
    #[must_use]
    pub fn decoder(&self) -> &TransformerStack {
        &self.decoder
    }

    /// Records the encoder: source ids [B, S] and their lengths (all S if `None`) → the memory of each block of the
    /// decoder.
    #[track_caller]
    #[must_use]
    pub fn encode<'g>(&self, sources: Tensor<'g>, lengths: Option<Lengths<'g>>) -> Vec<KeyValues<'g>> {
        let sources = within(sources, "sources", self.config.max_source);
        let x = self.embedded(&self.source_embedding, &self.source_positions, sources, Place::From(0));
        self.decoder.memory(self.encoder.forward(x, seen(lengths), None))
    }

    /// Records the decoder up to the head: target ids [B, T], the result of [`Self::encode`] and the sources' lengths →
    /// features [B, T, C].
    #[track_caller]
    #[must_use]
    pub fn decode<'g>(
        &self,
        targets: Tensor<'g>,
        memory: &[KeyValues<'g>],
        source_lengths: Option<Lengths<'g>>,
    ) -> Tensor<'g> {
        let mask = AttentionOptions::default();
        let memory = StackMemory { blocks: memory, mask: seen(source_lengths) };
        self.decode_with(targets, Place::From(0), mask, memory, |_, own| own)
    }

    /// As [`Self::decode`], for steps at these positions, which in block l attend to what `remember(l, ..)` returns for
    /// their keys and values. `mask` adds restrictions; causality is always applied.
    #[track_caller]
    #[must_use]
    pub fn decode_with<'g>(
        &self,
        targets: Tensor<'g>,
        place: Place<'g>,
        mask: AttentionOptions<'g>,
        memory: StackMemory<'_, 'g>,
        remember: impl FnMut(usize, KeyValues<'g>) -> KeyValues<'g>,
    ) -> Tensor<'g> {
        self.decode_watched(targets, place, mask, memory, remember, None)
    }

    #[track_caller]
    fn decode_watched<'g>(
        &self,
        targets: Tensor<'g>,
        place: Place<'g>,
        mask: AttentionOptions<'g>,
        memory: StackMemory<'_, 'g>,
        remember: impl FnMut(usize, KeyValues<'g>) -> KeyValues<'g>,
        watch: Option<&mut dyn FnMut(Tensor<'g>)>,
    ) -> Tensor<'g> {
        let targets = within(targets, "targets", self.config.max_target);
        let x = self.embedded(&self.target_embedding, &self.target_positions, targets, place);
        let mask = AttentionOptions { causal: true, ..mask };
        self.decoder.forward_watched(x, place, mask, Some(memory), remember, watch)
    }

    /// Records the head: features [.., C] → logits [.., V].
    #[track_caller]
    #[must_use]
    pub fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        match &self.head {
            Some(head) => head.forward(features),
            None => features.matmul_t(self.target_embedding.table(features.graph())),
        }
    }

    /// Scaled embeddings with their positions.
    #[track_caller]
    fn embedded<'g>(
        &self,
        embedding: &Embedding,
        positions: &PositionEmbedding,
        ids: Tensor<'g>,
        place: Place<'g>,
    ) -> Tensor<'g> {
        let scale = (self.config.block.channels as f32).sqrt();
        self.dropout.forward(positions.forward(embedding.forward(ids) * scale, place))
    }
}

impl Model<TranslationBatch> for Transformer {
    /// Records the loss of a batch, a scalar in nats per target token (`<eos>` counted), over inputs named as the batch names
    /// its tensors. The head, the widest layer, and the loss see true steps alone.
    ///
    /// Every step reads the batch's token: a decoder that reads its own words would have to run step by step, which a
    /// Transformer's training avoids. A batch with another ratio of teacher forcing poisons the result.
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &TranslationBatch) -> Tensor<'g> {
        let (inputs, vocab) = (batch.bind(g), self.config.vocab);
        let sources = inputs.ids("sources", vocab.source);
        let sources = match (batch.vocab(), batch.teacher()) {
            (Some(other), _) if other != vocab => {
                sources.refused("transformer", &format!("a batch of {other:?} for a model of {vocab:?}"))
            }
            (_, Some(_)) => sources.refused("transformer", "trains with full teacher forcing alone"),
            _ => sources,
        };
        let source_lengths = inputs.lengths("source_lengths");
        let memory = self.encode(sources, Some(source_lengths));
        let lengths = inputs.lengths("target_lengths");
        let given = inputs.ids("target_inputs", vocab.target);
        let features = self.decode(given, &memory, Some(source_lengths));
        let logits = self.logits(lengths.pack(features));
        // Outside training the plain likelihood of the tokens is measured.
        let smoothing = self.config.label_smoothing;
        // An invalid share is refused in every graph.
        let smoothing = if g.is_training() || !(0.0..=1.0).contains(&smoothing) { smoothing } else { 0.0 };
        let targets = inputs.ids("target_outputs", vocab.target.saturating_add(1));
        packed_cross_entropy(logits, lengths, targets, vocab.target, smoothing)
    }
}

impl EncoderDecoder for Transformer {
    fn vocab(&self) -> TranslationVocab {
        self.config.vocab
    }

    fn max_source(&self) -> usize {
        self.config.max_source
    }

    fn max_target(&self) -> Option<usize> {
        Some(self.config.max_target)
    }

    /// Each block's keys and values of the encoder's outputs, [B, S, Hkv, D].
    fn memory_shapes(&self, sentences: usize, positions: usize) -> Vec<Vec<usize>> {
        let attentions = self.decoder.blocks().iter().filter_map(TransformerBlock::cross_attention);
        let shapes = attentions.map(|attention| attention.cache_shape(sentences, positions).to_vec());
        shapes.flat_map(|shape| [shape.clone(), shape]).collect()
    }

    /// Each block's keys and values of the target so far, [R, max_target, Hkv, D].
    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        self.decoder.cache_shapes(rows, self.config.max_target)
    }

    /// A cache is not read before it is written, so there is no initial state.
    #[track_caller]
    fn begin<'g>(&self, sources: Tensor<'g>, lengths: Lengths<'g>) -> Begun<'g> {
        let memory = self.encode(sources, Some(lengths));
        Begun { memory: memory.iter().flat_map(|m| [m.keys, m.values]).collect(), state: Vec::new() }
    }

    #[track_caller]
    fn next<'g>(&self, tokens: Tensor<'g>, past: &Past<'g>, source: &Source<'g>) -> Next<'g> {
        let rows = tokens.dim(0);
        let pairs = source.memory.chunks_exact(2).map(|pair| KeyValues { keys: pair[0], values: pair[1] });
        let blocks: Vec<_> = pairs.collect();
        let memory = StackMemory { blocks: &blocks, mask: seen(Some(source.lengths)) };
        let (mut state, mut weights) = (Vec::new(), None);
        let features = self.decode_watched(
            tokens.reshape(&[rows, 1]),
            Place::At(past.steps.positions()),
            AttentionOptions::after(past.steps),
            memory,
            |l, own| {
                let grown = own.appended(&past.state, l, past.steps);
                state.extend([grown.keys, grown.values]);
                grown
            },
            Some(&mut |told: Tensor<'g>| weights = Some(told.reshape(&[rows, told.dim(2)]))),
        );
        let logits = self.logits(features.reshape(&[rows, self.config.block.channels]));
        Next { logits, weights, state }
    }
}

/// The mask of a memory of these lengths.
fn seen(lengths: Option<Lengths<'_>>) -> AttentionOptions<'_> {
    AttentionOptions { lengths: lengths.map(Lengths::tensor), ..AttentionOptions::default() }
}

/// Ids [B, T] of at most `most` steps.
#[track_caller]
fn within<'g>(ids: Tensor<'g>, side: &str, most: usize) -> Tensor<'g> {
    if ids.dim(1) > most {
        return ids.refused("transformer", &format!("{side} have {most} steps at most"));
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCAB: TranslationVocab = TranslationVocab { source: 9, target: 8, bos: 1, eos: 2 };

    fn config() -> TransformerConfig {
        TransformerConfig {
            vocab: VOCAB,
            block: BlockConfig::new(8, 2),
            encoder_layers: 2,
            decoder_layers: 1,
            max_source: 4,
            max_target: 5,
            positions: AbsolutePositions::Learned,
            tied: false,
            label_smoothing: 0.1,
        }
    }

    fn batch(source: usize, target: usize, vocab: TranslationVocab) -> TranslationBatch {
        TranslationBatch::new(&[vec![3; source]], &[vec![3; target]], vocab).unwrap()
    }

    fn error(config: TransformerConfig, batch: &TranslationBatch) -> String {
        let mut params = Params::seeded(1);
        let model = Transformer::new(&mut params, config);
        let g = Graph::training(&params);
        let loss = model.loss(&g, batch);
        g.check().map_or_else(|e| e.to_string(), |()| loss.shape().iter().map(usize::to_string).collect())
    }

    #[test]
    fn sentences_of_up_to_the_greatest_lengths_have_a_loss() {
        assert_eq!(error(config(), &batch(4, 4, VOCAB)), "");
        let tied = TransformerConfig { tied: true, ..config() };
        assert_eq!(error(tied, &batch(1, 0, VOCAB)), "");
    }

    #[test]
    fn what_the_model_cannot_take_is_refused_by_name() {
        assert!(error(config(), &batch(5, 4, VOCAB)).contains("sources have 4 steps at most"));
        assert!(error(config(), &batch(4, 5, VOCAB)).contains("targets have 5 steps at most"));
        let other = TranslationVocab { target: 7, ..VOCAB };
        assert!(error(config(), &batch(1, 1, other)).contains("a batch of TranslationVocab"));
        let sampled = batch(1, 1, VOCAB).with_teacher_forcing(0.5, 1).unwrap();
        assert!(error(config(), &sampled).contains("full teacher forcing"));
        let block = BlockConfig { heads: 3, ..config().block };
        let odd = TransformerConfig { block, ..config() };
        assert!(error(odd, &batch(1, 1, VOCAB)).contains("3 heads do not divide a width of 8"));
        let smoothed = TransformerConfig { label_smoothing: 1.5, ..config() };
        assert!(error(smoothed.clone(), &batch(1, 1, VOCAB)).contains("label_smoothing = 1.5"));
        let mut params = Params::seeded(1);
        let model = Transformer::new(&mut params, smoothed);
        let g = Graph::inference(&params);
        let _ = model.loss(&g, &batch(1, 1, VOCAB));
        assert!(g.check().unwrap_err().to_string().contains("label_smoothing = 1.5"));
    }
}
