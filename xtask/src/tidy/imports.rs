//! Rules about imports between the files of one crate (ARCHITECTURE.md): no circle of files, and no import against the
//! order of a crate's rooms.
//!
//! Files are read, not compiled. Paths after `use`, and paths in code that begin with `crate`, `self` or `super`, are
//! followed through re-exports to the file that defines the name. A declaration `mod a;` is not an import. Methods are
//! not followed, because their caller has imported or been given the type.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Finding, Source, Tree};

/// Crates with rooms, each room with the others that it may use. Files beside the rooms may use all.
const ROOMS: &[(&str, &[(&str, Uses)])] = &[
    (
        "crates/seqloom-graph/src/",
        &[
            ("ir", Uses::Only(&[])),
            ("record", Uses::Only(&["ir"])),
            ("grad", Uses::Only(&["ir", "record"])),
            ("compile", Uses::Only(&["ir"])),
            ("run", Uses::Before),
        ],
    ),
    (
        "crates/seqloom-nn/src/",
        &[
            ("error", Uses::Before),
            ("random", Uses::Before),
            ("vocab", Uses::Before),
            ("state", Uses::Before),
            ("model", Uses::Before),
            ("batch", Uses::Before),
            ("layers", Uses::Before),
            ("recurrent", Uses::Before),
            ("attention", Uses::Before),
            ("models", Uses::Before),
            ("generate", Uses::Before),
        ],
    ),
    (
        "crates/seqloom-train/src/",
        &[
            ("fault", Uses::Before),
            ("error", Uses::Before),
            ("random", Uses::Before),
            ("replace", Uses::Before),
            ("report", Uses::Before),
            ("data", Uses::Before),
            ("optim", Uses::Before),
            ("checkpoint", Uses::Before),
            ("interchange", Uses::Before),
            ("trainer", Uses::Before),
        ],
    ),
];

/// Which rooms a room may use besides itself.
enum Uses {
    /// All before it in the list.
    Before,
    Only(&'static [&'static str]),
}

/// Most re-exports that are followed, so a mistake in the source cannot hang the rule.
const MOST_STEPS: usize = 8;

/// Circles of files.
pub fn circles(tree: &Tree, findings: &mut Vec<Finding>) {
    for circle in crates(tree).iter().flat_map(|krate| circles_of(&krate.imports())) {
        let what = format!("imports in a circle: {}", circle.join(", "));
        findings.push(Finding { file: circle[0].clone(), line: 0, what });
    }
}

/// Imports against the order of a crate's rooms.
pub fn rooms(tree: &Tree, findings: &mut Vec<Finding>) {
    for krate in crates(tree) {
        let Some((root, rooms)) = ROOMS.iter().find(|(root, _)| *root == krate.root) else { continue };
        let room = |path: &str| {
            let name = path.strip_prefix(root)?.split('/').next()?.trim_end_matches(".rs");
            rooms.iter().position(|(room, _)| *room == name)
        };
        for (from, imports) in krate.imports() {
            let Some(here) = room(&from) else { continue };
            let (name, uses) = &rooms[here];
            let may_use: Vec<&str> = match uses {
                Uses::Before => rooms[..here].iter().map(|(room, _)| *room).collect(),
                Uses::Only(rooms) => rooms.to_vec(),
            };
            for to in imports {
                let sound = room(&to).is_some_and(|to| to == here || may_use.contains(&rooms[to].0));
                if !sound {
                    let what = format!("imports from {to}; {name} may use {}", list(&may_use));
                    findings.push(Finding { file: from.clone(), line: 0, what });
                }
            }
        }
    }
}

fn list(rooms: &[&str]) -> String {
    if rooms.is_empty() { "no other room".to_owned() } else { rooms.join(", ") }
}

/// A crate's files by module path.
struct Crate {
    /// Folder of its sources, with the last `/`.
    root: String,
    files: BTreeMap<Vec<String>, File>,
}

struct File {
    path: String,
    /// What it imports or names, from the crate's root on.
    named: Vec<Vec<String>>,
    /// The imports of `use`, by their local names.
    brought: BTreeMap<String, Vec<String>>,
}

/// Every folder of sources that has a `lib.rs` or `main.rs`.
fn crates(tree: &Tree) -> Vec<Crate> {
    let roots: BTreeSet<&str> = tree
        .with_extension("rs")
        .filter_map(|(path, _)| path.strip_suffix("lib.rs").or_else(|| path.strip_suffix("main.rs")))
        .filter(|root| root.ends_with("src/"))
        .collect();
    roots.into_iter().map(|root| Crate::read(tree, root)).collect()
}

impl Crate {
    fn read(tree: &Tree, root: &str) -> Self {
        let sources = || tree.with_extension("rs").filter(|(path, _)| path.starts_with(root));
        let modules: BTreeSet<Vec<String>> = sources().map(|(path, _)| module(root, path)).collect();
        let files = sources().map(|(path, source)| {
            let here = module(root, path);
            let shipped: Vec<&str> = Source::shipped(&source.code).map(|(_, line)| line).collect();
            (here.clone(), File::read(path, &shipped.join("\n"), &here, &modules))
        });
        Self { root: root.to_owned(), files: files.collect() }
    }

    /// By file, the files that it imports from.
    fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let of = |file: &File| {
            let targets = file.named.iter().filter_map(|path| self.defines(path));
            targets.filter(|target| *target != file.path).map(str::to_owned).collect()
        };
        self.files.values().map(|file| (file.path.clone(), of(file))).collect()
    }

    /// The file that defines what a path names.
    fn defines(&self, path: &[String]) -> Option<&str> {
        let mut path = path.to_vec();
        for _ in 0..MOST_STEPS {
            let (depth, file) =
                (0..=path.len()).rev().find_map(|n| Some((n, self.files.get(&path[..n])?)))?;
            // The rest names something in that file, or something that it re-exports.
            match path.get(depth).and_then(|name| file.brought.get(name)) {
                Some(from) => path = [from.as_slice(), &path[depth + 1..]].concat(),
                None => return Some(&file.path),
            }
        }
        None
    }
}

/// A file's module path: `a/b.rs` is `a::b`, `lib.rs` the root.
fn module(root: &str, path: &str) -> Vec<String> {
    let inner = path[root.len()..].trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["lib", "main", "mod"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

impl File {
    fn read(path: &str, code: &str, here: &[String], modules: &BTreeSet<Vec<String>>) -> Self {
        let absolute = |path: &[String]| {
            let up = path.iter().take_while(|part| *part == "super").count();
            match path.first().map(String::as_str) {
                Some("crate") => Some(path[1..].to_vec()),
                Some("self") => Some([here, &path[1..]].concat()),
                Some("super") => Some([here.get(..here.len().checked_sub(up)?)?, &path[up..]].concat()),
                // Of this file's own modules; anything else is another crate's.
                Some(_) => {
                    let path = [here, path].concat();
                    modules.contains(&path[..here.len() + 1]).then_some(path)
                }
                None => None,
            }
        };
        let (mut named, mut brought) = (Vec::new(), BTreeMap::new());
        let tokens = tokens(code);
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] == "use" {
                let end =
                    at + tokens[at..].iter().position(|token| token == ";").unwrap_or(tokens.len() - at);
                let mut leaves = Vec::new();
                expand(&tokens[at + 1..end], &[], &mut leaves);
                for (path, name) in leaves {
                    let Some(path) = absolute(&path) else { continue };
                    brought.insert(name, path.clone());
                    named.push(path);
                }
                at = end;
            } else if ["crate", "self", "super"].contains(&tokens[at].as_str())
                && tokens.get(at + 1).is_some_and(|next| next == "::")
            {
                let mut path = vec![tokens[at].clone()];
                while tokens.get(at + 1).is_some_and(|next| next == "::")
                    && tokens.get(at + 2).is_some_and(|next| is_word(next))
                {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                named.extend(absolute(&path));
            }
            at += 1;
        }
        Self { path: path.to_owned(), named, brought }
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, `::`, and single other characters.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match rest.find(|c| !word(c)) {
            _ if rest.starts_with("::") => 2,
            Some(0) => first.len_utf8(),
            Some(length) => length,
            None => rest.len(),
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The paths of a `use` tree below `lead`, each with the name that it gets.
fn expand(tree: &[String], lead: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
    let mut path = lead.to_vec();
    let mut at = 0;
    let mut named = None;
    while at < tree.len() {
        match tree[at].as_str() {
            "::" => {}
            "{" => {
                let close = closing(tree, at);
                let mut begin = at + 1;
                let mut depth = 0;
                for end in at + 1..=close {
                    match tree[end].as_str() {
                        "{" => depth += 1,
                        "}" if end < close => depth -= 1,
                        _ => {}
                    }
                    if end == close || (depth == 0 && tree[end] == ",") {
                        expand(&tree[begin..end], &path, leaves);
                        begin = end + 1;
                    }
                }
                return;
            }
            "as" => {
                named = tree.get(at + 1).cloned();
                at += 1;
            }
            // The module itself.
            "self" if !path.is_empty() => {}
            part => path.push(part.to_owned()),
        }
        at += 1;
    }
    if let (true, Some(last)) = (path.len() > lead.len() || !tree.is_empty(), path.last().cloned()) {
        leaves.push((path, named.unwrap_or(last)));
    }
}

/// Where the brace at `open` is closed.
fn closing(tree: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tree.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tree.len() - 1
}

/// Sets of two or more files that all reach each other, in alphabetical order. Crates have tens of files, so plain
/// reachability is fast enough.
fn circles_of(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|file| (file.as_str(), reach(imports, file))).collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|all| all.contains(to));
    let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
    for file in imports.keys().filter(|file| reaches(file, file)) {
        let together = imports.keys().filter(|other| reaches(file, other) && reaches(other, file));
        circles.insert(together.cloned().collect());
    }
    circles.into_iter().collect()
}

/// The files that a file reaches by one or more imports.
fn reach<'a>(imports: &'a BTreeMap<String, BTreeSet<String>>, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = imports.get(file).into_iter().flatten().map(String::as_str).collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(imports.get(next).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "crates/a/src/";

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        files.iter().for_each(|(path, text)| tree.insert((*path).to_owned(), (*text).to_owned()));
        tree
    }

    fn say(rule: fn(&Tree, &mut Vec<Finding>), files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Vec::new();
        rule(&tree(files), &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    fn imports(files: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
        crates(&tree(files)).remove(0).imports()
    }

    #[test]
    fn circles_are_found_however_they_are_written() {
        let one = ("crates/a/src/one.rs", "use crate::{two as second, two::{self, Two}};\nfn f() {}");
        for back in ["use super::one::f;", "fn g() { crate::one::f() }", "use crate::f;"] {
            let two = ("crates/a/src/two.rs", back);
            let lib = ("crates/a/src/lib.rs", "mod one;\nmod two;\npub use one::f;");
            let found = say(circles, &[lib, one, two]);
            assert_eq!(
                found,
                ["crates/a/src/one.rs: imports in a circle: crates/a/src/one.rs, crates/a/src/two.rs"],
                "{back}"
            );
        }
    }

    #[test]
    fn declarations_tests_comments_and_other_crates_are_no_imports() {
        let files = [
            ("crates/a/src/lib.rs", "mod one;\nmod two;\npub use two::Two;"),
            ("crates/a/src/one.rs", "use crate::two::Two;\nuse other::two::Two as Three;"),
            (
                "crates/a/src/two.rs",
                "// use crate::one;\nstruct Two;\n#[cfg(test)]\nmod tests { use crate::one::f; }",
            ),
        ];
        assert!(say(circles, &files).is_empty());
        let found = imports(&files);
        assert_eq!(found[&format!("{A}one.rs")], BTreeSet::from([format!("{A}two.rs")]));
        assert!(found[&format!("{A}two.rs")].is_empty());
    }

    #[test]
    fn names_are_followed_through_re_exports_to_the_file_that_defines_them() {
        let found = imports(&[
            ("crates/a/src/lib.rs", "mod deep;\nmod user;\npub use deep::Thing as Renamed;"),
            ("crates/a/src/deep.rs", "mod inner;\npub use self::inner::Thing;"),
            ("crates/a/src/deep/inner.rs", "pub struct Thing;"),
            ("crates/a/src/user.rs", "use crate::Renamed;"),
        ]);
        assert_eq!(found[&format!("{A}user.rs")], BTreeSet::from([format!("{A}deep/inner.rs")]));
    }

    #[test]
    fn rooms_of_the_graph_use_only_those_below() {
        let lib = (
            "crates/seqloom-graph/src/lib.rs",
            "mod ir;\nmod compile;\nmod record;\npub use record::Tensor;",
        );
        let ir = ("crates/seqloom-graph/src/ir/op.rs", "pub enum Op {}");
        let record = ("crates/seqloom-graph/src/record.rs", "use crate::ir::op::Op;\npub struct Tensor;");
        let run = |text: &str| {
            let compile = ("crates/seqloom-graph/src/compile/fuse.rs", text);
            say(rooms, &[lib, ir, record, compile])
        };
        assert!(run("use crate::ir::op::Op;").is_empty());
        for bad in ["use crate::record::Tensor;", "use crate::Tensor;", "fn f(t: crate::record::Tensor) {}"] {
            let found = run(bad);
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert!(found[0].contains("src/record.rs; compile may use ir"), "{found:?}");
        }
        // An item defined in the crate's root would tie every room to all others.
        assert!(run("use crate::root;")[0].contains("lib.rs"));
    }

    #[test]
    fn rooms_in_a_line_use_only_those_before() {
        let lib =
            ("crates/seqloom-nn/src/lib.rs", "mod models;\nmod generate;\npub use generate::beam::Beam;");
        let beam =
            ("crates/seqloom-nn/src/generate/beam.rs", "use crate::models::gpt::Gpt;\npub struct Beam;");
        let heads = [
            ("crates/seqloom-nn/src/models.rs", "pub mod gpt;"),
            ("crates/seqloom-nn/src/generate.rs", "pub mod beam;"),
        ];
        let run = |text: &str| {
            say(rooms, &[lib, heads[0], heads[1], beam, ("crates/seqloom-nn/src/models/gpt.rs", text)])
        };
        assert!(run("pub struct Gpt;").is_empty());
        let found = run("use crate::Beam;\npub struct Gpt;");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(
            "crates/seqloom-nn/src/models/gpt.rs: imports from crates/seqloom-nn/src/generate/beam.rs"
        ));
    }
}
