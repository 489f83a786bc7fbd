//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md and the house rules that a compiler cannot check.
//!
//! One function per rule, grouped by subject: `rooms` (manifests and names), `imports` (between files of a crate),
//! `files` (single files), `operations` (lists of names that must agree). Each gets the whole tree in memory and adds
//! to one list, which is printed at once.

mod files;
mod imports;
mod operations;
mod rooms;
mod tree;

use crate::error::{Result, XtaskError};
use crate::workspace;
use tree::{Finding, Tree};

/// Rules that need only the tree.
const RULES: &[fn(&Tree, &mut Vec<Finding>)] = &[
    rooms::manifests,
    rooms::names,
    rooms::wgsl_in_strings,
    imports::circles,
    imports::rooms,
    files::sizes,
    files::headers,
    files::local_paths,
    files::registries,
    files::panics,
    files::errors_can_grow,
];

/// Checks the workspace.
///
/// # Errors
/// [`XtaskError::Untidy`] after every finding was printed; a file that cannot be read.
pub fn run() -> Result<()> {
    let tree = Tree::read(&workspace::root()?)?;
    let mut findings = Vec::new();
    RULES.iter().for_each(|rule| rule(&tree, &mut findings));
    operations::agree(&tree, seqloom_graph::OPERATIONS, &mut findings);
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.is_empty() {
        return Err(XtaskError::Untidy(findings.len()));
    }
    println!("{} files are tidy", tree.files.len());
    Ok(())
}
