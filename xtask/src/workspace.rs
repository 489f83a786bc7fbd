//! Where the workspace is, and which files belong to it.
//!
//! The root is searched upwards from `CARGO_MANIFEST_DIR` (which `cargo run` sets) or the current folder, and not taken
//! from the path where this binary was built, so a moved or copied checkout keeps working with its binary.

use std::path::{Path, PathBuf};

use crate::error::{Result, XtaskError, at};

/// Folders of generated files.
const NOT_OURS: &[&str] = &["target", "node_modules", "__pycache__"];

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> Result<PathBuf> {
    let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => std::env::current_dir().map_err(at(Path::new(".")))?,
    };
    let is_root =
        |dir: &&Path| dir.join("xtask/Cargo.toml").is_file() && dir.join("shaders/Cargo.toml").is_file();
    start.ancestors().find(is_root).map(Path::to_owned).ok_or(XtaskError::NoWorkspace(start))
}

/// All files of the workspace whose extension is listed, sorted, as paths relative to `root` with `/` between parts.
///
/// Hidden folders are left out, except `.github`, `.cargo`, `.config` and `.ci`.
pub fn files(root: &Path, extensions: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let hidden =
                    name.starts_with('.') && ![".github", ".cargo", ".config", ".ci"].contains(&&*name);
                if !hidden && !NOT_OURS.contains(&&*name) && !path.is_symlink() {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)) {
                let inside = path.strip_prefix(root).unwrap_or(&path);
                let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
                found.push(parts.join("/"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(at(path))
}

/// Writes a file and the folders it needs.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    std::fs::write(path, bytes).map_err(at(path))
}
