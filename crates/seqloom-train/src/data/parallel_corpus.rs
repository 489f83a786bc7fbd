//! Parallel text as ids, ready to be cut into batches.
//!
//! This file decides which lines are used: an empty sentence has nothing to read or write, and one of a thousand tokens
//! would slow every batch it is in. Such lines are left out as a whole, never cut, and each is listed with the reason,
//! so users know how many lines of a file were used.

use std::sync::Arc;

use seqloom_nn::{Side, TranslationVocab};

use crate::data::parallel_text::ParallelText;
use crate::data::text_codec::TextCodec;
use crate::error::{Error, Result};

/// A line that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its number, from 1.
    pub line: usize,
    /// The sentence that is the reason; the source if both are.
    pub side: Side,
    /// What is wrong with it.
    pub reason: SkipReason,
}

/// Why a line was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// A sentence without tokens.
    Empty,
    /// A sentence of more tokens than allowed.
    Long {
        /// Its tokens.
        tokens: usize,
    },
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason {
            SkipReason::Empty => write!(f, "line {}: the {} is empty", self.line, self.side),
            SkipReason::Long { tokens } => {
                write!(f, "line {}: the {} has {tokens} tokens", self.line, self.side)
            }
        }
    }
}

/// Pairs of sentences as ids, without `<bos>` and `<eos>`; both of every pair have tokens. Cheap to clone.
///
/// ```
/// # use seqloom_train::{ParallelCorpus, ParallelText, TextCodec, WordOptions};
/// let text = ParallelText::from_pairs([("ein Haus", "a house"), ("", "nothing"), ("ein Hund", "a dog")]).unwrap();
/// let german = TextCodec::words(text.sources(), WordOptions::default()).unwrap();
/// let english = TextCodec::words(text.targets(), WordOptions::default()).unwrap();
/// let corpus = ParallelCorpus::new(&text, &german, &english, 50).unwrap();
/// assert_eq!(corpus.len(), 2);
/// assert_eq!(corpus.skipped()[0].to_string(), "line 2: the source is empty");
/// ```
#[derive(Clone, Debug)]
pub struct ParallelCorpus {
    pairs: Arc<[(Vec<u32>, Vec<u32>)]>,
    lines: Arc<[usize]>,
    skipped: Arc<[Skipped]>,
    vocab: TranslationVocab,
}

impl ParallelCorpus {
    /// Encodes a text, leaving out lines with a sentence that is empty or has more than `longest` tokens.
    ///
    /// # Errors
    /// [`Error::NothingLeft`] if that is all of them; [`Error::Codec`] if a tokenizer cannot take a line.
    pub fn new(text: &ParallelText, source: &TextCodec, target: &TextCodec, longest: usize) -> Result<Self> {
        let (mut pairs, mut lines) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len()));
        let mut skipped = Vec::new();
        for (line, (read, written)) in (1..).zip(text.pairs()) {
            let pair = (source.encode(read)?, target.encode(written)?);
            let reason = |ids: &[u32]| match ids.len() {
                0 => Some(SkipReason::Empty),
                tokens if tokens > longest => Some(SkipReason::Long { tokens }),
                _ => None,
            };
            match (reason(&pair.0), reason(&pair.1)) {
                (None, None) => {
                    pairs.push(pair);
                    lines.push(line);
                }
                (Some(reason), _) => skipped.push(Skipped { line, side: Side::Source, reason }),
                (None, Some(reason)) => skipped.push(Skipped { line, side: Side::Target, reason }),
            }
        }
        if pairs.is_empty() {
            let empty = skipped.iter().filter(|s| s.reason == SkipReason::Empty).count();
            return Err(Error::NothingLeft { lines: text.len(), empty, long: skipped.len() - empty });
        }
        let vocab = source.translating_to(target);
        Ok(Self { pairs: pairs.into(), lines: lines.into(), skipped: skipped.into(), vocab })
    }

    /// Number of pairs; at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether it has no pairs; a corpus always has some.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs (source, target), in the order of their lines.
    #[must_use]
    pub fn pairs(&self) -> &[(Vec<u32>, Vec<u32>)] {
        &self.pairs
    }

    /// For each pair the number of its line, from 1.
    #[must_use]
    pub fn lines(&self) -> &[usize] {
        &self.lines
    }

    /// The lines that were left out, in their order.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The ids it is written in.
    #[must_use]
    pub fn vocab(&self) -> TranslationVocab {
        self.vocab
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text_codec::WordOptions;

    fn corpus(pairs: &[(&str, &str)], longest: usize) -> Result<ParallelCorpus> {
        let text = ParallelText::from_pairs(pairs.iter().copied()).unwrap();
        let codec = TextCodec::words(["a b c d e"], WordOptions::default()).unwrap();
        ParallelCorpus::new(&text, &codec, &codec, longest)
    }

    #[test]
    fn lines_left_out_are_listed_and_no_line_is_cut() {
        let corpus =
            corpus(&[("a b", "a"), ("", ""), ("a b c", "d"), ("a", "b c d e"), ("b", " ")], 2).unwrap();
        assert_eq!((corpus.pairs(), corpus.lines()), (&[(vec![4, 5], vec![4])][..], &[1][..]));
        let skip = |line, side, reason| Skipped { line, side, reason };
        let expected = [
            skip(2, Side::Source, SkipReason::Empty),
            skip(3, Side::Source, SkipReason::Long { tokens: 3 }),
            skip(4, Side::Target, SkipReason::Long { tokens: 4 }),
            skip(5, Side::Target, SkipReason::Empty),
        ];
        assert_eq!(corpus.skipped(), expected);
        assert_eq!(expected[2].to_string(), "line 4: the target has 4 tokens");
        assert_eq!((corpus.len(), corpus.vocab().target, corpus.vocab().eos), (1, 9, 2));
    }

    #[test]
    fn pairs_are_found_again_by_their_lines() {
        let pairs = [("", "a"), ("a", "b"), ("a b c", "d"), ("c", "d"), ("d", "a")];
        assert_eq!(corpus(&pairs, 2).unwrap().lines(), [2, 4, 5]);
    }

    #[test]
    fn a_text_without_a_usable_line_tells_why() {
        let error = corpus(&[("", "a"), ("a b c", "d"), ("a b c", "")], 2).unwrap_err();
        assert!(matches!(error, Error::NothingLeft { lines: 3, empty: 1, long: 2 }), "{error}");
    }
}
