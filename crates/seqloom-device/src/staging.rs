//! Staging memory: a pool of buffers for bytes on their way in and out.
//!
//! wgpu's own `write_buffer` makes a new staging buffer at each call, which a step must not do. So small writes are
//! copied into mapped chunks and become copy commands at the start of the next submission. When the device is done with
//! a chunk, it is mapped again and its callback returns it to the free list. The number of chunks is bounded, because
//! submission is never more than a few steps ahead (`record`). On the way out a read takes a buffer of the next power
//! of two from the pool and returns it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::buffer::{Buffer, Slice};
use crate::ending::Owned;
use crate::error::{DeviceError, Result};
use crate::sync::lock;

/// Bytes of a chunk: room for the inputs of many steps.
pub(crate) const CHUNK: u64 = 1 << 20;
/// Where each write begins inside a chunk; wgpu maps ranges at multiples of 8.
const ALIGNMENT: u64 = 16;
/// Most bytes that the pool keeps for reuse.
const POOL_BYTES: u64 = 64 << 20;

/// Writes that wait for the next submission.
#[derive(Default)]
pub(crate) struct Uploads {
    /// Chunks in use, each with the bytes taken; the last one is being filled.
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

    /// Takes in a write of at most a chunk; `create` makes a buffer if no chunk is free.
    pub(crate) fn push(
        &mut self,
        create: impl FnOnce(&wgpu::BufferDescriptor<'_>) -> Result<Owned<wgpu::Buffer>>,
        slice: &Slice,
        bytes: &[u8],
    ) -> Result<()> {
        let room = |(_, taken): &(Owned<wgpu::Buffer>, u64)| CHUNK - taken >= slice.bytes;
        if !self.chunks.last().is_some_and(room) {
            let pooled = lock(&self.free).pop();
            let chunk = match pooled {
                Some(chunk) => chunk,
                None => create(&wgpu::BufferDescriptor {
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

/// Staging buffers ready for reuse, by size (a power of two).
#[derive(Default)]
pub(crate) struct Pool {
    free: HashMap<u64, Vec<Owned<wgpu::Buffer>>>,
    bytes: u64,
}

impl Pool {
    pub(crate) fn take(&mut self, size: u64) -> Option<Owned<wgpu::Buffer>> {
        let buffer = self.free.get_mut(&size)?.pop()?;
        self.bytes -= size;
        Some(buffer)
    }

    pub(crate) fn give(&mut self, buffer: Owned<wgpu::Buffer>) {
        let size = buffer.size();
        if self.bytes + size <= POOL_BYTES {
            self.bytes += size;
            self.free.entry(size).or_default().push(buffer);
        }
    }
}
