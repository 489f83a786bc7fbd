//! The settings of the model and its text pieces: the part of the command line that a saved model keeps.
//!
//! The task fills in missing settings. Dates are short and exact, so a small network reads them letter by letter.
//! Sentences of files are split into subwords and get a wider network.

use std::path::Path;

use clap::{Args, ValueEnum};
use seqloom::prelude::*;

use crate::error::{Error, Result, at};
use crate::options::{Options, from_one};
use crate::recurrent::{RecurrentOptions, RecurrentSizes};
use crate::transformer::{TransformerOptions, TransformerSizes};

/// The settings of the model.
#[derive(Args)]
#[command(next_help_heading = "Model (with --load as saved)")]
pub struct Sizes {
    /// Kind of model
    #[arg(long, value_enum, default_value_t)]
    model: Kind,
    /// Layers of encoder and decoder each [recurrent: 1; transformer: dates 2, files 3]
    #[arg(long, value_name = "N", value_parser = from_one())]
    layers: Option<usize>,
    /// Probability of dropout, from 0 to below 1 [dates: 0; files: recurrent 0.3, transformer 0.2]
    #[arg(long, value_name = "P")]
    dropout: Option<f32>,
    /// How sentences are split [dates: characters, files: subwords]
    #[arg(long, value_enum)]
    pieces: Option<Pieces>,
    /// Most ids of either side; of subwords at least 260
    #[arg(long, value_name = "N", default_value_t = 8000)]
    vocab: usize,
    /// Pieces that occur less often are unknown, or not merged
    #[arg(long, value_name = "N")]
    min_count: Option<u64>,
    /// Convert all text to lower case first
    #[arg(long)]
    lower_case: bool,
    /// Longest sentence in pieces; longer ones are left out, and counted
    #[arg(long, value_name = "N", value_parser = from_one(), default_value_t = 100)]
    longest: usize,
    #[command(flatten)]
    recurrent: RecurrentOptions,
    #[command(flatten)]
    transformer: TransformerOptions,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// Recurrent layers, with attention or without
    #[default]
    Recurrent,
    /// Blocks of attention and feed-forward layers
    Transformer,
}

#[derive(Clone, Copy, PartialEq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pieces {
    /// The text between spaces, for text that is already tokenized
    Spaced,
    /// Words, and punctuation between them
    Words,
    /// Frequent parts of words, so no word is unknown
    Subwords,
    /// Letters
    Characters,
}

/// The kind of model with its own sizes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    Recurrent(RecurrentSizes),
    Transformer(TransformerSizes),
}

/// [`Sizes`] with all defaults filled in; saved beside the parameters.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    pub model: Model,
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
    /// The loaded model's, or those of the command line and the task.
    pub fn of(options: &Options) -> Result<Self> {
        if let Some(folder) = &options.load {
            let path = folder.join(FILE);
            let json = std::fs::read(&path).map_err(at(&path))?;
            return serde_json::from_slice(&json).map_err(|source| Error::Settings { path, source });
        }
        let sizes = &options.sizes;
        let dates = options.source.is_none();
        let foreign = match sizes.model {
            Kind::Recurrent => sizes.transformer.given().map(|option| (option, "transformer")),
            Kind::Transformer => sizes.recurrent.given().map(|option| (option, "recurrent")),
        };
        if let Some((option, model)) = foreign {
            return Err(Error::OtherModel { option, model });
        }
        let (model, layers, dropout) = match sizes.model {
            Kind::Recurrent => (Model::Recurrent(sizes.recurrent.sizes(dates)), 1, 0.3),
            Kind::Transformer => {
                (Model::Transformer(sizes.transformer.sizes(dates)), if dates { 2 } else { 3 }, 0.2)
            }
        };
        let pieces = sizes.pieces.unwrap_or(if dates { Pieces::Characters } else { Pieces::Subwords });
        Ok(Self {
            model,
            layers: sizes.layers.unwrap_or(layers),
            dropout: sizes.dropout.unwrap_or(if dates { 0.0 } else { dropout }),
            pieces,
            vocab: sizes.vocab,
            min_count: sizes.min_count.unwrap_or(if pieces == Pieces::Characters { 1 } else { 2 }),
            lower_case: sizes.lower_case,
            longest: sizes.longest,
        })
    }

    /// The default peak learning rate. Copying letter by letter allows a larger one, Transformers need a smaller one.
    pub fn lr(&self, dates: bool) -> f64 {
        match (&self.model, dates) {
            (Model::Recurrent(_), true) => 8e-3,
            (Model::Recurrent(_), false) => 2e-3,
            (Model::Transformer(_), true) => 4e-3,
            (Model::Transformer(_), false) => 1e-3,
        }
    }

    /// Default steps of a run on dates.
    pub fn date_steps(&self) -> u64 {
        match &self.model {
            Model::Recurrent(_) => 600,
            Model::Transformer(_) => 1000,
        }
    }

    /// Writes them into a saved model's folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        std::fs::write(&path, serde_json::to_string_pretty(self)? + "\n").map_err(at(&path))
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
    use crate::recurrent::{AttentionPlace, Cell};
    use crate::transformer::Positions;
    use clap::Parser;

    const FILES: [&str; 4] = ["--source", "a", "--target", "b"];
    const TRANSFORMER: [&str; 2] = ["--model", "transformer"];
    const VOCAB: TranslationVocab = TranslationVocab { source: 9, target: 8, bos: 1, eos: 2 };

    fn try_settings(args: &[&str]) -> Result<Settings> {
        Settings::of(&Options::parse_from([&["translate"], args].concat()))
    }

    fn settings(args: &[&str]) -> Settings {
        try_settings(args).unwrap()
    }

    fn recurrent(args: &[&str]) -> RecurrentSizes {
        let Model::Recurrent(sizes) = settings(args).model else { panic!("{args:?} is a Transformer") };
        sizes
    }

    fn transformer(args: &[&str]) -> TransformerSizes {
        let args = [&TRANSFORMER, args].concat();
        let Model::Transformer(sizes) = settings(&args).model else { panic!("{args:?} is recurrent") };
        sizes
    }

    #[test]
    fn what_is_left_out_follows_from_the_rest() {
        let (dates, files) = (settings(&[]), settings(&FILES));
        assert!(dates.pieces == Pieces::Characters && files.pieces == Pieces::Subwords);
        assert!(dates.min_count == 1 && dates.layers == 1);
        assert!(recurrent(&[]).bidirectional && recurrent(&[]).wiring == AttentionPlace::Luong);
        let dot = ["--attention", "dot"];
        assert!(!recurrent(&dot).bidirectional);
        assert!(recurrent(&[&dot[..], &["--bidirectional"]].concat()).bidirectional);
        assert!(recurrent(&["--attention", "additive"]).wiring == AttentionPlace::Bahdanau);
        let of_files = transformer(&FILES);
        assert!(of_files.tied && of_files.label_smoothing == 0.1 && of_files.feed_forward == 512);
        assert!(!transformer(&[]).tied && transformer(&["--channels", "8"]).feed_forward == 16);
        assert!(settings(&[&TRANSFORMER[..], &FILES].concat()).layers == 3);
    }

    #[test]
    fn options_of_the_other_model_are_refused_by_name() {
        let refused = |args: &[&str]| match try_settings(args) {
            Err(error @ Error::OtherModel { .. }) => error.to_string(),
            _ => panic!("{args:?} are not refused"),
        };
        assert_eq!(refused(&["--heads", "2"]), "--heads is an option of --model transformer");
        let cell = [&TRANSFORMER[..], &["--cell", "lstm"]].concat();
        assert_eq!(refused(&cell), "--cell is an option of --model recurrent");
    }

    #[test]
    fn positions_are_told_in_one_place() {
        let config = |kind: &str| transformer(&["--positions", kind]).config(VOCAB, 2, 0.5, 30);
        let sinusoidal = transformer(&[]).config(VOCAB, 2, 0.5, 30);
        assert_eq!((sinusoidal.max_source, sinusoidal.max_target), (30, 31));
        assert_eq!((sinusoidal.encoder_layers, sinusoidal.decoder_layers), (2, 2));
        assert!(matches!(sinusoidal.positions, AbsolutePositions::Sinusoidal(_)));
        assert_eq!(sinusoidal.block.relative, RelativePositions::None);
        assert_eq!(config("learned").positions, AbsolutePositions::Learned);
        let rotary = config("rotary");
        assert_eq!(rotary.positions, AbsolutePositions::None);
        assert!(matches!(rotary.block.relative, RelativePositions::Rotary(_)));
    }

    #[test]
    fn settings_are_saved_and_what_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let load = ["--load", folder.path().to_str().unwrap()];
        settings(&["--cell", "lstm", "--hidden", "7"]).save(folder.path()).unwrap();
        let loaded = recurrent(&[&load[..], &["--hidden", "9"]].concat());
        assert!(loaded.cell == Cell::Lstm && loaded.hidden == 7);
        let positions = ["--model", "transformer", "--positions", "rotary"];
        settings(&positions).save(folder.path()).unwrap();
        let Model::Transformer(loaded) = settings(&load).model else { panic!("not what was saved") };
        assert_eq!(loaded.positions, Positions::Rotary);
        std::fs::write(folder.path().join(FILE), "{}").unwrap();
        let options = Options::parse_from([&["translate"], &load[..]].concat());
        assert!(matches!(Settings::of(&options), Err(Error::Settings { .. })));
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        assert!(matches!(Settings::of(&options), Err(Error::File { .. })));
    }
}
