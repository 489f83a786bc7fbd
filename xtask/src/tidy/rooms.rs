//! Rules about crates: which may depend on which, and which words their code may contain (ARCHITECTURE.md, invariants 1
//! to 3).
//!
//! Manifests say what a crate *may* name, sources what it *does* name. Both are checked, because an unused dependency
//! will be used one day, and a path can be reached through a re-export.

use super::tree::{Finding, PEERS, Source, Tree, has_word};

/// The rooms from the ground up: folder, crate, words its code must not contain. A crate depends only on those before it.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("shaders", "seqloom-shaders", &["wgpu", "seqloom_device"]),
    ("crates/seqloom-device", "seqloom-device", &[]),
    ("crates/seqloom-kernels", "seqloom-kernels", &["wgpu", "seqloom_graph", "seqloom_nn"]),
    ("crates/seqloom-graph", "seqloom-graph", &["wgpu", "seqloom_nn", "seqloom_train"]),
    ("crates/seqloom-nn", "seqloom-nn", &["wgpu", "seqloom_kernels", "seqloom_shaders", "seqloom_device"]),
    ("crates/seqloom-train", "seqloom-train", &["wgpu", "seqloom_kernels", "seqloom_shaders"]),
    ("crates/seqloom", "seqloom", &["wgpu", "seqloom_kernels", "seqloom_shaders"]),
    ("tests", "seqloom-tests", &["wgpu"]),
    ("examples", "seqloom-examples", &["wgpu"]),
    ("xtask", "xtask", &["wgpu"]),
];

/// Beginnings of WGSL that only a `.wgsl` file may hold.
const WGSL: &[&str] = &["@compute", "@group(", "@binding(", "var<storage", "var<workgroup", "var<immediate"];

/// Sources that may write WGSL: `assemble` joins kernels, and `check` says what is wrong with them.
const WGSL_WRITERS: &[&str] = &["shaders/src/assemble.rs", "shaders/src/check.rs"];

/// Index of the room that holds `path`.
fn room_of(path: &str) -> Option<usize> {
    let inside = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    ROOMS.iter().position(|(folder, ..)| inside(folder))
}

/// Every dependency section of a manifest as `(section, crate)`.
fn dependencies(manifest: &toml::Table) -> Vec<(String, String)> {
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut found = Vec::new();
    let mut tables: Vec<(&str, &toml::Table)> = vec![("", manifest)];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.iter().filter_map(|(name, value)| Some((&**name, value.as_table()?))));
    }
    for (target, table) in tables {
        for section in sections {
            let Some(entries) = table.get(section).and_then(toml::Value::as_table) else { continue };
            for (key, value) in entries {
                // `other = { package = "wgpu" }` depends on wgpu under another name.
                let name = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                let place =
                    if target.is_empty() { section.to_owned() } else { format!("{target}.{section}") };
                found.push((place, name.to_owned()));
            }
        }
    }
    found
}

/// Manifests: wgpu only in the device, dependencies one way, versions and lints from the workspace.
pub fn manifests(tree: &Tree, findings: &mut Vec<Finding>) {
    let ours = |path: &str| path.ends_with("/Cargo.toml") && !path.starts_with(PEERS);
    for (path, source) in tree.with_extension("toml").filter(|(path, _)| ours(path)) {
        let mut say = |what: String| findings.push(Finding { file: path.to_owned(), line: 0, what });
        let manifest = match source.text.parse::<toml::Table>() {
            Ok(manifest) => manifest,
            Err(error) => {
                say(format!("is not TOML: {}", error.message()));
                continue;
            }
        };
        let inherits = |table: &str, key: &str| {
            let value = manifest.get(table).and_then(|t| t.get(key));
            value.is_some_and(|v| v.as_bool() == Some(true) || v.get("workspace").is_some())
        };
        if !inherits("lints", "workspace") {
            say("does not take the workspace's lints".to_owned());
        }
        if !inherits("package", "version") {
            say("does not take the workspace's version".to_owned());
        }
        let Some(room) = room_of(path) else {
            say("is a crate in no room that ARCHITECTURE.md knows".to_owned());
            continue;
        };
        for (section, name) in dependencies(&manifest) {
            if name == "wgpu" && ROOMS[room].1 != "seqloom-device" {
                say(format!("[{section}] names wgpu; only seqloom-device may"));
            }
            let Some(above) = ROOMS.iter().position(|(_, krate, _)| *krate == name) else { continue };
            if above >= room {
                say(format!("[{section}] {name} stands above {}: dependencies run one way", ROOMS[room].1));
            }
            if ROOMS[room].2.contains(&name.replace('-', "_").as_str()) {
                say(format!("[{section}] {} must not know {name}", ROOMS[room].1));
            }
        }
    }
}

/// Code: words that a room must not contain.
pub fn names(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, source) in tree.with_extension("rs") {
        let Some(room) = room_of(path) else { continue };
        for (line, code) in (1..).zip(source.code.lines()) {
            for word in ROOMS[room].2.iter().filter(|word| has_word(code, word)) {
                let what = format!("{} must not name {word}", ROOMS[room].1);
                findings.push(Finding { file: path.to_owned(), line, what });
            }
        }
    }
}

/// Strings: no WGSL in shipped Rust.
pub fn wgsl_in_strings(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, source) in tree.with_extension("rs") {
        let test = path.starts_with("tests/") || path.contains("/tests/");
        if test || WGSL_WRITERS.contains(&path) || path.starts_with("xtask/src/tidy/") {
            continue;
        }
        let shipped = Source::shipped(&source.code).count();
        for (line, text) in (1..).zip(source.strings.lines()).take(shipped) {
            for mark in WGSL.iter().filter(|mark| text.contains(**mark)) {
                let what = format!("WGSL (`{mark}`) in a Rust string; it belongs in a .wgsl file");
                findings.push(Finding { file: path.to_owned(), line, what });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[package]\nversion.workspace = true\n[lints]\nworkspace = true\n";

    fn run(rule: fn(&Tree, &mut Vec<Finding>), tree: &Tree) -> Vec<String> {
        let mut findings = Vec::new();
        rule(tree, &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    fn manifest(folder: &str, rest: &str) -> Vec<String> {
        run(manifests, &Tree::from([(&*format!("{folder}/Cargo.toml"), &*format!("{HEAD}{rest}"))]))
    }

    #[test]
    fn wgpu_is_the_devices_own() {
        assert!(manifest("crates/seqloom-device", "[dependencies]\nwgpu.workspace = true").is_empty());
        let found = manifest("crates/seqloom-nn", "[dependencies]\nwgpu.workspace = true");
        assert!(found[0].contains("only seqloom-device"), "{found:?}");
        let renamed = "[target.'cfg(unix)'.dependencies]\ngpu = { package = \"wgpu\", version = \"30\" }";
        assert_eq!(manifest("tests", renamed).len(), 1);
        let found =
            run(names, &Tree::from([("xtask/src/main.rs", "// wgpu is fine here\nuse wgpu::Device;")]));
        assert_eq!(found, ["xtask/src/main.rs:2: xtask must not name wgpu"]);
    }

    #[test]
    fn dependencies_run_one_way() {
        assert!(
            manifest("crates/seqloom-graph", "[dependencies]\nseqloom-kernels.workspace = true").is_empty()
        );
        let found = manifest("crates/seqloom-kernels", "[dev-dependencies]\nseqloom-graph.workspace = true");
        assert!(found.iter().any(|f| f.contains("one way")), "{found:?}");
        let found = manifest("shaders", "[dependencies]\nseqloom-device.workspace = true");
        assert!(!found.is_empty());
    }

    #[test]
    fn layers_do_not_know_kernels() {
        let found = manifest("crates/seqloom-nn", "[dependencies]\nseqloom-kernels.workspace = true");
        assert!(found[0].contains("must not know"), "{found:?}");
        let tree = Tree::from([("crates/seqloom-nn/src/lstm.rs", "use seqloom_kernels::matmul;")]);
        assert_eq!(run(names, &tree).len(), 1);
        let tree = Tree::from([("crates/seqloom-kernels/src/matmul.rs", "use seqloom_nn::Linear;")]);
        assert_eq!(run(names, &tree).len(), 1);
    }

    #[test]
    fn crates_take_lints_and_version_and_stand_in_a_room() {
        let tree = Tree::from([("crates/extra/Cargo.toml", "[package]\nversion = \"2.0.0\"")]);
        assert_eq!(run(manifests, &tree).len(), 3);
        assert!(run(manifests, &Tree::from([("tests/Cargo.toml", "[")]))[0].contains("is not TOML"));
        assert!(
            run(manifests, &Tree::from([("bench/peers/burn-peer/Cargo.toml", "[workspace]")])).is_empty()
        );
    }

    #[test]
    fn wgsl_stays_out_of_strings() {
        let kernel = "let k = \"@compute\\n@workgroup_size(8)\";";
        let found = run(wgsl_in_strings, &Tree::from([("crates/seqloom-device/src/lib.rs", kernel)]));
        assert_eq!(found.len(), 1, "{found:?}");
        let comment = "// @group(0) is bound here\nlet a = 1;";
        assert!(run(wgsl_in_strings, &Tree::from([("crates/seqloom-device/src/a.rs", comment)])).is_empty());
        let test = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{ {kernel} }}");
        assert!(run(wgsl_in_strings, &Tree::from([("crates/seqloom-device/src/b.rs", &*test)])).is_empty());
        assert!(run(wgsl_in_strings, &Tree::from([("shaders/src/assemble.rs", kernel)])).is_empty());
    }
}
