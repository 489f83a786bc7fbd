//! Files that one run keeps for the next: compiled pipelines, and what tuning found.
//!
//! There is one file per kind and key. The key says what the file was made for (adapter, driver, version of this
//! crate); it is in the file's name and in its header. A file is a header (magic, lengths, checksum, key) and a
//! payload. A driver may crash on damaged bytes, so a doubtful file counts as absent. A write goes to a temporary file
//! that is synced and renamed, so a reader sees the old file or the new one, never half of one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::adapter::Facts;
use crate::error::{DeviceError, Result};
use crate::sync::next_id;

/// First bytes of a file; the digit is the version of this layout.
const MAGIC: &[u8; 8] = b"SLKEPT01";
/// Bytes before the key: magic, key length, payload length, checksum of key and payload.
const HEADER: usize = 8 + 8 + 8 + 8;

/// The place of one file, and its key.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    key: String,
}

impl Kept {
    /// The file of a kind for an adapter, in `folder` or the user's cache folder; `None` if there is neither. `more` is
    /// anything else that the file depends on.
    pub(crate) fn new(kind: &str, facts: &Facts, more: &str, folder: Option<&Path>) -> Option<Self> {
        let folder = folder.map(Path::to_path_buf).or_else(user_folder)?;
        let version = env!("CARGO_PKG_VERSION");
        let key = format!("{}|{}|{}|{version}{more}", facts.backend, facts.name, facts.driver);
        let path = folder.join(format!("{kind}-{:016x}.bin", fnv([key.as_bytes()])));
        Some(Self { path, key })
    }

    /// The file's payload, if there is a file that is whole, undamaged and for this key.
    pub(crate) fn load(&self) -> Option<Vec<u8>> {
        let file = fs::read(&self.path).ok();
        let payload = file.as_ref().and_then(|file| decode(file, &self.key).map(<[u8]>::to_vec));
        let bytes = payload.as_ref().map_or(0, Vec::len);
        tracing::debug!(path = %self.path.display(), bytes, found = file.is_some(), "cache file");
        payload
    }

    /// Puts a file with this payload in place of an earlier one.
    pub(crate) fn save(&self, payload: &[u8]) -> Result<()> {
        replace(&self.path, &encode(payload, &self.key))
            .map_err(|source| DeviceError::Cache { path: self.path.clone(), source: Arc::new(source) })
    }
}

/// The file's bytes for a payload.
fn encode(payload: &[u8], key: &str) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEADER + key.len() + payload.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&(key.len() as u64).to_le_bytes());
    file.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    file.extend_from_slice(&fnv([key.as_bytes(), payload]).to_le_bytes());
    file.extend_from_slice(key.as_bytes());
    file.extend_from_slice(payload);
    file
}

/// The payload of a file that is whole, undamaged and made for `key`.
fn decode<'a>(file: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let number = |at: usize| Some(u64::from_le_bytes(file.get(at..at + 8)?.try_into().ok()?));
    if file.get(..8)? != MAGIC || number(8)? != key.len() as u64 {
        return None;
    }
    let payload = file.get(HEADER + key.len()..)?;
    let key_matches = file.get(HEADER..HEADER + key.len())? == key.as_bytes();
    let whole = number(16)? == payload.len() as u64;
    (key_matches && whole && number(24)? == fnv([key.as_bytes(), payload])).then_some(payload)
}

/// FNV-1a over the parts, 64 bits: guards against damage, not against malice.
fn fnv<const N: usize>(parts: [&[u8]; N]) -> u64 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Puts a file in place at once: temporary name, sync, rename.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // The name has the process and a counter, so two savers never write into one temporary file.
    let temporary = path.with_extension(format!("{}-{}.tmp", std::process::id(), next_id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The user's cache folder for this project, where the system puts such folders.
fn user_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = if cfg!(target_os = "windows") {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("seqloom"))
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn a_file_comes_back_only_whole_and_for_its_own_key() {
        let file = encode(b"compiled", "key");
        assert_eq!(decode(&file, "key"), Some(&b"compiled"[..]));
        assert_eq!(decode(&file, "yek"), None);
        assert_eq!(decode(&file, "longer key"), None);
        for end in 0..file.len() {
            assert_eq!(decode(&file[..end], "key"), None, "cut at {end}");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged, "key"), None, "damaged at {at}");
        }
    }
}
