//! The text to learn: a file, or this repository's Rust sources.

use std::path::{Path, PathBuf};

use seqloom::prelude::*;

use crate::Outcome;

/// The text of a file, or of this repository's Rust sources in the order of their paths, and what to call it.
pub fn text(file: Option<&Path>) -> Outcome<(CharCorpus, String)> {
    if let Some(file) = file {
        return Ok((CharCorpus::read(file)?, file.display().to_string()));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut files = Vec::new();
    sources(&root, &mut files)?;
    files.sort();
    let mut all = String::new();
    for file in &files {
        all += &seqloom::train::read_text(file)?;
    }
    Ok((CharCorpus::from_text(&all)?, format!("{} Rust files of this repository", files.len())))
}

/// Rust files under `folder`.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
