//! The command line.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser};

use crate::settings::Sizes;

/// Trains an encoder-decoder on two parallel text files, or on dates written by people, and translates.
#[derive(Parser)]
#[command(name = "translate")]
pub struct Options {
    /// Sentences to read, one per line; without files the task is to write dates in ISO 8601
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
    /// Saved model to continue with, its sizes included; with `--steps 0` it only translates
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub load: Option<PathBuf>,
}

/// Numbers of which there is no 0.
pub fn from_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// How it is trained.
#[derive(Args)]
#[command(next_help_heading = "Training")]
pub struct Training {
    /// Passes over the sentences [files: 10]
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Steps instead of epochs, those of a loaded model counted [dates: recurrent 600, transformer 1000]
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    pub steps: Option<u64>,
    /// Stop after this many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<f64>,
    /// Pairs of a batch
    #[arg(long, value_name = "N", value_parser = from_one(), default_value_t = 64)]
    pub batch: usize,
    /// Highest learning rate, reached after the warm-up; then it falls to a twentieth [recurrent: dates 0.008, files 0.002;
    /// transformer: dates 0.004, files 0.001]
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,
    /// Steps in which the learning rate rises [default: a twentieth of all]
    #[arg(long, value_name = "N")]
    pub warmup: Option<u64>,
    /// Part of the tokens that the decoder is given in training, from 0 to 1; for the others it reads its own output. A
    /// Transformer learns all positions at once and is given all
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub teacher_forcing: f64,
    /// Seed of the data, the parameters, the order and dropout
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_fits_together() {
        Options::command().debug_assert();
        for refused in [&["--source", "a"][..], &["--steps", "1", "--epochs", "1"], &["--hidden", "0"]] {
            assert!(Options::try_parse_from([&["translate"], refused].concat()).is_err(), "{refused:?}");
        }
    }
}
