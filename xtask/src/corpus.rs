//! The text that the demo trains on: a given file, or all Markdown of this repository.
//!
//! The repository's own documents are real text that every checkout has, without a download or a licence to check. They
//! are joined in the order of their sorted paths, so the same checkout gives the same text.

use std::path::Path;

use seqloom::prelude::CharCorpus;

use crate::error::Result;
use crate::workspace;

/// The text of `file`, or of all Markdown files under `root`, and what to call it.
///
/// # Errors
/// A file that is missing, empty or not UTF-8, by name.
pub fn corpus(root: &Path, file: Option<&Path>) -> Result<(CharCorpus, String)> {
    if let Some(file) = file {
        return Ok((CharCorpus::read(file)?, file.display().to_string()));
    }
    let files = workspace::files(root, &["md"])?;
    let mut all = String::new();
    for name in &files {
        all.push_str(&seqloom::train::read_text(root.join(name))?);
        all.push('\n');
    }
    Ok((CharCorpus::from_text(&all)?, format!("the {} Markdown files of this repository", files.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_joined_in_the_order_of_paths_and_built_files_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b.md", "\u{feff}two"), ("a.md", "one"), ("target/c.md", "no"), ("d.txt", "no")]
        {
            workspace::write(&dir.path().join(name), text).unwrap();
        }
        let (text, name) = corpus(dir.path(), None).unwrap();
        assert_eq!(text.vocab().decode(text.ids()).unwrap(), "one\ntwo\n");
        assert!(name.contains("2 Markdown files"), "{name}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = corpus(Path::new("."), Some(Path::new("no-such-book.txt"))).unwrap_err();
        assert!(error.to_string().contains("no-such-book.txt"));
    }
}
