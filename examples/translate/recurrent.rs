//! The recurrent encoder–decoder: its command line options, and the resulting sizes.

use clap::{Args, ValueEnum};
use seqloom::prelude::custom::*;

use crate::options::from_one;

/// Options of only the recurrent model.
#[derive(Args)]
#[command(next_help_heading = "Recurrent model")]
pub struct RecurrentOptions {
    /// Recurrent layers [default: gru]
    #[arg(long, value_enum)]
    cell: Option<Cell>,
    /// How a decoder state is compared with the encoder's [default: general]
    #[arg(long, value_enum)]
    attention: Option<Attention>,
    /// Where the decoder applies attention [default: bahdanau for the additive score, luong for the others]
    #[arg(long, value_enum)]
    wiring: Option<AttentionPlace>,
    /// Whether to read in both directions [default: true, except for dot, whose two sides have one width]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    bidirectional: Option<bool>,
    /// Width of the states [dates: 64, files: 256]
    #[arg(long, value_name = "N", value_parser = from_one())]
    hidden: Option<usize>,
    /// Width of the embeddings [dates: 32, files: 256]
    #[arg(long, value_name = "N", value_parser = from_one())]
    embed: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    #[default]
    Gru,
    Lstm,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    None,
    Dot,
    #[default]
    General,
    Additive,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionPlace {
    Luong,
    InputFeeding,
    Bahdanau,
}

/// [`RecurrentOptions`] with all defaults filled in.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RecurrentSizes {
    pub cell: Cell,
    pub attention: Attention,
    pub wiring: AttentionPlace,
    pub bidirectional: bool,
    pub hidden: usize,
    pub embed: usize,
}

impl RecurrentOptions {
    /// The first option that is given.
    pub fn given(&self) -> Option<&'static str> {
        let Self { cell, attention, wiring, bidirectional, hidden, embed } = self;
        let all = [
            (cell.is_some(), "--cell"),
            (attention.is_some(), "--attention"),
            (wiring.is_some(), "--wiring"),
            (bidirectional.is_some(), "--bidirectional"),
            (hidden.is_some(), "--hidden"),
            (embed.is_some(), "--embed"),
        ];
        all.into_iter().find_map(|(given, name)| given.then_some(name))
    }

    /// The given options, or what suits the task.
    pub fn sizes(&self, dates: bool) -> RecurrentSizes {
        let attention = self.attention.unwrap_or_default();
        let before = attention == Attention::Additive;
        let wiring = if before { AttentionPlace::Bahdanau } else { AttentionPlace::Luong };
        RecurrentSizes {
            cell: self.cell.unwrap_or_default(),
            attention,
            wiring: self.wiring.unwrap_or(wiring),
            bidirectional: self.bidirectional.unwrap_or(attention != Attention::Dot),
            hidden: self.hidden.unwrap_or(if dates { 64 } else { 256 }),
            embed: self.embed.unwrap_or(if dates { 32 } else { 256 }),
        }
    }
}

impl RecurrentSizes {
    /// The model's sizes for sentences of this vocabulary, of up to `longest` pieces.
    pub fn config(
        &self,
        vocab: TranslationVocab,
        layers: usize,
        dropout: f32,
        longest: usize,
    ) -> Seq2SeqConfig {
        let score = match self.attention {
            Attention::None => None,
            Attention::Dot => Some(Score::Dot),
            Attention::General => Some(Score::General),
            Attention::Additive => Some(Score::Additive(self.hidden)),
        };
        let wiring = match self.wiring {
            AttentionPlace::Luong => Wiring::Luong,
            AttentionPlace::InputFeeding => Wiring::InputFeeding,
            AttentionPlace::Bahdanau => Wiring::Bahdanau,
        };
        Seq2SeqConfig {
            vocab,
            embed: self.embed,
            hidden: self.hidden,
            layers,
            bidirectional: self.bidirectional,
            dropout,
            attention: score.map(|score| (score, wiring)),
            max_source: longest,
        }
    }
}
