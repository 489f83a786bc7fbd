//! Rules about single files (ARCHITECTURE.md, invariants 4 and 8): size, header, no path or registry of one machine, no
//! permission to panic in shipped code, and errors that can grow.
//!
//! Clippy finds `unwrap` itself; this only checks that nobody switches that lint off outside tests.

use super::tree::{Finding, PEERS, Source, Tree};

/// Most lines of a file, by extension.
const MOST_LINES: &[(&str, usize)] = &[("rs", 500), ("wgsl", 200)];

/// How a file of that extension begins.
const HEADERS: &[(&str, &str)] = &[("rs", "//!"), ("wgsl", "//")];

/// Beginnings of absolute paths that exist only on somebody's machine.
const LOCAL: &[&str] = &["/home/", "/root/", "/Users/", "/work/", "/tmp/", "C:\\Users"];

/// The one registry that the lock file may name.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Lints that keep panics out.
const PANICS: &[&str] = &["clippy::unwrap_used", "clippy::expect_used", "clippy::panic"];

fn finding(file: &str, line: usize, what: String) -> Finding {
    Finding { file: file.to_owned(), line, what }
}

/// A reader's size.
pub fn sizes(tree: &Tree, findings: &mut Vec<Finding>) {
    for &(extension, most) in MOST_LINES {
        for (path, source) in tree.with_extension(extension) {
            let lines = source.text.lines().count();
            if lines > most && !path.starts_with(PEERS) {
                findings.push(finding(path, 0, format!("has {lines} lines, at most {most}")));
            }
        }
    }
}

/// What, how, and why not otherwise, at the top.
pub fn headers(tree: &Tree, findings: &mut Vec<Finding>) {
    for &(extension, begins) in HEADERS {
        for (path, source) in tree.with_extension(extension) {
            if !source.text.starts_with(begins) {
                findings.push(finding(path, 1, format!("does not begin with a header (`{begins}`)")));
            }
        }
    }
}

/// Nothing that exists only on one machine.
pub fn local_paths(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, source) in tree.files.iter().filter(|(path, _)| !path.starts_with("xtask/src/tidy/")) {
        for (line, text) in (1..).zip(source.text.lines()) {
            for local in LOCAL.iter().filter(|local| begins_a_path(text, local)) {
                findings.push(finding(path, line, format!("`{local}` is a path of one machine")));
            }
        }
    }
}

/// Whether `start` occurs in `text` at the beginning of a path, and not inside one such as `docs/work/`.
fn begins_a_path(text: &str, start: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "._-/*}".contains(c);
    text.match_indices(start).any(|(at, _)| !text[..at].chars().next_back().is_some_and(part))
}

/// Dependencies come from the public registry: no mirror in the lock file or in cargo's settings.
pub fn registries(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, source) in &tree.files {
        for (line, text) in (1..).zip(source.text.lines()) {
            let strange = match path.as_str() {
                lock if lock.ends_with("Cargo.lock") => {
                    text.starts_with("source = ") && !text.contains(REGISTRY)
                }
                ".cargo/config.toml" => text.starts_with("[source") || text.starts_with("[registr"),
                _ => false,
            };
            if strange {
                findings.push(finding(path, line, "names a registry other than crates.io".to_owned()));
            }
        }
    }
}

/// The panic lints stay on in what ships.
pub fn panics(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, source) in tree.with_extension("rs") {
        if path.starts_with("tests/") || path.contains("/tests/") {
            continue;
        }
        for (line, code) in Source::shipped(&source.code) {
            if code.contains("allow(") && PANICS.iter().any(|lint| code.contains(lint)) {
                findings.push(finding(path, line, "allows panics in shipped code".to_owned()));
            }
        }
    }
}

/// Errors will gain members, so those of the crates are non_exhaustive.
pub fn errors_can_grow(tree: &Tree, findings: &mut Vec<Finding>) {
    let ships = |path: &str| path.starts_with("crates/") || path.starts_with("shaders/");
    for (path, source) in tree.with_extension("rs").filter(|(path, _)| ships(path)) {
        let mut marked = false;
        for (line, code) in Source::shipped(&source.code) {
            let code = code.trim();
            if let Some(rest) = code.strip_prefix("pub enum ") {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
                if (name.ends_with("Error") || name.ends_with("Fault")) && !marked {
                    findings.push(finding(path, line, format!("`{name}` is not #[non_exhaustive]")));
                }
            }
            // Attributes are directly above their item; comments and docs are blank here.
            marked =
                code.contains("#[non_exhaustive]") || (marked && (code.is_empty() || code.starts_with("#[")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rule: fn(&Tree, &mut Vec<Finding>), path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        rule(&Tree::from([(path, text)]), &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn long_files_are_found() {
        assert!(run(sizes, "a.rs", &"x\n".repeat(500)).is_empty());
        assert_eq!(run(sizes, "a.rs", &"x\n".repeat(501)), ["a.rs: has 501 lines, at most 500"]);
        assert!(run(sizes, "bench/peers/a.rs", &"x\n".repeat(501)).is_empty());
        assert_eq!(run(sizes, "a.wgsl", &"x\n".repeat(201)).len(), 1);
    }

    #[test]
    fn headers_are_asked_for() {
        assert!(run(headers, "a.rs", "//! What.\n").is_empty());
        assert_eq!(run(headers, "a.rs", "use std::fmt;\n").len(), 1);
        assert_eq!(run(headers, "a.wgsl", "const A = 1u;\n").len(), 1);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        assert_eq!(run(local_paths, "a.md", "see /home/ann/x\n").len(), 1);
        assert!(run(local_paths, "a.md", "see docs/work/x and target/tmp/y\n").is_empty());
        let runners = run(local_paths, ".github/workflows/ci.yml", "path: /tmp/cache");
        assert_eq!(runners.len(), 1);
    }

    #[test]
    fn other_registries_are_found() {
        assert!(run(registries, "Cargo.lock", &format!("source = \"{REGISTRY}\"")).is_empty());
        assert_eq!(run(registries, "Cargo.lock", "source = \"registry+https://example.org/index\"").len(), 1);
        let peer = "bench/peers/limits/Cargo.lock";
        assert_eq!(run(registries, peer, "source = \"registry+https://example.org/index\"").len(), 1);
        assert_eq!(run(registries, ".cargo/config.toml", "[source.crates-io]").len(), 1);
    }

    #[test]
    fn panic_lints_stay_on_outside_tests() {
        let allow = "#![allow(clippy::unwrap_used)]\n";
        assert_eq!(run(panics, "crates/a/src/lib.rs", allow).len(), 1);
        assert!(run(panics, "tests/tests/a.rs", allow).is_empty());
        assert!(run(panics, "shaders/tests/contract.rs", allow).is_empty());
        assert!(run(panics, "crates/a/src/b.rs", &format!("fn a() {{}}\n#[cfg(test)]\n{allow}")).is_empty());
    }

    #[test]
    fn errors_that_cannot_grow_are_found() {
        let text = "#[non_exhaustive]\n#[derive(Debug)]\n/// Docs.\npub enum AError {}\npub enum BFault {}\npub enum C {}\n";
        assert_eq!(
            run(errors_can_grow, "crates/a/src/error.rs", text),
            ["crates/a/src/error.rs:5: `BFault` is not #[non_exhaustive]"]
        );
        assert!(run(errors_can_grow, "xtask/src/error.rs", text).is_empty());
    }
}
