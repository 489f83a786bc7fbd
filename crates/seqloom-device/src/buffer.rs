//! Device memory: buffers and ranges of them.
//!
//! A [`Buffer`] is a reference-counted handle. Its memory is freed when the last handle is dropped; dispatches and bind
//! groups that use it hold handles too. A program's slots are separate buffers, not ranges of one, because wgpu tracks
//! whole buffers: one large buffer could not be read and written in the same dispatch, and every write to it would be a
//! barrier for all.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::ending::Owned;
use crate::error::{DeviceError, Result};
use crate::sync::next_id;

/// Copies and bindings are multiples of 4 bytes.
pub(crate) const WORD: u64 = 4;

/// Bytes of device memory, zero at first. Cheap to clone: clones are the same memory.
#[derive(Clone)]
pub struct Buffer {
    shared: Arc<Shared>,
}

/// A weak handle: it does not keep the memory alive.
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
    /// Memory of the device `device`, already counted in its live bytes.
    pub(crate) fn new(
        raw: Owned<wgpu::Buffer>,
        label: &str,
        bytes: u64,
        device: u64,
        live: Arc<AtomicU64>,
    ) -> Self {
        Self { shared: Arc::new(Shared { raw, label: label.to_owned(), bytes, id: next_id(), device, live }) }
    }

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

    /// A weak handle, usable as long as others keep the memory alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakBuffer {
        WeakBuffer { shared: Arc::downgrade(&self.shared) }
    }

    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        &self.shared.raw
    }

    /// A number that no other buffer of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    pub(crate) fn device(&self) -> u64 {
        self.shared.device
    }
}

impl WeakBuffer {
    /// The buffer, unless its memory was freed.
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
