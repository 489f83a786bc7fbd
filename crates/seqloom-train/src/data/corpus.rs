//! Text as a sequence of character ids.
//!
//! The ids are kept once, behind an `Arc`, and batches are cut from them on demand. A corpus, its two halves and any
//! number of iterators share them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use seqloom_nn::Vocab;

use crate::data::text::{plain_text, read_text};
use crate::error::{Error, Result};

/// A text, or a part of one, over a vocabulary of its characters. Cheap to clone.
///
/// ```
/// # use seqloom_train::CharCorpus;
/// let text = CharCorpus::from_text("abab").unwrap();
/// assert_eq!((text.len(), text.vocab().size()), (4, 2));
/// assert!((text.unigram_entropy() - 2f64.ln()).abs() < 1e-12);
/// ```
#[derive(Clone, Debug)]
pub struct CharCorpus {
    ids: Arc<[u32]>,
    range: Range<usize>,
    vocab: Vocab,
}

impl CharCorpus {
    /// Reads a file of text, by the rule of [`read_text`].
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::EmptyText`], or [`Error::NotUtf8`] with the place of the first bad byte; each names the
    /// file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read_text(path)?;
        Self::from_text(&text).map_err(|error| match error {
            Error::EmptyText { .. } => Error::EmptyText { path: Some(path.to_owned()) },
            other => other,
        })
    }

    /// A corpus of this text and its own characters, by the rule of [`read_text`].
    ///
    /// # Errors
    /// [`Error::EmptyText`].
    pub fn from_text(text: &str) -> Result<Self> {
        Self::with_vocab(text, &Vocab::from_text(&plain_text(text)))
    }

    /// A corpus of this text over a given vocabulary, such as a checkpoint's, by the rule of [`read_text`].
    ///
    /// # Errors
    /// [`Error::EmptyText`]; [`Error::Model`] for the first character that the vocabulary does not hold.
    pub fn with_vocab(text: &str, vocab: &Vocab) -> Result<Self> {
        let text = plain_text(text);
        if text.is_empty() {
            return Err(Error::EmptyText { path: None });
        }
        let ids: Arc<[u32]> = vocab.encode(&text)?.into();
        Ok(Self { range: 0..ids.len(), ids, vocab: vocab.clone() })
    }

    /// The characters it is written in.
    #[must_use]
    pub fn vocab(&self) -> Vocab {
        self.vocab.clone()
    }

    /// Number of characters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has no characters; a corpus always has some.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Ids of its characters, in order.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids[self.range.clone()]
    }

    /// Splits off the last `held_out` of its characters: (the rest, the held-out part), over the same vocabulary.
    ///
    /// # Errors
    /// [`Error::Split`] unless 0 < held_out < 1 and both parts have at least 2 characters.
    pub fn split(&self, held_out: f64) -> Result<(Self, Self)> {
        let chars = self.len();
        let tail =
            if held_out > 0.0 && held_out < 1.0 { (chars as f64 * held_out).round() as usize } else { 0 };
        if tail < 2 || chars.saturating_sub(tail) < 2 {
            return Err(Error::Split { fraction: held_out, chars });
        }
        let cut = self.range.end - tail;
        let part =
            |range: Range<usize>| Self { ids: Arc::clone(&self.ids), range, vocab: self.vocab.clone() };
        Ok((part(self.range.start..cut), part(cut..self.range.end)))
    }

    /// Entropy of single characters, −Σ p·ln p, in nats per character: the loss of the best model without context.
    #[must_use]
    pub fn unigram_entropy(&self) -> f64 {
        let mut counts = vec![0u64; self.vocab.size()];
        for &id in self.ids() {
            counts[id as usize] += 1;
        }
        let total = self.len() as f64;
        let share = |count: u64| count as f64 / total;
        -counts.into_iter().filter(|&c| c > 0).map(|c| share(c) * share(c).ln()).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_files_are_named_with_the_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("book.txt");
        let error = CharCorpus::read(&path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        std::fs::write(&path, b"").unwrap();
        let error = CharCorpus::read(&path).unwrap_err();
        assert!(error.to_string().contains("book.txt' is empty"), "{error}");
        std::fs::write(&path, b"ab\xc3\xa9\xff").unwrap();
        let error = CharCorpus::read(&path).unwrap_err();
        assert!(matches!(error, Error::NotUtf8 { position: 4, .. }), "{error}");
        assert!(matches!(CharCorpus::from_text(""), Err(Error::EmptyText { path: None })));
    }

    #[test]
    fn a_split_keeps_the_vocabulary_and_loses_nothing() {
        let text = CharCorpus::from_text("abcdefghij").unwrap();
        let (rest, held) = text.split(0.2).unwrap();
        assert_eq!((rest.ids(), held.ids()), (&text.ids()[..8], &text.ids()[8..]));
        assert_eq!(held.vocab(), text.vocab());
        for fraction in [0.0, 1.0, -1.0, f64::NAN, 0.01, 0.99] {
            assert!(matches!(text.split(fraction), Err(Error::Split { .. })), "{fraction}");
        }
    }

    #[test]
    fn entropy_is_zero_for_one_symbol_and_weighs_shares() {
        assert_eq!(CharCorpus::from_text("aaaa").unwrap().unigram_entropy().abs(), 0.0);
        let uneven = CharCorpus::from_text("aaab").unwrap().unigram_entropy();
        let exact = -(0.75f64 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((uneven - exact).abs() < 1e-12);
    }

    #[test]
    fn another_vocabulary_refuses_what_it_does_not_hold() {
        let error = CharCorpus::with_vocab("abz", &Vocab::from_text("ab")).unwrap_err();
        assert!(error.to_string().contains("'z'"), "{error}");
    }
}
