//! Two texts that say the same, line by line.
//!
//! All lines are kept, empty ones too, so line n of one file is line n of the other to the very end, and a translation
//! of the whole can be compared with its reference. Unusable lines are left out and counted when lines become ids (see
//! [`crate::ParallelCorpus`]).

use std::path::Path;

use crate::data::text::{plain_text, read_text};
use crate::error::{Error, Result};
use crate::fault::ParallelFault;

/// Pairs of a source and a target sentence.
///
/// ```
/// # use seqloom_train::ParallelText;
/// let text = ParallelText::from_pairs([("ein Haus", "a house"), ("ein Hund", "a dog")]).unwrap();
/// assert_eq!(text.targets().collect::<Vec<_>>(), ["a house", "a dog"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParallelText {
    pairs: Vec<(String, String)>,
}

impl ParallelText {
    /// Reads two files of text by the rule of [`read_text`], one sentence per line; line n of one is the translation of
    /// line n of the other. The last line ends with the file. Spaces around a sentence are removed.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::EmptyText`], [`Error::NotUtf8`] with the line, or [`Error::Parallel`] with both
    /// numbers of lines if they differ; each names the file.
    pub fn read(source: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<Self> {
        let (source, target) = (source.as_ref(), target.as_ref());
        let (sources, targets) = (lines(source)?, lines(target)?);
        if sources.len() != targets.len() {
            return Err(Error::Parallel(ParallelFault::LineCounts {
                source_file: source.to_owned(),
                source_lines: sources.len(),
                target_file: target.to_owned(),
                target_lines: targets.len(),
            }));
        }
        Ok(Self { pairs: sources.into_iter().zip(targets).collect() })
    }

    /// The pairs (source, target) in their order, by the rule of [`read_text`]. Spaces around a sentence are removed.
    ///
    /// # Errors
    /// [`Error::EmptyText`] if there are none.
    pub fn from_pairs<S: AsRef<str>, T: AsRef<str>>(pairs: impl IntoIterator<Item = (S, T)>) -> Result<Self> {
        let own = |text: &str| plain_text(text).trim().to_owned();
        let pairs: Vec<_> = pairs.into_iter().map(|(s, t)| (own(s.as_ref()), own(t.as_ref()))).collect();
        if pairs.is_empty() {
            return Err(Error::EmptyText { path: None });
        }
        Ok(Self { pairs })
    }

    /// Number of pairs; at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether it has no pairs; a parallel text always has some.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs (source, target), in the order of the lines.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Source sentences, in the order of the lines.
    pub fn sources(&self) -> impl Iterator<Item = &str> + Clone + Send {
        self.pairs.iter().map(|(source, _)| source.as_str())
    }

    /// Target sentences, in the order of the lines.
    pub fn targets(&self) -> impl Iterator<Item = &str> + Clone + Send {
        self.pairs.iter().map(|(_, target)| target.as_str())
    }
}

/// The lines of a file, trimmed.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = read_text(path)?;
    if text.is_empty() {
        return Err(Error::EmptyText { path: Some(path.to_owned()) });
    }
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &[u8], target: &[u8]) -> Result<ParallelText> {
        let directory = tempfile::tempdir().unwrap();
        let (s, t) = (directory.path().join("text.de"), directory.path().join("text.en"));
        std::fs::write(&s, source).unwrap();
        std::fs::write(&t, target).unwrap();
        ParallelText::read(&s, &t)
    }

    #[test]
    fn lines_of_any_make_are_paired() {
        let text = read("\u{feff}ein Haus \r\n\r\nzwei".as_bytes(), "a house\n\ntwo\n".as_bytes()).unwrap();
        let pairs = [("ein Haus", "a house"), ("", ""), ("zwei", "two")];
        assert_eq!(text, ParallelText::from_pairs(pairs).unwrap());
        assert_eq!((text.len(), text.sources().count(), text.targets().count()), (3, 3, 3));
    }

    #[test]
    fn the_longer_file_is_named_with_both_counts() {
        let error = read(b"a\nb\nc\n", b"a\nb\n").unwrap_err();
        let counts = |error: &Error| match error {
            Error::Parallel(ParallelFault::LineCounts { source_lines, target_lines, .. }) => {
                Some((*source_lines, *target_lines))
            }
            _ => None,
        };
        assert_eq!(counts(&error), Some((3, 2)), "{error}");
        let message = error.to_string();
        assert!(message.contains("line 3 of the first, the longer one"), "{message}");
        assert!(message.contains("text.de' has 3 lines") && message.contains("text.en' has 2"), "{message}");
        assert!(read(b"a", b"a\n\n").unwrap_err().to_string().contains("line 2 of the second"));
    }

    #[test]
    fn a_bad_byte_is_found_in_its_line() {
        let error = read(b"a\nb\xff\n", b"a\nb\n").unwrap_err();
        assert!(
            matches!(&error, Error::NotUtf8 { path, position: 3, line: 2, byte: 1 } if path.ends_with("text.de")),
            "{error}"
        );
        let error = read(b"a\nb\n", b"\xc3").unwrap_err();
        assert!(
            matches!(&error, Error::NotUtf8 { path, position: 0, line: 1, byte: 0 } if path.ends_with("text.en")),
            "{error}"
        );
    }

    #[test]
    fn files_without_text_are_named() {
        assert!(matches!(read(b"", b"a"), Err(Error::EmptyText { path: Some(_) })));
        assert!(matches!(read(b"a", b"\xef\xbb\xbf"), Err(Error::EmptyText { path: Some(_) })));
        let error = ParallelText::read("absent.de", "absent.en").unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("absent.de")), "{error}");
        assert!(ParallelText::from_pairs::<&str, &str>([]).is_err());
    }
}
