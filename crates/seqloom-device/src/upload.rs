//! Writes host bytes to buffers.
//!
//! Small writes go through pooled staging memory (`staging`). Writes larger than one of its chunks (parameters, once)
//! use wgpu's `write_buffer`, so the pool keeps no large memory for a rare need.

use crate::buffer::Slice;
use crate::device::Device;
use crate::error::{DeviceError, Result};
use crate::staging::CHUNK;
use crate::sync::lock;

impl Device {
    /// Writes bytes into a range of the same length; dispatches submitted later see them, those submitted earlier do
    /// not. Copies `bytes` and does not wait.
    ///
    /// # Errors
    /// [`DeviceError::Validation`] if the lengths differ, the range is outside its buffer or not made of whole words
    /// of 4 bytes; [`DeviceError::OutOfMemory`]; [`DeviceError::Lost`].
    pub fn write(&self, slice: &Slice, bytes: &[u8]) -> Result<()> {
        let inner = &*self.inner;
        inner.fault().check()?;
        slice.check(inner.id, "write")?;
        if slice.bytes != bytes.len() as u64 {
            let message = format!("{} bytes for a range of {}", bytes.len(), slice.bytes);
            return Err(DeviceError::validation(format!("write {}", slice.buffer.label()), message));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let mut recorder = lock(&inner.recorder);
        if slice.bytes <= CHUNK {
            return recorder.uploads.push(|descriptor| self.create(descriptor), slice, bytes);
        }
        // Earlier small writes come first: `write_buffer` would overtake them.
        self.submit_locked(&mut recorder, &[])?;
        self.caught(format!("write {}", slice.buffer.label()), || {
            inner.queue.write_buffer(slice.buffer.raw(), slice.offset, bytes);
            inner.queue.submit([]);
        })
    }
}
