//! The Transformer: its command line options, and the resulting sizes.
//!
//! Blocks are pre-norm by default. They train from any initialisation; post-norm needs a carefully tuned warm-up (Xiong
//! et al. 2020). Positions are sinusoids, so no test sentence is longer than the trained positions.

use clap::{Args, ValueEnum};
use seqloom::prelude::*;

use crate::options::from_one;

/// Options of only the Transformer.
#[derive(Args)]
#[command(next_help_heading = "Transformer")]
pub struct TransformerOptions {
    /// Channels of its blocks and embeddings [dates: 64, files: 256]
    #[arg(long, value_name = "N", value_parser = from_one())]
    channels: Option<usize>,
    /// Heads of each attention; they divide the channels [default: 4]
    #[arg(long, value_name = "N", value_parser = from_one())]
    heads: Option<usize>,
    /// Channels inside the feed-forward layers [default: twice the channels]
    #[arg(long, value_name = "N", value_parser = from_one())]
    feed_forward: Option<usize>,
    /// Where blocks normalise [default: pre]
    #[arg(long, value_enum)]
    norm: Option<NormAt>,
    /// How a block knows a piece's position [default: sinusoidal]
    #[arg(long, value_enum)]
    positions: Option<Positions>,
    /// Probability that is spread over all pieces instead of the right one while training [dates: 0, files: 0.1]
    #[arg(long, value_name = "P")]
    label_smoothing: Option<f32>,
    /// Whether the embedding of the target's pieces is the head's weight too [dates: false, files: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    tied: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormAt {
    /// The input of each branch
    Pre,
    /// Each branch's sum with the stream, as in 2017
    Post,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// Alternating sines and cosines, added to the embedding
    Sinusoidal,
    /// A trained vector for each position, added to the embedding
    Learned,
    /// Queries and keys rotated by their position
    Rotary,
}

/// [`TransformerOptions`] with all defaults filled in.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TransformerSizes {
    pub channels: usize,
    pub heads: usize,
    pub feed_forward: usize,
    pub norm: NormAt,
    pub positions: Positions,
    pub label_smoothing: f32,
    pub tied: bool,
}

impl TransformerOptions {
    /// The first option that is given.
    pub fn given(&self) -> Option<&'static str> {
        let Self { channels, heads, feed_forward, norm, positions, label_smoothing, tied } = self;
        let all = [
            (channels.is_some(), "--channels"),
            (heads.is_some(), "--heads"),
            (feed_forward.is_some(), "--feed-forward"),
            (norm.is_some(), "--norm"),
            (positions.is_some(), "--positions"),
            (label_smoothing.is_some(), "--label-smoothing"),
            (tied.is_some(), "--tied"),
        ];
        all.into_iter().find_map(|(given, name)| given.then_some(name))
    }

    /// The given options, or what suits the task.
    pub fn sizes(&self, dates: bool) -> TransformerSizes {
        let channels = self.channels.unwrap_or(if dates { 64 } else { 256 });
        TransformerSizes {
            channels,
            heads: self.heads.unwrap_or(4),
            feed_forward: self.feed_forward.unwrap_or(channels.saturating_mul(2)),
            norm: self.norm.unwrap_or(NormAt::Pre),
            positions: self.positions.unwrap_or(Positions::Sinusoidal),
            label_smoothing: self.label_smoothing.unwrap_or(if dates { 0.0 } else { 0.1 }),
            tied: self.tied.unwrap_or(!dates),
        }
    }
}

impl TransformerSizes {
    /// The model's sizes for sentences of this vocabulary, of up to `longest` pieces.
    pub fn config(
        &self,
        vocab: TranslationVocab,
        layers: usize,
        dropout: f32,
        longest: usize,
    ) -> TransformerConfig {
        let (positions, relative) = match self.positions {
            Positions::Sinusoidal => {
                let layout = SinusoidLayout::Interleaved;
                (AbsolutePositions::Sinusoidal(layout), RelativePositions::None)
            }
            Positions::Learned => (AbsolutePositions::Learned, RelativePositions::None),
            Positions::Rotary => (AbsolutePositions::None, RelativePositions::Rotary(Rotary::default())),
        };
        let block = BlockConfig {
            feed_forward: self.feed_forward,
            activation: FeedForwardActivation::Relu,
            norm_place: match self.norm {
                NormAt::Pre => NormPlace::Pre,
                NormAt::Post => NormPlace::Post,
            },
            dropout: TransformerDropout::all(dropout),
            relative,
            ..BlockConfig::new(self.channels, self.heads)
        };
        TransformerConfig {
            vocab,
            block,
            encoder_layers: layers,
            decoder_layers: layers,
            max_source: longest,
            // The end is one more.
            max_target: longest.saturating_add(1),
            positions,
            tied: self.tied,
            label_smoothing: self.label_smoothing,
        }
    }
}
