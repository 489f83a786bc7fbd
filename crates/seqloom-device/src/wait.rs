//! Waits for the device, never without a limit.
//!
//! wgpu notices completions only while somebody polls. A wait polls in short slices, so it sees the loss of the device
//! or the end of the allowed time within one slice. wgpu panics when the driver reports a loss during a poll; that
//! panic is caught here and becomes [`DeviceError::Lost`]. It also panics, harmlessly, if a poll's slice ends just
//! while another thread's poll collects the work that was waited for: an assertion compares what it read before with
//! what it finds after (gfx-rs/wgpu#9958). So one panic is not yet a loss; several in a row are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::ending::{Owned, Settle, enter, stand_before_new_handlers, this_thread_is_ours};
use crate::error::DeviceError;
use crate::fault::Fault;

/// Longest single poll.
const SLICE: Duration = Duration::from_millis(200);

/// Consecutive polls that may panic before the device counts as lost.
const PANICS: u32 = 3;

/// Polls one device.
#[derive(Clone)]
pub(crate) struct Poller {
    pub raw: Owned<wgpu::Device>,
    pub fault: Arc<Fault>,
    pub limit: Duration,
    /// Polls that have panicked since the last one that did not.
    panics: Arc<AtomicU32>,
}

impl Poller {
    /// Polls `raw`, whose faults `fault` watches; no wait is longer than `limit`.
    pub(crate) fn new(raw: Owned<wgpu::Device>, fault: Arc<Fault>, limit: Duration) -> Self {
        Self { raw, fault, limit, panics: Arc::default() }
    }

    /// Runs the callbacks of whatever is finished; does not wait.
    pub(crate) fn nudge(&self) -> Result<(), DeviceError> {
        self.poll(wgpu::PollType::Poll).map(|_| ())
    }

    /// Waits for a submission, or for all of them. `what` names it in the error.
    ///
    /// # Errors
    /// [`DeviceError::Lost`], [`DeviceError::Timeout`].
    pub(crate) fn wait(&self, index: Option<&wgpu::SubmissionIndex>, what: &str) -> Result<(), DeviceError> {
        self.wait_within(index, what, self.limit)
    }

    /// As [`Poller::wait`], with its own limit.
    pub(crate) fn wait_within(
        &self,
        index: Option<&wgpu::SubmissionIndex>,
        what: &str,
        limit: Duration,
    ) -> Result<(), DeviceError> {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let timeout = Some(left.min(SLICE));
            if self.poll(wgpu::PollType::Wait { submission_index: index.cloned(), timeout })? {
                stand_before_new_handlers();
                return Ok(());
            }
            if left.is_zero() {
                return Err(DeviceError::Timeout { what: what.to_owned(), limit });
            }
        }
    }

    /// Waits until the device is idle, even if it is lost. True if it is idle within `limit`.
    pub(crate) fn settle(&self, limit: Duration) -> bool {
        let (start, mut panics) = (Instant::now(), 0);
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let kind = wgpu::PollType::Wait { submission_index: None, timeout: Some(left.min(SLICE)) };
            let Ok(_inside) = enter() else { return false };
            match catch_unwind(AssertUnwindSafe(|| self.raw.poll(kind))) {
                Ok(Err(wgpu::PollError::Timeout)) if !left.is_zero() => {}
                Ok(Err(wgpu::PollError::Timeout)) => return false,
                Err(_) if panics < PANICS => panics += 1,
                Err(_) => return false,
                Ok(_) => return true,
            }
        }
    }

    /// One poll. True if the awaited work is done.
    fn poll(&self, kind: wgpu::PollType) -> Result<bool, DeviceError> {
        self.fault.check()?;
        let _inside = enter()?;
        let polled = catch_unwind(AssertUnwindSafe(|| self.raw.poll(kind)));
        if polled.is_ok() {
            self.panics.store(0, Ordering::Relaxed);
        }
        let done = match polled {
            Ok(Ok(_)) => true,
            Ok(Err(wgpu::PollError::Timeout)) => false,
            Ok(Err(error)) => {
                // The submission never reached the device; its own error, if any, was returned when it was made.
                self.fault.check()?;
                return Err(DeviceError::validation("wait", error.to_string()));
            }
            Err(_) => {
                if self.panics.fetch_add(1, Ordering::Relaxed) + 1 >= PANICS {
                    self.fault.lose("the driver failed while the device was waited for");
                }
                false
            }
        };
        self.fault.check()?;
        Ok(done)
    }
}

/// A device's queue and its poller: what must come to rest before a driver may be destroyed.
pub(crate) struct Work {
    pub poller: Poller,
    pub queue: Owned<wgpu::Queue>,
}

impl Settle for Work {
    /// Waits until submissions are done, and then until the driver's own threads are. A software adapter reports a
    /// submission as done, and then still frees unused kernels, using the library that compiled them.
    fn settle(&self, limit: Duration) -> bool {
        if !self.poller.settle(limit) {
            return false;
        }
        // Twice, because the first is itself a submission with something to free after it. Neither waits long, because
        // all work is done.
        (0..2).all(|_| catch_unwind(AssertUnwindSafe(|| rest(&self.queue))).unwrap_or(false))
    }
}

/// Waits until the driver has nothing left to do for `queue`. True if that is so.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn rest(queue: &wgpu::Queue) -> bool {
    use wgpu::hal::Queue as _;
    let Ok(_inside) = enter() else { return false };
    // SAFETY: the queue lives, and nothing of it is destroyed here.
    let Some(queue) = (unsafe { queue.as_hal::<wgpu::hal::api::Vulkan>() }) else { return true };
    // SAFETY: as above. Nobody submits: the last handle is being dropped, or the process is ending.
    unsafe { queue.wait_for_idle() }.is_ok()
}

/// Windows ends a process's other threads before anything is taken down, and Apple's systems have no software adapter.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn rest(_: &wgpu::Queue) -> bool {
    true
}

/// Asks the background thread to wake `waker` once submission `index` is done, or will never be.
pub(crate) struct Request {
    pub index: wgpu::SubmissionIndex,
    pub waker: Waker,
}

/// Starts the thread that polls on behalf of futures. It ends when the sender is dropped. `None` if no thread can be
/// started; the caller then waits itself.
pub(crate) fn background(poller: Poller) -> Option<Sender<Request>> {
    let (sender, receiver): (_, Receiver<Request>) = channel();
    let work = move || {
        this_thread_is_ours();
        for request in receiver {
            // The future finds out the outcome itself: when woken it checks its own state and the device's.
            let _ = poller.wait(Some(&request.index), "a readback");
            request.waker.wake();
        }
    };
    std::thread::Builder::new().name("seqloom-poll".to_owned()).spawn(work).ok().map(|_| sender)
}
