//! `cargo xtask shaders`: every kernel in every shipped variant through naga, on request through Tint, and its
//! translation for each backend.
//!
//! The check is the contract test's own (`seqloom_shaders::check`): the same code checks a variant here, in `cargo
//! test` and in `cargo xtask test`. All failures are collected before any is reported.

mod tint;

use std::path::{Path, PathBuf};

use seqloom_shaders::check::{Translations, check};
use seqloom_shaders::{AssembleError, Wgsl, kernel, variants};

use crate::error::{Result, XtaskError};
use crate::workspace;

/// Options of `cargo xtask shaders`.
#[derive(clap::Args, Default)]
pub struct Options {
    /// Write WGSL, SPIR-V, MSL and HLSL of every variant to this folder
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "target/shaders")]
    dump: Option<PathBuf>,
    /// Compile every variant in Tint too, Chrome's compiler, which npm installs into target/tint
    #[arg(long)]
    tint: bool,
}

/// Checks all variants, and writes them if asked to.
///
/// # Errors
/// [`XtaskError::Shaders`] after every failure was printed; a file that cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let folder = match &options.dump {
        Some(dump) => Some(workspace::root()?.join(dump)),
        None => None,
    };
    let (mut of, mut failed) = (0, 0);
    let mut sound = Vec::new();
    for variant in variants() {
        of += 1;
        match translate(variant) {
            Ok((wgsl, written)) => {
                if let Some(folder) = &folder {
                    dump(folder, &wgsl, &written)?;
                }
                sound.push(wgsl);
            }
            Err(faults) => {
                failed += 1;
                faults.iter().for_each(|fault| eprintln!("{fault}"));
            }
        }
    }
    if failed > 0 {
        return Err(XtaskError::Shaders { failed, of });
    }
    println!("{of} shader variants keep their contracts");
    if let Some(folder) = folder {
        println!("written to {}", folder.display());
    }
    if options.tint { through_tint(&sound) } else { Ok(()) }
}

/// Compiles the variants in Tint and reports how many it accepted, and which it does not support.
fn through_tint(variants: &[Wgsl]) -> Result<()> {
    let verdict = tint::compile(variants)?;
    verdict.faults.iter().for_each(|fault| eprintln!("{fault}"));
    println!("{} shader variants compile in Tint", verdict.compiled);
    if verdict.left_out > 0 {
        let kernels: Vec<_> = verdict.left_out_kernels.iter().copied().collect();
        println!(
            "{} left out, for they use an extension that only naga knows: {}",
            verdict.left_out,
            kernels.join(", ")
        );
    }
    match verdict.failed {
        0 => Ok(()),
        failed => Err(XtaskError::Shaders { failed, of: verdict.compiled + failed }),
    }
}

/// A variant with its translations, or all its faults.
fn translate(variant: Result<Wgsl, AssembleError>) -> Result<(Wgsl, Translations), Vec<String>> {
    let wgsl = variant.map_err(|error| vec![error.to_string()])?;
    let kernel =
        kernel(wgsl.kernel).ok_or_else(|| vec![format!("{}: its kernel is not listed", wgsl.label)])?;
    let written = check(&wgsl, kernel)?;
    Ok((wgsl, written))
}

fn dump(folder: &Path, wgsl: &Wgsl, written: &Translations) -> Result<()> {
    let name = file_name(&wgsl.label);
    let spirv: Vec<u8> = written.spirv.iter().flat_map(|word| word.to_le_bytes()).collect();
    workspace::write(&folder.join(format!("{name}.wgsl")), &wgsl.source)?;
    workspace::write(&folder.join(format!("{name}.spv")), spirv)?;
    workspace::write(&folder.join(format!("{name}.metal")), &written.msl)?;
    match &written.hlsl {
        Some(hlsl) => workspace::write(&folder.join(format!("{name}.hlsl")), hlsl),
        None => Ok(()),
    }
}

/// A label such as `map[WORKGROUP=64]+fused` as a file name that needs no quotes: `map-WORKGROUP=64-fused`.
fn file_name(label: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || "=_.".contains(c);
    let words: Vec<&str> = label.split(|c| !keep(c)).filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_plain_file_names() {
        assert_eq!(file_name("map[WORKGROUP=64 MAX=false]+fused"), "map-WORKGROUP=64-MAX=false-fused");
    }

    #[test]
    fn a_dump_holds_four_files_a_variant() {
        let dir = tempfile::tempdir().unwrap();
        let (wgsl, written) = translate(variants().remove(0)).unwrap();
        dump(dir.path(), &wgsl, &written).unwrap();
        let files = workspace::files(dir.path(), &["wgsl", "spv", "metal", "hlsl"]).unwrap();
        assert_eq!(files.len(), 4, "{files:?}");
    }
}
