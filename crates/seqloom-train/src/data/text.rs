//! One rule for reading text, used by every reader.
//!
//! Text is UTF-8. A byte order mark at its beginning is removed. A line ends with LF or CR LF, and both become LF.
//! Nothing else changes: a single CR stays a character, because parallel texts contain stray ones, and as line ends
//! they would shift one file's lines against the other's.

use std::borrow::Cow;
use std::path::Path;

use crate::error::{Error, Result};

/// Reads a file by this rule: UTF-8, without a byte order mark, lines ending with LF. It may be empty.
///
/// # Errors
/// [`Error::Io`], or [`Error::NotUtf8`] with the place of the first bad byte; each names the file.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        Error::NotUtf8 { path: path.to_owned(), position: before.len(), line, byte: before.len() - start }
    })?;
    Ok(plain_text(text).into_owned())
}

/// Text in memory by the same rule, so that it gives the same ids as a file that holds it.
#[must_use]
pub fn plain_text(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::corpus::CharCorpus;
    use crate::data::parallel_text::ParallelText;

    /// One text as different programs write it, and as it is read.
    const WRITTEN: [&str; 4] =
        ["one\ntwo\n", "one\r\ntwo\r\n", "\u{feff}one\ntwo\n", "\u{feff}one\r\ntwo\r\n"];
    const READ: &str = "one\ntwo\n";

    #[test]
    fn every_reader_takes_every_form_of_a_text_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        let corpus = CharCorpus::from_text(READ).unwrap();
        let pairs = ParallelText::from_pairs([("one", "one"), ("two", "two")]).unwrap();
        for written in WRITTEN {
            std::fs::write(&path, written).unwrap();
            assert_eq!(read_text(&path).unwrap(), READ, "{written:?}");
            let vocab = corpus.vocab();
            for read in [
                CharCorpus::read(&path).unwrap(),
                CharCorpus::from_text(written).unwrap(),
                CharCorpus::with_vocab(written, &vocab).unwrap(),
            ] {
                assert_eq!((read.ids(), read.vocab()), (corpus.ids(), corpus.vocab()), "{written:?}");
            }
            assert_eq!(ParallelText::read(&path, &path).unwrap(), pairs, "{written:?}");
            assert_eq!(ParallelText::from_pairs([(written, "")]).unwrap().pairs()[0].0, "one\ntwo");
        }
    }

    #[test]
    fn a_mark_elsewhere_and_a_return_alone_are_characters() {
        assert_eq!(plain_text("a\rb\r\r\nc\u{feff}"), "a\rb\r\nc\u{feff}");
        assert_eq!(plain_text("\u{feff}\u{feff}"), "\u{feff}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, "a\rb\r\nc").unwrap();
        assert_eq!(ParallelText::read(&path, &path).unwrap().sources().collect::<Vec<_>>(), ["a\rb", "c"]);
    }

    #[test]
    fn a_file_of_nothing_but_a_mark_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, "\u{feff}").unwrap();
        assert_eq!(read_text(&path).unwrap(), "");
        assert!(matches!(CharCorpus::read(&path), Err(Error::EmptyText { path: Some(_) })));
        assert!(matches!(ParallelText::read(&path, &path), Err(Error::EmptyText { path: Some(_) })));
    }
}
