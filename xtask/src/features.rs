//! `cargo xtask features`: compiles the library without its features, and with each of them alone.
//!
//! Everything else here builds with all that the tests name, so a file that is used only with one feature and declared for
//! another would not be found. Compiling is enough for that; the tests run with the features that `test` names.

use crate::error::{Result, XtaskError};
use crate::{process, workspace};

/// The library's manifest.
const MANIFEST: &str = "crates/seqloom/Cargo.toml";

/// Runs all builds.
///
/// # Errors
/// The first build that fails; a manifest that cannot be read.
pub fn run() -> Result<()> {
    let path = workspace::root()?.join(MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(|source| XtaskError::File { path, source })?;
    for feature in std::iter::once(String::new()).chain(names(&text)) {
        println!("\n=== {}", if feature.is_empty() { "no feature" } else { &feature });
        let alone = ["check", "--package", "seqloom", "--no-default-features", "--features", &feature];
        process::run(process::cargo().args(alone).env("RUSTFLAGS", "--deny warnings"))?;
    }
    Ok(())
}

/// The features of a manifest.
fn names(manifest: &str) -> Vec<String> {
    let table: toml::Table = manifest.parse().unwrap_or_default();
    let features = table.get("features").and_then(toml::Value::as_table);
    features.into_iter().flat_map(|features| features.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_of_the_library_is_built() {
        let manifest = workspace::root().unwrap().join(MANIFEST);
        let found = names(&std::fs::read_to_string(manifest).unwrap());
        assert_eq!(found, ["parquet", "plots", "tokenizers"]);
    }
}
