//! What the example needs of an encoder–decoder besides translating and training: making it from the settings.

use seqloom::prelude::custom::*;

/// An encoder–decoder that trains on pairs of sentences and is made from settings.
pub trait Learner: EncoderDecoder + Model<TranslationBatch> + Clone {
    /// What it is made of.
    type Config;

    /// Registers its parameters.
    fn register(params: &mut Params, config: Self::Config) -> Self;
}

impl<L: Recurrent + Clone> Learner for Seq2Seq<L> {
    type Config = Seq2SeqConfig;

    fn register(params: &mut Params, config: Seq2SeqConfig) -> Self {
        Self::new(params, config)
    }
}

impl Learner for Transformer {
    type Config = TransformerConfig;

    fn register(params: &mut Params, config: TransformerConfig) -> Self {
        Self::new(params, config)
    }
}
