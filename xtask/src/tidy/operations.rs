//! The rule of four lists (ARCHITECTURE.md, invariant 5): each operation has its kernel or fused function (it is in the
//! graph's list), an f64 oracle, a gradient check in the middle of a graph, and golden cases.
//!
//! An operation that lacks one of them is a hole in the tests; a test without its operation is a name that changed on
//! one side. The list itself is the graph's `OPERATIONS`; the other three are read from the tests' sources.

use std::collections::BTreeSet;

use super::tree::{Finding, Tree};

/// Files of oracles begin like this: one public function of each operation's name, and none beside.
const ORACLES: &str = "tests/src/oracle/operations";
/// Files of gradient checks begin like this.
const GRADIENTS: &str = "tests/tests/operations/gradients";
/// Golden cases of PyTorch stand here: each file of a family lists those of its operations under `cases`.
const GOLDEN: &str = "tests/golden/";

/// Compares the four lists.
pub fn agree(tree: &Tree, operations: &[&str], findings: &mut Vec<Finding>) {
    let all: BTreeSet<&str> = operations.iter().copied().collect();
    let mut compare = |place: &str, what: &str, found: &BTreeSet<String>| {
        let mut say = |text: String| findings.push(Finding { file: place.to_owned(), line: 0, what: text });
        let missing = all.iter().filter(|op| !found.contains(**op));
        missing.for_each(|op| say(format!("operation `{op}` has no {what}")));
        let strange = found.iter().filter(|name| !all.contains(name.as_str()));
        strange.for_each(|name| say(format!("{what} of `{name}`, which is no operation")));
    };
    compare(ORACLES, "oracle", &words_after(tree, ORACLES, "pub fn "));
    compare(GRADIENTS, "gradient check", &words_after(tree, GRADIENTS, "fn gradient_of_"));
    compare(GOLDEN, "golden case", &golden(tree));
}

/// Words that follow `mark` in the code of Rust files whose path begins with `place`.
fn words_after(tree: &Tree, place: &str, mark: &str) -> BTreeSet<String> {
    let part = |c: &char| c.is_alphanumeric() || *c == '_';
    let sources = tree.with_extension("rs").filter(|(path, _)| path.starts_with(place));
    sources
        .flat_map(|(_, source)| {
            source.code.match_indices(mark).map(|(at, _)| &source.code[at + mark.len()..])
        })
        .map(|rest| rest.chars().take_while(part).collect())
        .collect()
}

/// Operations that have at least one golden case.
fn golden(tree: &Tree) -> BTreeSet<String> {
    let full = |cases: &serde_json::Value| cases.as_array().is_some_and(|list| !list.is_empty());
    let mut found = BTreeSet::new();
    for (_, source) in tree.with_extension("json").filter(|(path, _)| path.starts_with(GOLDEN)) {
        let json: serde_json::Value = serde_json::from_str(&source.text).unwrap_or_default();
        let cases = json.get("cases").and_then(serde_json::Value::as_object);
        found
            .extend(cases.into_iter().flatten().filter(|(_, list)| full(list)).map(|(name, _)| name.clone()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: [(&str, &str); 3] = [
        ("tests/src/oracle/operations.rs", "pub fn exp(x: f64) {}\npub fn add(a: f64) {}\nfn helper() {}"),
        ("tests/tests/operations/gradients_pointwise.rs", "fn gradient_of_exp() {}\nfn gradient_of_add() {}"),
        ("tests/golden/operations.json", "{\"cases\": {\"add\": [\"add_row\"], \"exp\": [\"exp\"]}}"),
    ];

    fn run(files: &[(&str, &str)], operations: &[&str]) -> Vec<String> {
        let mut findings = Vec::new();
        agree(&Tree::from(files), operations, &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn four_equal_sets_are_sound() {
        assert!(run(&SOUND, &["add", "exp"]).is_empty());
    }

    #[test]
    fn families_add_up() {
        let mut files = SOUND.to_vec();
        files[2].1 = "{\"cases\": {\"add\": [\"add_row\"]}}";
        files.push(("tests/golden/pointwise.json", "{\"cases\": {\"exp\": [\"exp\"]}}"));
        files[0].1 = "pub fn add(a: f64) {}";
        files.push(("tests/src/oracle/operations_pointwise.rs", "pub fn exp(x: f64) {}"));
        assert!(run(&files, &["add", "exp"]).is_empty());
    }

    #[test]
    fn a_missing_side_is_named() {
        let found = run(&SOUND, &["add", "exp", "tanh"]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("`tanh` has no oracle"));
        let mut files = SOUND;
        files[2].1 = "{\"cases\": {\"add\": [], \"exp\": [\"exp\"]}}";
        assert_eq!(run(&files, &["add", "exp"]), ["tests/golden/: operation `add` has no golden case"]);
    }

    #[test]
    fn a_test_of_no_operation_is_found() {
        let found = run(&SOUND, &["add"]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|f| f.contains("`exp`, which is no operation")));
    }
}
