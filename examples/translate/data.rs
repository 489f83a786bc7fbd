//! The text to translate, two files or generated dates, as text and as ids.

use std::collections::BTreeMap;
use std::path::Path;

use seqloom::prelude::*;
use seqloom::train::dates::{DateSentence, DateSplit, dates};
use seqloom::train::{SkipReason, Skipped};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::settings::Settings;

/// Number of dates to train on, out of a million: 32,900 days, 14 notations, three kinds of letters.
const TRAIN: usize = 100_000;
/// Number of dates to test on, for days that no training date names.
const TEST: usize = 1000;
/// Most held-out lines of a file.
const MOST_HELD_OUT: usize = 1000;

/// Files of a saved model's codecs.
const CODECS: [&str; 2] = ["source.tokenizer.json", "target.tokenizer.json"];

/// The sentences of a run.
pub struct Data {
    /// What it is, in a word.
    pub name: String,
    pub source: TextCodec,
    pub target: TextCodec,
    pub train: ParallelCorpus,
    pub test: ParallelCorpus,
    /// The pairs of `test` as text.
    pub texts: Vec<(String, String)>,
    /// For generated dates, the positions of their fields, in the order of `test`.
    pub dates: Option<Vec<DateSentence>>,
}

impl Data {
    /// Reads or generates the text and encodes it with the loaded model's codecs or new ones.
    pub fn new(options: &Options, settings: &Settings) -> Result<Self> {
        let (name, train, test, dates) = match (&options.source, &options.target) {
            (Some(source), Some(target)) => {
                let (train, test) = files(options, ParallelText::read(source, target)?)?;
                (format!("{} to {}", file(source), file(target)), train, test, None)
            }
            _ => {
                let seed = options.training.seed;
                let test = dates(seed, DateSplit::HeldOut, TEST);
                let train = written(&dates(seed, DateSplit::Train, TRAIN))?;
                ("dates to ISO 8601".to_owned(), train, written(&test)?, Some(test))
            }
        };
        let (source, target) = match &options.load {
            Some(folder) => {
                (TextCodec::load(folder.join(CODECS[0]))?, TextCodec::load(folder.join(CODECS[1]))?)
            }
            None => (settings.codec(train.sources())?, settings.codec(train.targets())?),
        };
        let train = ParallelCorpus::new(&train, &source, &target, settings.longest)?;
        let pairs = test;
        let test = ParallelCorpus::new(&pairs, &source, &target, settings.longest)?;
        let texts = test.lines().iter().map(|line| pairs.pairs()[line - 1].clone()).collect();
        let dates = dates.map(|all| test.lines().iter().map(|line| all[line - 1].clone()).collect());
        Ok(Self { name, source, target, train, test, texts, dates })
    }

    /// Writes the codecs into a saved model's folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.source.save(folder.join(CODECS[0]))?;
        Ok(self.target.save(folder.join(CODECS[1]))?)
    }
}

fn written(dates: &[DateSentence]) -> Result<ParallelText> {
    Ok(ParallelText::from_pairs(dates.iter().map(|date| (&date.text, &date.iso)))?)
}

fn file(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The training and test pairs. The test is other files, or the last lines, because these are farthest from most
/// others.
fn files(options: &Options, text: ParallelText) -> Result<(ParallelText, ParallelText)> {
    if let (Some(source), Some(target)) = (&options.test_source, &options.test_target) {
        return Ok((text, ParallelText::read(source, target)?));
    }
    let lines = text.len();
    if lines < 2 {
        return Err(Error::NoTest { lines });
    }
    let (train, test) = text.pairs().split_at(lines - (lines / 20).clamp(1, MOST_HELD_OUT));
    let own = |pairs: &[(String, String)]| ParallelText::from_pairs(pairs.iter().map(|(s, t)| (s, t)));
    Ok((own(train)?, own(test)?))
}

/// How many lines were left out, by reason and side, and the first of each: "12 where the target is too long (line 7, …)".
pub fn skipped(lines: &[Skipped]) -> Vec<String> {
    let mut reasons: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in lines {
        let reason = match line.reason {
            SkipReason::Empty => "empty",
            SkipReason::Long { .. } => "too long",
            _ => "of no use",
        };
        let (count, _) = reasons.entry(format!("{} {reason}", line.side)).or_insert((0, line.line));
        *count += 1;
    }
    reasons
        .into_iter()
        .map(|(reason, (count, first))| format!("{count} {reason} (line {first} first)"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test stops at the first surprise.

    use super::*;
    use clap::Parser;

    fn data(source: &str, target: &str, more: &[&str]) -> Result<Data> {
        let folder = tempfile::tempdir().unwrap();
        let (s, t) = (folder.path().join("s"), folder.path().join("t"));
        std::fs::write(&s, source).unwrap();
        std::fs::write(&t, target).unwrap();
        let files = ["translate", "--source", s.to_str().unwrap(), "--target", t.to_str().unwrap()];
        let options = Options::parse_from([&files[..], more].concat());
        Data::new(&options, &Settings::of(&options)?)
    }

    #[test]
    fn the_last_lines_are_held_out_and_what_is_left_out_is_counted() {
        let source: String =
            (0..40).map(|n| if n % 10 == 3 { "\n".to_owned() } else { format!("a b {n}\n") }).collect();
        let target: String =
            (0..40).map(|n| if n == 5 { "x y z w v\n".to_owned() } else { format!("x {n}\n") }).collect();
        let data =
            data(&source, &target, &["--pieces", "words", "--longest", "4", "--min-count", "1"]).unwrap();
        assert_eq!((data.train.len(), data.texts.len()), (33, 2));
        assert_eq!(data.texts[1], ("a b 39".to_owned(), "x 39".to_owned()));
        let left_out = skipped(data.train.skipped());
        assert_eq!(left_out, ["4 source empty (line 4 first)", "1 target too long (line 6 first)"]);
        assert!(data.dates.is_none());
    }

    #[test]
    fn a_text_of_one_line_holds_nothing_out() {
        assert!(matches!(data("a", "b", &[]), Err(Error::NoTest { lines: 1 })));
    }

    #[test]
    fn dates_keep_their_fields() {
        let options = Options::parse_from(["translate"]);
        let data = Data::new(&options, &Settings::of(&options).unwrap()).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (TRAIN, TEST));
        let dates = data.dates.unwrap();
        assert!(
            dates.iter().zip(&data.texts).all(|(date, text)| (&date.text, &date.iso) == (&text.0, &text.1))
        );
    }
}
