//! The peers: other frameworks on the same work, measured by their own programs in `bench/peers`.
//!
//! They are never built from here. Those that are present run in turn with ours: PyTorch through a Python that has it
//! ($SEQLOOM_PYTHON, or the one on the path), the others through what `bench/peers/build.sh` left in $PEERS_BUILD or
//! `target/peers`. Each prints the lines that `bench/peers/README.md` defines.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cases::Asked;
use super::row::Row;
use crate::error::{Result, XtaskError};
use crate::process;

/// Names, and whether a run includes the peer by default.
const KNOWN: &[(&str, bool)] = &[
    ("torch", true),
    ("torch-fused", false),
    ("torch-compile", false),
    ("torch-bf16", false),
    ("candle", true),
    ("burn-flex", true),
    ("burn-wgpu", false),
    ("burn-vulkan", false),
    ("meganeura", false),
];

/// A peer that is present.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: &'static str,
    program: PathBuf,
    args: Vec<String>,
}

/// The peers of these names, by default the usual ones. Absent ones are left out and reported.
///
/// # Errors
/// [`XtaskError::Unknown`] for a name that is no peer's; [`XtaskError::NoPeer`] if none is present.
pub fn present(root: &Path, names: &[String]) -> Result<Vec<Peer>> {
    if let Some(strange) = names.iter().find(|name| !KNOWN.iter().any(|(known, _)| known == *name)) {
        let known = KNOWN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        return Err(XtaskError::Unknown { what: "peer", asked: strange.clone(), known });
    }
    let wanted = |(name, usual): &(&'static str, bool)| {
        let asked = if names.is_empty() { *usual } else { names.iter().any(|asked| asked == name) };
        asked.then_some(*name)
    };
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for name in KNOWN.iter().filter_map(wanted) {
        match find(root, name) {
            Some(peer) => found.push(peer),
            None => absent.push(name),
        }
    }
    if found.is_empty() {
        return Err(XtaskError::NoPeer { asked: absent.join(", ") });
    }
    if !absent.is_empty() {
        eprintln!(
            "peers that are not here: {} (bench/peers/README.md says how to build them)",
            absent.join(", ")
        );
    }
    Ok(found)
}

fn find(root: &Path, name: &'static str) -> Option<Peer> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if let Some(variant) = name.strip_prefix("torch") {
        let script = root.join("bench/peers/torch-peer/torch_peer.py").to_string_lossy().into_owned();
        let variant = variant.strip_prefix('-').unwrap_or("default");
        return Some(Peer { name, program: python()?, args: words(&[&script, "--variant", variant]) });
    }
    let build = std::env::var_os("PEERS_BUILD").map_or_else(|| root.join("target/peers"), PathBuf::from);
    let (program, args): (String, &[&str]) = match name.strip_prefix("burn-") {
        Some("flex") => (format!("burn-peer-{}", "flex"), &["--cache", "warm"]),
        Some(backend) => (format!("burn-peer-{backend}"), &["--cache", "shared"]),
        None => (format!("{name}-peer"), &[]),
    };
    let program = build.join("bin").join(program + std::env::consts::EXE_SUFFIX);
    program.is_file().then(|| Peer { name, program, args: words(args) })
}

/// A Python that has PyTorch.
fn python() -> Option<PathBuf> {
    let candidates = match std::env::var_os("SEQLOOM_PYTHON") {
        Some(python) => vec![PathBuf::from(python)],
        None => vec![PathBuf::from("python3"), PathBuf::from("python")],
    };
    // Found without importing it, which would take seconds.
    let test = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)";
    candidates.into_iter().find(|python| process::succeeds(Command::new(python).args(["-c", test])))
}

/// One process of a peer's case. Returns its line, or one with the reason for the failure, because a failing peer must
/// not end a run of an hour.
pub fn measure(peer: &Peer, asked: Asked, cache: &Path) -> Row {
    let mut command = Command::new(&peer.program);
    command.args(&peer.args).args(["--workload", asked.workload, "--case", asked.case, "--json"]);
    // Folder for what the process tunes or compiles, one per run.
    command.env("XDG_CACHE_HOME", cache).stdin(Stdio::null());
    if peer.name.starts_with("burn") {
        command.arg("--cache-dir").arg(cache);
    }
    let outcome = process::output_quiet(&mut command).map_err(|error| error.to_string());
    let row = outcome.and_then(|text| line(&text));
    let named = |row: Row| Row {
        peer: peer.name.to_owned(),
        workload: asked.workload.to_owned(),
        case: asked.case.to_owned(),
        ..row
    };
    named(row.unwrap_or_else(|error| Row { error: Some(error), ..Row::default() }))
}

/// The last line that is a row.
fn line(text: &str) -> std::result::Result<Row, String> {
    let mut rows = text.lines().filter_map(|line| serde_json::from_str::<Row>(line.trim()).ok());
    let row = rows.next_back().ok_or_else(|| "it printed no figures".to_owned())?;
    match &row.error {
        Some(error) => Err(error.clone()),
        None if row.median_ms > 0.0 => Ok(row),
        None => Err("it printed no time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_counts_and_errors_are_kept() {
        let good = r#"{"peer":"x","workload":"W2","case":"lstm1","median_ms":18.0,"min_ms":17.0}"#;
        assert_eq!(line(&format!("noise\n{good}\n")).unwrap().median_ms, 18.0);
        let bad = r#"{"peer":"x","workload":"W2","case":"lstm1","error":"timeout"}"#;
        assert_eq!(line(&format!("{good}\n{bad}")).unwrap_err(), "timeout");
        assert!(line("nothing").unwrap_err().contains("no figures"));
    }

    #[test]
    fn unknown_and_absent_peers_are_named() {
        let root = tempfile::tempdir().unwrap();
        let error = present(root.path(), &["jax".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("jax") && error.contains("burn-flex"), "{error}");
        if std::env::var_os("PEERS_BUILD").is_none() {
            let error = present(root.path(), &["candle".to_owned()]).unwrap_err().to_string();
            assert!(error.contains("candle") && error.contains("bench/peers"), "{error}");
        }
    }

    #[test]
    fn a_peer_that_cannot_run_leaves_the_reason() {
        let peer = Peer { name: "candle", program: PathBuf::from("no-such-program"), args: Vec::new() };
        let asked = Asked { workload: "W2", case: "lstm1" };
        let row = measure(&peer, asked, Path::new("."));
        assert_eq!((&*row.peer, &*row.case), ("candle", "lstm1"));
        assert!(row.error.unwrap().contains("no-such-program"));
        // A program that is present and reports what is wrong with its arguments.
        let cargo = PathBuf::from(process::cargo().get_program());
        let row = measure(&Peer { name: "candle", program: cargo, args: Vec::new() }, asked, Path::new("."));
        let error = row.error.unwrap();
        assert!(error.contains("failed: ") && error.lines().count() == 1, "{error}");
    }
}
