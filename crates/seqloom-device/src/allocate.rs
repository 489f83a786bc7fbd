//! Allocates buffers: within the adapter's limits, counted, with errors that name them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::buffer::{Buffer, WORD};
use crate::device::Device;
use crate::ending::Owned;
use crate::error::{DeviceError, Result};
use crate::fault::Scope;

impl Device {
    /// Makes a buffer of `bytes` bytes (rounded up to a multiple of 4, at least 4), all zero.
    ///
    /// # Errors
    /// [`DeviceError::TooLarge`] if one buffer cannot be that large, [`DeviceError::OutOfMemory`] if the memory is
    /// exhausted, [`DeviceError::Lost`]. Each names `label`.
    pub fn allocate(&self, label: &str, bytes: u64) -> Result<Buffer> {
        let inner = &*self.inner;
        inner.fault().check()?;
        let limit = self.facts().max_buffer_bytes;
        let words = bytes.max(WORD).div_ceil(WORD);
        let bytes = words.saturating_mul(WORD);
        if bytes > limit {
            return Err(DeviceError::TooLarge { label: label.to_owned(), bytes, limit });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let raw = self.create(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation: false,
        })?;
        let before = inner.live_bytes.fetch_add(bytes, Ordering::Relaxed);
        inner.peak_bytes.fetch_max(before + bytes, Ordering::Relaxed);
        inner.buffers.fetch_add(1, Ordering::Relaxed);
        Ok(Buffer::new(raw, label, bytes, inner.id, Arc::clone(&inner.live_bytes)))
    }

    /// Makes a buffer of wgpu, with its errors turned into ours.
    pub(crate) fn create(&self, descriptor: &wgpu::BufferDescriptor<'_>) -> Result<Owned<wgpu::Buffer>> {
        let scope = Scope::open(self.raw())?;
        let raw = Owned::new(self.raw().create_buffer(descriptor));
        let error = scope.close();
        self.inner.fault().check()?;
        let label = descriptor.label.unwrap_or_default().to_owned();
        match error {
            None => Ok(raw),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(DeviceError::OutOfMemory {
                label,
                bytes: descriptor.size,
                limit: self.facts().max_buffer_bytes,
            }),
            Some(error) => Err(DeviceError::validation(format!("allocate {label}"), error.to_string())),
        }
    }
}
