//! `cargo xtask shaders --tint`: every shipped variant through Tint, the WGSL compiler of Chrome.
//!
//! naga accepts texts that the standard forbids, such as `a < b & c`, so a text that passes naga may still fail in a
//! browser. Tint comes with Dawn for Node, an npm package with binaries for Linux, macOS and Windows, which npm
//! installs below `target/`; its null back end needs no GPU and no driver. Why not a Rust crate: none has Tint, and
//! building Dawn takes an hour.
//!
//! Variants with cooperative matrices are left out and counted, because only naga knows that extension.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use seqloom_shaders::Wgsl;

use crate::error::{Result, XtaskError};
use crate::{process, workspace};

/// Dawn for Node, in the version that was tried.
const PACKAGE: &str = "webgpu@0.6.2";

/// The script that Node runs.
const SCRIPT: &str = include_str!("tint.mjs");

/// One text that Tint refuses.
#[derive(serde::Deserialize)]
struct Failure {
    /// Its index in the input.
    variant: usize,
    /// `line:column message` each.
    faults: Vec<String>,
}

/// Tint's results for many variants.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many it compiled.
    pub compiled: usize,
    /// The faults, one per entry, each beginning with the variant's label.
    pub faults: Vec<String>,
    /// How many variants failed.
    pub failed: usize,
    /// Variants that Tint cannot know, and the names of their kernels.
    pub left_out: usize,
    pub left_out_kernels: BTreeSet<&'static str>,
}

/// Compiles `variants` in Tint.
///
/// # Errors
/// [`XtaskError::Missing`] without Node or npm; a package that npm cannot install; a script that fails.
pub fn compile(variants: &[Wgsl]) -> Result<Verdict> {
    let folder = install()?;
    let (known, left_out): (Vec<_>, Vec<_>) =
        variants.iter().partition(|wgsl| wgsl.standard_source().is_some());
    let texts: Vec<_> = known.iter().filter_map(|wgsl| wgsl.standard_source()).collect();
    let (script, input) = (folder.join("tint.mjs"), folder.join("variants.json"));
    workspace::write(&script, SCRIPT)?;
    workspace::write(&input, serde_json::to_string(&texts)?)?;
    let mut node = Command::new("node");
    let answer = process::output_quiet(node.arg(&script).arg(&input))?;
    let failures: Vec<Failure> = serde_json::from_str(answer.trim())?;
    let mut faults = Vec::new();
    for Failure { variant, faults: found } in &failures {
        let label = known.get(*variant).map_or("?", |wgsl| wgsl.label.as_str());
        faults.extend(found.iter().map(|fault| format!("{label}: {fault}")));
    }
    Ok(Verdict {
        compiled: known.len().saturating_sub(failures.len()),
        faults,
        failed: failures.len(),
        left_out: left_out.len(),
        left_out_kernels: left_out.iter().map(|wgsl| wgsl.kernel).collect(),
    })
}

/// The folder below `target/` that holds the package, put there by npm if it was not.
fn install() -> Result<PathBuf> {
    let folder = workspace::root()?.join("target").join("tint");
    if !process::succeeds(Command::new("node").arg("--version")) {
        return Err(missing("node"));
    }
    if installed(&folder) {
        return Ok(folder);
    }
    // On Windows npm is a script that needs its full name to start.
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    if !process::succeeds(Command::new(npm).arg("--version")) {
        return Err(missing("npm"));
    }
    // With its own `package.json`, npm does not look for one further up.
    workspace::write(&folder.join("package.json"), "{\"private\":true,\"type\":\"module\"}\n")?;
    println!("npm installs {PACKAGE} into {}", folder.display());
    let mut command = Command::new(npm);
    command.current_dir(&folder).args(["install", "--no-audit", "--no-fund", "--save-exact", PACKAGE]);
    process::output_quiet(&mut command)?;
    Ok(folder)
}

/// Whether `folder` holds the package in the version that is wanted.
fn installed(folder: &Path) -> bool {
    let manifest = workspace::read(&folder.join("node_modules/webgpu/package.json")).unwrap_or_default();
    let version = serde_json::from_str::<serde_json::Value>(&manifest)
        .ok()
        .and_then(|manifest| Some(manifest.get("version")?.as_str()?.to_owned()));
    version.is_some_and(|version| PACKAGE.ends_with(&format!("@{version}")))
}

fn missing(program: &'static str) -> XtaskError {
    XtaskError::Missing {
        program,
        advice: format!(
            "`--tint` needs Node 20 or newer with npm (https://nodejs.org), which installs {PACKAGE} into target/tint; \
             a GPU or driver it needs not"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_is_installed_is_read_from_its_manifest() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!installed(dir.path()));
        let manifest = dir.path().join("node_modules/webgpu/package.json");
        workspace::write(&manifest, r#"{"version":"0.1.0"}"#).unwrap();
        assert!(!installed(dir.path()));
        let version = PACKAGE.split('@').next_back().unwrap();
        workspace::write(&manifest, format!("{{\"version\":\"{version}\"}}")).unwrap();
        assert!(installed(dir.path()));
    }

    #[test]
    fn a_missing_program_says_what_to_install() {
        let said = missing("npm").to_string();
        assert!(said.contains("npm") && said.contains("nodejs.org") && said.contains(PACKAGE), "{said}");
    }
}
