//! The command line, and the part of it that makes the model, which a saved model carries with it.
//!
//! What is left out is filled in by the task: dates are short and exact, so they are read letter by letter by a small
//! network; sentences of files are cut into subwords and get a wider one.

use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, ValueEnum};
use seqloom::prelude::*;

use crate::error::{Error, Result, at};

/// Trains an encoder-decoder on two parallel text files, or on dates written by people, and translates.
#[derive(Parser)]
#[command(name = "translate")]
pub struct Options {
    /// Sentences to read, one a line; without files the task is to write dates in ISO 8601
    #[arg(long, value_name = "FILE", requires = "target", help_heading = "Files")]
    pub source: Option<PathBuf>,
    /// Their translations, line by line
    #[arg(long, value_name = "FILE", requires = "source", help_heading = "Files")]
    pub target: Option<PathBuf>,
    /// Sentences to test on; by default the last twentieth of the lines, 1000 at most, which are not trained on
    #[arg(long, value_name = "FILE", requires = "test_target", requires = "source", help_heading = "Files")]
    pub test_source: Option<PathBuf>,
    /// Their translations
    #[arg(long, value_name = "FILE", requires = "test_source", help_heading = "Files")]
    pub test_target: Option<PathBuf>,
    #[command(flatten)]
    pub sizes: Sizes,
    #[command(flatten)]
    pub training: Training,
    /// Sequences kept by the search, 1 is greedy
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Translating")]
    pub beam: usize,
    /// How much the search favours long translations, from 0
    #[arg(long, value_name = "X", default_value_t = 0.6, help_heading = "Translating")]
    pub length_penalty: f64,
    /// Folder for the attention map, the loss curve and the summary
    #[arg(long, value_name = "DIR", default_value = "target/translate", help_heading = "Files")]
    pub out: PathBuf,
    /// Folder to save the trained model to
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub save: Option<PathBuf>,
    /// Saved model to go on with, its sizes included; with `--steps 0` it only translates
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub load: Option<PathBuf>,
}

/// What makes the model.
#[derive(Args)]
#[command(next_help_heading = "Model (with --load as saved)")]
pub struct Sizes {
    /// Recurrent layers
    #[arg(long, value_enum, default_value_t)]
    cell: Cell,
    /// How a state of the decoder is compared with those of the encoder
    #[arg(long, value_enum, default_value_t)]
    attention: Attention,
    /// Where attention stands in the decoder [default: bahdanau for the additive score, luong for the others]
    #[arg(long, value_enum)]
    wiring: Option<Place>,
    /// Whether to read in both directions [default: true, but for dot, whose two sides are of one width]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    bidirectional: Option<bool>,
    /// Width of the states [dates: 64, files: 256]
    #[arg(long, value_name = "N", value_parser = from_one())]
    hidden: Option<usize>,
    /// Width of the embeddings [dates: 32, files: 256]
    #[arg(long, value_name = "N", value_parser = from_one())]
    embed: Option<usize>,
    /// Layers of encoder and decoder each
    #[arg(long, value_name = "N", value_parser = from_one(), default_value_t = 1)]
    layers: usize,
    /// Probability of dropout, from 0 to below 1 [dates: 0, files: 0.3]
    #[arg(long, value_name = "P")]
    dropout: Option<f32>,
    /// What sentences are cut into [dates: characters, files: subwords]
    #[arg(long, value_enum)]
    pieces: Option<Pieces>,
    /// Most ids of either side; of subwords at least 260
    #[arg(long, value_name = "N", default_value_t = 8000)]
    vocab: usize,
    /// Pieces that occur less often are unknown, or not merged
    #[arg(long, value_name = "N")]
    min_count: Option<u64>,
    /// Put all text into small letters first
    #[arg(long)]
    lower_case: bool,
    /// Longest sentence in pieces; longer ones are left out, and counted
    #[arg(long, value_name = "N", value_parser = from_one(), default_value_t = 100)]
    longest: usize,
}

/// Numbers of which there is no 0.
fn from_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// How it is trained.
#[derive(Args)]
#[command(next_help_heading = "Training")]
pub struct Training {
    /// Passes over the sentences [files: 10]
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Steps instead of epochs, those of a loaded model counted [dates: 600]
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    pub steps: Option<u64>,
    /// Stop after so many seconds, whatever is left
    #[arg(long, value_name = "N")]
    pub seconds: Option<f64>,
    /// Pairs of a batch
    #[arg(long, value_name = "N", value_parser = from_one(), default_value_t = 64)]
    pub batch: usize,
    /// Highest learning rate, reached after a twentieth of the steps; then it falls to a twentieth [dates: 0.008, files: 0.002]
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,
    /// Part of the tokens that the decoder is given while it learns, from 0 to 1; the others it reads as it wrote them itself
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub teacher_forcing: f64,
    /// Seed of the data, the parameters, the order and dropout
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

#[derive(Clone, Copy, Default, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    #[default]
    Gru,
    Lstm,
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    None,
    Dot,
    #[default]
    General,
    Additive,
}

#[derive(Clone, Copy, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Luong,
    InputFeeding,
    Bahdanau,
}

#[derive(Clone, Copy, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pieces {
    /// What stands between spaces, for text that was tokenized before
    Spaced,
    /// Words, and punctuation between them
    Words,
    /// Frequent pieces of words, so that no word is unknown
    Subwords,
    /// Letters
    Characters,
}

/// [`Sizes`] with nothing left open: what is saved beside the parameters.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    pub cell: Cell,
    pub attention: Attention,
    pub wiring: Place,
    pub bidirectional: bool,
    pub hidden: usize,
    pub embed: usize,
    pub layers: usize,
    pub dropout: f32,
    pub pieces: Pieces,
    pub vocab: usize,
    pub min_count: u64,
    pub lower_case: bool,
    pub longest: usize,
}

/// Its file in a saved model's folder.
const FILE: &str = "settings.json";

impl Settings {
    /// Those of the loaded model, or what the command line and the task say.
    pub fn of(options: &Options) -> Result<Self> {
        if let Some(folder) = &options.load {
            let path = folder.join(FILE);
            let json = std::fs::read(&path).map_err(at(&path))?;
            return serde_json::from_slice(&json).map_err(|source| Error::Settings { path, source });
        }
        let sizes = &options.sizes;
        let dates = options.source.is_none();
        let by_task = |of_dates: usize, of_files: usize| if dates { of_dates } else { of_files };
        let pieces = sizes.pieces.unwrap_or(if dates { Pieces::Characters } else { Pieces::Subwords });
        let before = sizes.attention == Attention::Additive;
        Ok(Self {
            cell: sizes.cell,
            attention: sizes.attention,
            wiring: sizes.wiring.unwrap_or(if before { Place::Bahdanau } else { Place::Luong }),
            bidirectional: sizes.bidirectional.unwrap_or(sizes.attention != Attention::Dot),
            hidden: sizes.hidden.unwrap_or(by_task(64, 256)),
            embed: sizes.embed.unwrap_or(by_task(32, 256)),
            layers: sizes.layers,
            dropout: sizes.dropout.unwrap_or(if dates { 0.0 } else { 0.3 }),
            pieces,
            vocab: sizes.vocab,
            min_count: sizes.min_count.unwrap_or(if pieces == Pieces::Characters { 1 } else { 2 }),
            lower_case: sizes.lower_case,
            longest: sizes.longest,
        })
    }

    /// Writes them into a saved model's folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        std::fs::write(&path, serde_json::to_string_pretty(self)? + "\n").map_err(at(&path))
    }

    /// The model's sizes for sentences of this vocabulary.
    pub fn config(&self, vocab: TranslationVocab) -> Seq2SeqConfig {
        let score = match self.attention {
            Attention::None => None,
            Attention::Dot => Some(Score::Dot),
            Attention::General => Some(Score::General),
            Attention::Additive => Some(Score::Additive(self.hidden)),
        };
        let wiring = match self.wiring {
            Place::Luong => Wiring::Luong,
            Place::InputFeeding => Wiring::InputFeeding,
            Place::Bahdanau => Wiring::Bahdanau,
        };
        Seq2SeqConfig {
            vocab,
            embed: self.embed,
            hidden: self.hidden,
            layers: self.layers,
            bidirectional: self.bidirectional,
            dropout: self.dropout,
            attention: score.map(|score| (score, wiring)),
            max_source: self.longest,
        }
    }

    /// A codec of these sentences.
    pub fn codec<'a>(&self, sentences: impl Iterator<Item = &'a str> + Send) -> Result<TextCodec> {
        let unit = match self.pieces {
            Pieces::Spaced => Unit::Spaced,
            Pieces::Words => Unit::Words,
            Pieces::Characters => Unit::Characters,
            Pieces::Subwords => {
                let (size, lowercase, min_count) = (self.vocab, self.lower_case, self.min_count);
                return Ok(TextCodec::subwords(sentences, SubwordOptions { size, lowercase, min_count })?);
            }
        };
        let (lowercase, min_count, most) = (self.lower_case, self.min_count, self.vocab);
        Ok(TextCodec::words(sentences, WordOptions { unit, lowercase, min_count, most })?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)] // A test stops at the first surprise.

    use super::*;
    use clap::CommandFactory;

    fn settings(args: &[&str]) -> Settings {
        Settings::of(&Options::parse_from([&["translate"], args].concat())).unwrap()
    }

    #[test]
    fn the_command_line_fits_together() {
        Options::command().debug_assert();
        for refused in [&["--source", "a"][..], &["--steps", "1", "--epochs", "1"], &["--hidden", "0"]] {
            assert!(Options::try_parse_from([&["translate"], refused].concat()).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn what_is_left_out_follows_from_the_rest() {
        let (dates, files) = (settings(&[]), settings(&["--source", "a", "--target", "b"]));
        assert!(dates.pieces == Pieces::Characters && files.pieces == Pieces::Subwords);
        assert!(dates.bidirectional && dates.wiring == Place::Luong && dates.min_count == 1);
        let dot = settings(&["--attention", "dot"]);
        assert!(!dot.bidirectional && settings(&["--bidirectional"]).bidirectional);
        assert!(settings(&["--attention", "additive"]).wiring == Place::Bahdanau);
    }

    #[test]
    fn settings_are_saved_and_what_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let load = ["--load", folder.path().to_str().unwrap()];
        settings(&["--cell", "lstm", "--hidden", "7"]).save(folder.path()).unwrap();
        let loaded = settings(&[&load[..], &["--hidden", "9"]].concat());
        assert!(matches!(loaded.cell, Cell::Lstm) && loaded.hidden == 7);
        std::fs::write(folder.path().join(FILE), "{}").unwrap();
        let options = Options::parse_from([&["translate"], &load[..]].concat());
        assert!(matches!(Settings::of(&options), Err(Error::Settings { .. })));
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        assert!(matches!(Settings::of(&options), Err(Error::File { .. })));
    }
}
