//! The pipeline cache: what drivers compiled, kept on disk for the next run.
//!
//! A file that is damaged or made for something else counts as absent (`kept`), and the cache starts empty.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::adapter::Facts;
use crate::ending::{Owned, enter};
use crate::error::Result;
use crate::fault::Scope;
use crate::kept::Kept;

/// The cache of one device; without a file it does nothing.
#[derive(Debug)]
pub(crate) struct DiskCache {
    open: Option<Open>,
}

/// A cache that is kept.
#[derive(Debug)]
struct Open {
    raw: Owned<wgpu::PipelineCache>,
    kept: Kept,
    /// Whether something was compiled since the last save.
    dirty: AtomicBool,
}

impl DiskCache {
    /// A cache that keeps nothing.
    pub(crate) fn off() -> Self {
        Self { open: None }
    }

    /// Opens the cache for a device and loads its file if that is sound. Keeps nothing if the adapter has no such
    /// caches or there is no folder for them.
    pub(crate) fn open(device: &wgpu::Device, facts: &Facts, folder: Option<&Path>) -> Self {
        let kept = Kept::new("pipelines", facts, "", folder);
        let (true, Some(kept)) = (facts.pipeline_cache, kept) else { return Self::off() };
        let stored = kept.load();
        let create = |data: Option<&[u8]>| {
            let scope = Scope::open(device).ok()?;
            let descriptor = wgpu::PipelineCacheDescriptor { label: Some("seqloom"), data, fallback: true };
            // SAFETY: `data` is what `get_data` returned for this adapter and driver in an earlier run, as key and
            // checksum show; wgpu and the driver also check their own headers, and `fallback` drops stale data.
            let cache = Owned::new(unsafe { device.create_pipeline_cache(&descriptor) });
            scope.close().is_none().then_some(cache)
        };
        let raw = create(stored.as_deref()).or_else(|| create(None));
        Self { open: raw.map(|raw| Open { raw, kept, dirty: AtomicBool::new(false) }) }
    }

    /// The cache to compile with. The caller is assumed to add to it.
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
        let data = enter().map(|_inside| open.raw.get_data())?;
        let Some(data) = data else { return Ok(()) };
        open.kept.save(&data).inspect_err(|_| open.dirty.store(true, Ordering::Relaxed))
    }
}
