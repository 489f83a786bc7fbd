//! Reads buffers back to the host, as a future.
//!
//! A read is a copy into pooled, mappable staging memory, submitted at once, and a future that is ready when that
//! memory is mapped. [`Readback::wait`] polls the device on the caller's thread. As a future, under any executor, it
//! asks a background thread of the device to poll and wake it, because wgpu finishes nothing unless somebody polls. The
//! first future that is not ready starts that thread, so programs that only block never have it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_channel::oneshot;

use crate::buffer::Slice;
use crate::device::Device;
use crate::ending::{Owned, enter};
use crate::error::{DeviceError, Result};
use crate::sync::lock;
use crate::wait::{Request, background};

/// Smallest staging buffer.
const SMALLEST: u64 = 4096;

/// Bytes on their way from the device: a future of `Result<Vec<u8>, DeviceError>`.
///
/// The contents are those after everything submitted before [`Device::read`]. The copy runs even if this is never
/// polled.
#[must_use = "the bytes arrive only if this is awaited or waited for"]
pub struct Readback {
    device: Device,
    start: Instant,
    state: State,
}

/// How far a readback has come.
enum State {
    /// It failed from the start, or has delivered (then `None`).
    Over(Option<DeviceError>),
    /// On its way.
    Pending(Pending),
}

/// A copy that is being waited for.
struct Pending {
    what: String,
    bytes: u64,
    staging: Owned<wgpu::Buffer>,
    mapped: oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    index: wgpu::SubmissionIndex,
}

impl Readback {
    /// Blocks until the bytes are there.
    ///
    /// # Errors
    /// Those of [`Device::read`].
    pub fn wait(mut self) -> Result<Vec<u8>> {
        if let State::Pending(pending) = &self.state {
            self.device.inner.poller.wait(Some(&pending.index), &pending.what)?;
        }
        loop {
            // The callback runs within a poll: ours, or one that another thread is still in.
            if let Some(outcome) = self.advance(None) {
                return outcome;
            }
            self.device.inner.poller.nudge()?;
            self.in_time()?;
            std::thread::yield_now();
        }
    }

    /// The outcome, if it is there. If not, the waker of a given context is registered.
    fn advance(&mut self, context: Option<&mut Context<'_>>) -> Option<Result<Vec<u8>>> {
        let State::Pending(pending) = &mut self.state else {
            let State::Over(error) = std::mem::replace(&mut self.state, State::Over(None)) else {
                return None;
            };
            let delivered = || DeviceError::validation("read", "the bytes were already delivered");
            return Some(Err(error.unwrap_or_else(delivered)));
        };
        let received = match context {
            Some(context) => match Pin::new(&mut pending.mapped).poll(context) {
                Poll::Pending => None,
                Poll::Ready(received) => Some(received.ok()),
            },
            None => pending.mapped.try_recv().map_or(Some(None), |received| received.map(Some)),
        };
        let fault = self.device.inner.fault();
        if received.is_none() && !fault.is_lost() {
            return None;
        }
        let State::Pending(pending) = std::mem::replace(&mut self.state, State::Over(None)) else {
            return None;
        };
        Some(match received.flatten() {
            Some(Ok(())) => pending.finish(&self.device),
            // A mapping fails when the device is lost; if it is not, the call was wrong.
            _ => fault.check().and_then(|()| {
                Err(DeviceError::validation(pending.what, "the staging memory could not be mapped"))
            }),
        })
    }

    /// Fails when the device's limit has passed since the read began.
    fn in_time(&self) -> Result<()> {
        let limit = self.device.inner.poller.limit;
        let State::Pending(pending) = &self.state else { return Ok(()) };
        if self.start.elapsed() <= limit {
            return Ok(());
        }
        Err(DeviceError::Timeout { what: pending.what.clone(), limit })
    }
}

impl Pending {
    /// Takes the bytes out and gives the staging memory back.
    fn finish(self, device: &Device) -> Result<Vec<u8>> {
        let _inside = enter()?;
        let view = self.staging.get_mapped_range(..self.bytes);
        let view = view.map_err(|error| DeviceError::validation(self.what, error.to_string()))?;
        let bytes = view.to_vec();
        drop(view);
        self.staging.unmap();
        lock(&device.inner.staging).give(self.staging);
        Ok(bytes)
    }
}

impl Future for Readback {
    type Output = Result<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Often the copy is done already, and nobody has polled since.
        if let Err(error) = this.device.inner.poller.nudge() {
            this.state = State::Over(None);
            return Poll::Ready(Err(error));
        }
        if let Some(outcome) = this.advance(Some(context)) {
            return Poll::Ready(outcome);
        }
        if let Err(error) = this.in_time() {
            this.state = State::Over(None);
            return Poll::Ready(Err(error));
        }
        if let State::Pending(pending) = &this.state {
            let inner = &this.device.inner;
            let sender = inner.waker.get_or_init(|| background(inner.poller.clone()));
            let request = Request { index: pending.index.clone(), waker: context.waker().clone() };
            let unsent = match sender {
                Some(sender) => sender.send(request).is_err(),
                None => true,
            };
            if unsent {
                // Without a thread nobody would ever wake this future, so wait here instead.
                let waited = inner.poller.wait(Some(&pending.index), &pending.what);
                context.waker().wake_by_ref();
                if let Err(error) = waited {
                    this.state = State::Over(None);
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Pending
    }
}

impl fmt::Debug for Readback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Pending(pending) => write!(f, "Readback({}, {} bytes)", pending.what, pending.bytes),
            State::Over(error) => write!(f, "Readback(over, {error:?})"),
        }
    }
}

impl Device {
    /// Reads a range as it is after everything written and submitted so far. Does not wait; the result does.
    ///
    /// # Errors
    /// The result is [`DeviceError::Validation`] if the range is outside its buffer or not made of whole words of 4
    /// bytes, [`DeviceError::OutOfMemory`] without memory for staging, [`DeviceError::Timeout`], [`DeviceError::Lost`].
    pub fn read(&self, slice: &Slice) -> Readback {
        self.read_all(std::slice::from_ref(slice))
    }

    /// Reads several ranges, one after the other, as [`Device::read`] reads one, and for about the same cost.
    ///
    /// # Errors
    /// As [`Device::read`].
    pub fn read_all(&self, slices: &[Slice]) -> Readback {
        let what = "read";
        let checked = slices.iter().try_for_each(|slice| slice.check(self.inner.id, what));
        let begun = checked.and_then(|()| {
            let labels: Vec<_> = slices.iter().map(|slice| slice.buffer.label()).collect();
            let sources: Vec<_> = slices.iter().map(|s| (s.buffer.raw(), s.offset, s.bytes)).collect();
            self.begin_read(&sources, format!("{what} {}", labels.join(", ")))
        });
        begun.unwrap_or_else(|error| self.readback(State::Over(Some(error))))
    }

    /// Begins to read ranges of buffers of wgpu: buffer, offset and length of each.
    pub(crate) fn begin_read(&self, sources: &[(&wgpu::Buffer, u64, u64)], what: String) -> Result<Readback> {
        self.flush()?;
        let bytes: u64 = sources.iter().map(|(_, _, bytes)| bytes).sum();
        let size = bytes.max(SMALLEST).next_power_of_two();
        let pooled = lock(&self.inner.staging).take(size);
        let staging = match pooled {
            Some(staging) => staging,
            None => self.create(&wgpu::BufferDescriptor {
                label: Some(&what),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })?,
        };
        let (sender, mapped) = oneshot::channel();
        let index = self.caught(what.clone(), || {
            let mut encoder = self.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut to = 0;
            for &(source, offset, bytes) in sources.iter().filter(|(_, _, bytes)| *bytes > 0) {
                encoder.copy_buffer_to_buffer(source, offset, &staging, to, bytes);
                to += bytes;
            }
            let index = self.inner.queue.submit([encoder.finish()]);
            staging.map_async(wgpu::MapMode::Read, .., move |outcome| {
                // Nobody listens any more if the future was dropped.
                let _ = sender.send(outcome);
            });
            index
        })?;
        Ok(self.readback(State::Pending(Pending { what, bytes, staging, mapped, index })))
    }

    fn readback(&self, state: State) -> Readback {
        Readback { device: self.clone(), start: Instant::now(), state }
    }
}
