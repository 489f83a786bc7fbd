//! What the example needs of an encoder–decoder besides translating: making it from the settings, and training.

use seqloom::prelude::custom::*;

/// An encoder–decoder that trains on pairs of sentences.
pub trait Learner: EncoderDecoder + Clone {
    /// What it is made of.
    type Config;

    /// Registers its parameters.
    fn register(params: &mut Params, config: Self::Config) -> Self;

    /// Records the loss of a batch, in nats per target piece.
    fn loss<'g>(&self, g: &'g Graph, batch: &TranslationBatch) -> Tensor<'g>;
}

impl<L: Recurrent + Clone> Learner for Seq2Seq<L> {
    type Config = Seq2SeqConfig;

    fn register(params: &mut Params, config: Seq2SeqConfig) -> Self {
        Self::new(params, config)
    }

    fn loss<'g>(&self, g: &'g Graph, batch: &TranslationBatch) -> Tensor<'g> {
        Self::loss(self, g, batch)
    }
}

impl Learner for Transformer {
    type Config = TransformerConfig;

    fn register(params: &mut Params, config: TransformerConfig) -> Self {
        Self::new(params, config)
    }

    fn loss<'g>(&self, g: &'g Graph, batch: &TranslationBatch) -> Tensor<'g> {
        Self::loss(self, g, batch)
    }
}
