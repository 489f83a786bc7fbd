//! The pipeline cache on disk: what drivers compiled, kept for the next run.
//!
//! One file for each adapter, driver and version of this crate, all three in the file's name and again in its header.
//! The file is a header (magic, lengths, key, checksum) and the driver's bytes. A driver may crash on damaged bytes, so
//! the checksum is compared first, and any doubt means to begin with an empty cache. Writing goes to a temporary file
//! that is synced and renamed: a reader sees the old file or the new one, never half of one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Result;
use crate::adapter::Facts;
use crate::error::DeviceError;
use crate::fault::Scope;

/// First bytes of a file; the digit is the version of this layout.
const MAGIC: &[u8; 8] = b"SLPIPES1";
/// Bytes before the key: magic, key length, payload length, checksum of key and payload.
const HEADER: usize = 8 + 8 + 8 + 8;

/// The cache of one device; without a file it does nothing.
#[derive(Debug)]
pub(crate) struct DiskCache {
    open: Option<Open>,
}

/// A cache that is kept.
#[derive(Debug)]
struct Open {
    raw: wgpu::PipelineCache,
    path: PathBuf,
    key: String,
    /// Whether something was compiled since the last save.
    dirty: AtomicBool,
}

impl DiskCache {
    /// A cache that keeps nothing.
    pub(crate) fn off() -> Self {
        Self { open: None }
    }

    /// Opens the cache for a device and loads its file if that is sound. Keeps nothing where the adapter has no such
    /// caches or there is no folder to keep them in.
    pub(crate) fn open(device: &wgpu::Device, facts: &Facts, folder: Option<PathBuf>) -> Self {
        let folder = folder.or_else(user_folder);
        let (true, Some(folder)) = (facts.pipeline_cache, folder) else { return Self::off() };
        let version = env!("CARGO_PKG_VERSION");
        let key = format!("{}|{}|{}|{version}", facts.backend, facts.name, facts.driver);
        let path = folder.join(format!("pipelines-{:016x}.bin", fnv([key.as_bytes()])));
        let stored = fs::read(&path).ok().and_then(|file| decode(&file, &key).map(<[u8]>::to_vec));
        tracing::debug!(path = %path.display(), bytes = stored.as_ref().map_or(0, Vec::len), "pipeline cache");
        let create = |data: Option<&[u8]>| {
            let scope = Scope::open(device);
            let descriptor = wgpu::PipelineCacheDescriptor { label: Some("seqloom"), data, fallback: true };
            // SAFETY: `data` is what `get_data` returned for this adapter and driver in an earlier run, as key and
            // checksum show; wgpu and the driver check their own headers besides, and `fallback` drops stale data.
            let cache = unsafe { device.create_pipeline_cache(&descriptor) };
            scope.close().is_none().then_some(cache)
        };
        let raw = create(stored.as_deref()).or_else(|| create(None));
        Self { open: raw.map(|raw| Open { raw, path, key, dirty: AtomicBool::new(false) }) }
    }

    /// The cache to compile with; whoever asks is taken to add to it.
    pub(crate) fn raw(&self) -> Option<&wgpu::PipelineCache> {
        let open = self.open.as_ref()?;
        open.dirty.store(true, Ordering::Relaxed);
        Some(&open.raw)
    }

    /// Writes the file if anything was compiled since the last time.
    pub(crate) fn save(&self) -> Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        if !open.dirty.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let Some(data) = open.raw.get_data() else { return Ok(()) };
        replace(&open.path, &encode(&data, &open.key)).map_err(|source| {
            open.dirty.store(true, Ordering::Relaxed);
            DeviceError::Cache { path: open.path.clone(), source: Arc::new(source) }
        })
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
    // The process and a counter in the name: two savers must not write into one temporary file.
    let temporary = path.with_extension(format!("{}-{}.tmp", std::process::id(), crate::device::next_id()));
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

/// The user's cache folder for this project, by the custom of the system.
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
