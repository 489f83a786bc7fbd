//! The Transformers of the workloads: the decoder-only model of W4 and the encoder–decoder of W5.
//!
//! Sizes, constants and tokens are those of the peers' programs, so figures can be compared. One thing differs: a
//! target here begins and ends with special tokens, as for every user; theirs is cut from one row of tokens.

use seqloom::prelude::*;

use super::language::{VOCAB, tokens, windows};
use super::subject::{Subject, Training};
use crate::error::Result;

/// Channels, heads and blocks of W4; steps and rows of its batch.
const CHANNELS: usize = 128;
const HEADS: usize = 4;
const LAYERS: usize = 4;
pub const TIME: usize = 128;
const ROWS: usize = 16;

/// Symbols of either side, blocks of either stack, steps of either side and rows of W5.
const PAIR_VOCAB: usize = 1000;
const PAIR_LAYERS: usize = 3;
const PAIR_TIME: usize = 32;
const PAIR_ROWS: usize = 32;

/// The model of W4 and of W7.
pub fn gpt(params: &mut Params) -> Gpt {
    Gpt::new(params, GptConfig::new(Vocab::ids(VOCAB), CHANNELS, HEADS, LAYERS, TIME))
}

/// W4: a training step of the decoder-only model.
///
/// # Errors
/// The device's.
pub fn decoder_only(device: &Device, _: &str) -> Result<Box<dyn Subject>> {
    let mut params = Params::seeded(42);
    let model = gpt(&mut params);
    let count = params.count();
    let trainer = Trainer::new(device, params, adam(), move |g, batch: &LmBatch| model.loss(g, batch))?;
    Ok(Box::new(Training { trainer, batch: windows(ROWS, TIME, VOCAB)?, params: count }))
}

/// W5: a training step of the encoder–decoder.
///
/// # Errors
/// The device's.
pub fn encoder_decoder(device: &Device, _: &str) -> Result<Box<dyn Subject>> {
    let vocab = TranslationVocab { source: PAIR_VOCAB, target: PAIR_VOCAB, bos: 1, eos: 2 };
    let mut params = Params::seeded(42);
    let config = TransformerConfig {
        vocab,
        block: BlockConfig::new(CHANNELS, HEADS),
        encoder_layers: PAIR_LAYERS,
        decoder_layers: PAIR_LAYERS,
        max_source: PAIR_TIME,
        max_target: PAIR_TIME,
        positions: AbsolutePositions::Learned,
        tied: false,
        label_smoothing: 0.0,
    };
    let model = Transformer::new(&mut params, config);
    let count = params.count();
    let drawn = tokens(42, PAIR_ROWS * (PAIR_TIME + PAIR_TIME - 1), PAIR_VOCAB as u64);
    let (sources, targets) = drawn.split_at(PAIR_ROWS * PAIR_TIME);
    let sources: Vec<_> = sources.chunks(PAIR_TIME).collect();
    let targets: Vec<_> = targets.chunks(PAIR_TIME - 1).collect();
    let batch = TranslationBatch::new(&sources, &targets, vocab).map_err(seqloom::Error::from)?;
    let trainer =
        Trainer::new(device, params, adam(), move |g, batch: &TranslationBatch| model.loss(g, batch))?;
    Ok(Box::new(Training { trainer, batch, params: count }))
}

/// What trains them.
pub fn adam() -> AdamW {
    AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, clip_norm: None }
}
