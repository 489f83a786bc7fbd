//! Device memory: buffers and ranges of them.
//!
//! A [`Buffer`] is a counted handle; the memory returns when the last handle goes, dispatches and bind groups that use
//! it included. Slots of a program are separate buffers, not ranges of one: wgpu tracks whole buffers, so one large
//! buffer could not be read and written in the same dispatch, and every write to it would be a barrier for all.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::Result;
use crate::device::{Device, next_id};
use crate::ending::Owned;
use crate::error::DeviceError;
use crate::fault::Scope;

/// Copies and bindings go by 4 bytes.
pub(crate) const WORD: u64 = 4;

/// Bytes of device memory, zero at first. Cheap to clone: clones are the same memory.
#[derive(Clone)]
pub struct Buffer {
    shared: Arc<Shared>,
}

/// A handle that does not keep its memory.
#[derive(Clone)]
pub struct WeakBuffer {
    shared: Weak<Shared>,
}

/// The memory behind the handles.
struct Shared {
    raw: Owned<wgpu::Buffer>,
    label: String,
    bytes: u64,
    id: u64,
    device: u64,
    live: Arc<AtomicU64>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.live.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Buffer {
    /// Size in bytes: what was asked for, rounded up to a multiple of 4.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes
    }

    /// The label it was made with.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.shared.label
    }

    /// The range of `bytes` bytes from `offset` on. Whether it lies inside the buffer is checked where it is used.
    #[must_use]
    pub fn slice(&self, offset: u64, bytes: u64) -> Slice {
        Slice { buffer: self.clone(), offset, bytes }
    }

    /// The whole buffer as a range.
    #[must_use]
    pub fn all(&self) -> Slice {
        self.slice(0, self.bytes())
    }

    /// A handle by which the memory can be found as long as others keep it.
    #[must_use]
    pub fn downgrade(&self) -> WeakBuffer {
        WeakBuffer { shared: Arc::downgrade(&self.shared) }
    }

    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        &self.shared.raw
    }

    pub(crate) fn id(&self) -> u64 {
        self.shared.id
    }

    pub(crate) fn device(&self) -> u64 {
        self.shared.device
    }
}

impl WeakBuffer {
    /// The buffer, unless its memory has returned.
    #[must_use]
    pub fn upgrade(&self) -> Option<Buffer> {
        self.shared.upgrade().map(|shared| Buffer { shared })
    }
}

impl fmt::Debug for WeakBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeakBuffer({:?})", self.upgrade())
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({:?}, {} bytes)", self.shared.label, self.shared.bytes)
    }
}

/// A range of a buffer, in bytes.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The buffer; the range keeps it alive.
    pub buffer: Buffer,
    /// First byte.
    pub offset: u64,
    /// Length.
    pub bytes: u64,
}

impl Slice {
    /// Checks that the range belongs to the device, lies inside its buffer and is made of whole words.
    pub(crate) fn check(&self, device: u64, what: &str) -> Result<()> {
        let fail = |message: String| {
            Err(DeviceError::validation(format!("{what} {}", self.buffer.label()), message))
        };
        let Self { buffer, offset, bytes } = self;
        if buffer.device() != device {
            return fail("the buffer belongs to another device".to_owned());
        }
        if offset.checked_add(*bytes).is_none_or(|end| end > buffer.bytes()) {
            return fail(format!("{bytes} bytes from {offset} on exceed the buffer's {}", buffer.bytes()));
        }
        if !offset.is_multiple_of(WORD) || !bytes.is_multiple_of(WORD) {
            return fail(format!("offset {offset} and length {bytes} must be multiples of {WORD}"));
        }
        Ok(())
    }
}

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
        let live = Arc::clone(&inner.live_bytes);
        let label = label.to_owned();
        Ok(Buffer { shared: Arc::new(Shared { raw, label, bytes, id: next_id(), device: inner.id, live }) })
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
