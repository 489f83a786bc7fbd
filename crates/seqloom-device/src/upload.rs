//! The way in: host bytes to buffers, through pooled staging memory.
//!
//! wgpu's own `write_buffer` makes a new staging buffer at each call, which a step must not. So small writes are copied
//! into mapped chunks and become copy commands at the head of the next submission; a chunk is mapped again as soon as
//! the device is done with it, and returns to the free list by its callback. The number of chunks is bounded because
//! submission never runs more than a few steps ahead (`record`). Writes larger than a chunk (parameters, once) do use
//! `write_buffer`, so that the pool keeps no large memory for a rare need.

use std::sync::{Arc, Mutex};

use crate::Result;
use crate::buffer::{Buffer, Slice};
use crate::device::Device;
use crate::ending::Owned;
use crate::error::DeviceError;
use crate::fault::lock;

/// Bytes of a chunk: room for the inputs of many steps.
const CHUNK: u64 = 1 << 20;
/// Where each write begins inside a chunk; wgpu maps ranges at multiples of 8.
const ALIGNMENT: u64 = 16;

/// Writes that wait for the next submission.
#[derive(Default)]
pub(crate) struct Uploads {
    /// Chunks in use with the bytes taken; the last one is being filled.
    chunks: Vec<(Owned<wgpu::Buffer>, u64)>,
    copies: Vec<Copy>,
    /// Mapped chunks that nobody uses.
    free: Arc<Mutex<Vec<Owned<wgpu::Buffer>>>>,
}

/// One write: from a chunk to a buffer.
struct Copy {
    chunk: usize,
    from: u64,
    buffer: Buffer,
    to: u64,
    bytes: u64,
}

impl Uploads {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// Takes in a write of at most a chunk.
    fn push(&mut self, device: &Device, slice: &Slice, bytes: &[u8]) -> Result<()> {
        let room = |(_, taken): &(Owned<wgpu::Buffer>, u64)| CHUNK - taken >= slice.bytes;
        if !self.chunks.last().is_some_and(room) {
            let pooled = lock(&self.free).pop();
            let chunk = match pooled {
                Some(chunk) => chunk,
                None => device.create(&wgpu::BufferDescriptor {
                    label: Some("upload staging"),
                    size: CHUNK,
                    usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                    mapped_at_creation: true,
                })?,
            };
            self.chunks.push((chunk, 0));
        }
        let last = self.chunks.len().saturating_sub(1);
        let Some((chunk, taken)) = self.chunks.last_mut() else { return Ok(()) };
        let from = *taken;
        let mapped = chunk.get_mapped_range_mut(from..from + slice.bytes);
        let mut view = mapped.map_err(|error| {
            DeviceError::validation(format!("write {}", slice.buffer.label()), error.to_string())
        })?;
        view.copy_from_slice(bytes);
        drop(view);
        *taken = (from + slice.bytes).next_multiple_of(ALIGNMENT).min(CHUNK);
        let (buffer, to, bytes) = (slice.buffer.clone(), slice.offset, slice.bytes);
        self.copies.push(Copy { chunk: last, from, buffer, to, bytes });
        Ok(())
    }

    /// Records the waiting writes.
    pub(crate) fn record(&mut self, encoder: &mut wgpu::CommandEncoder) {
        for (chunk, _) in &self.chunks {
            chunk.unmap();
        }
        for Copy { chunk, from, buffer, to, bytes } in self.copies.drain(..) {
            if let Some((chunk, _)) = self.chunks.get(chunk) {
                encoder.copy_buffer_to_buffer(chunk, from, buffer.raw(), to, bytes);
            }
        }
    }

    /// After the submission: asks for the used chunks back.
    pub(crate) fn recycle(&mut self) {
        for (chunk, _) in self.chunks.drain(..) {
            let free = Arc::clone(&self.free);
            let mapped = chunk.clone();
            chunk.map_async(wgpu::MapMode::Write, .., move |outcome| {
                if outcome.is_ok() {
                    lock(&free).push(mapped);
                }
            });
        }
    }
}

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
            return recorder.uploads.push(self, slice, bytes);
        }
        // Earlier small writes come first: `write_buffer` would overtake them.
        self.submit_locked(&mut recorder, &[])?;
        self.caught(format!("write {}", slice.buffer.label()), || {
            inner.queue.write_buffer(slice.buffer.raw(), slice.offset, bytes);
            inner.queue.submit([]);
        })
    }
}
