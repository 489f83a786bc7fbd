//! Failures of a device: error scopes around calls, the loss of the device, and stray errors.
//!
//! wgpu reports in three ways. Errors of a call go to the scope that surrounds it on the same thread, so the call
//! itself can return them. Errors outside any scope go to a handler that panics by default; ours keeps the first
//! message, and the next call returns it. Only a callback reports the loss of the device, and from then on calls
//! silently do nothing. So every call asks [`Fault::check`] before and after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::ending::{Inside, enter};
use crate::error::DeviceError;
use crate::sync::lock;

/// What is known to be wrong with a device.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    /// Fast answers to the question that every call asks.
    lost: AtomicBool,
    stray: AtomicBool,
    /// Why the device was lost: the first reason counts.
    reason: Mutex<String>,
    /// The first error that no scope caught.
    message: Mutex<String>,
}

impl Fault {
    /// Watches a device: installs the callback for its loss and the handler for stray errors.
    pub(crate) fn watch(device: &wgpu::Device) -> Arc<Self> {
        let fault = Arc::new(Self::default());
        let for_loss = Arc::clone(&fault);
        device.set_device_lost_callback(move |reason, message| {
            for_loss.lose(if message.is_empty() { format!("{reason:?}") } else { message });
        });
        let for_strays = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| for_strays.keep(&error)));
        fault
    }

    /// Marks the device as lost.
    pub(crate) fn lose(&self, reason: impl Into<String>) {
        let mut kept = lock(&self.reason);
        if !self.lost.load(Ordering::Relaxed) {
            *kept = reason.into();
            self.lost.store(true, Ordering::Release);
        }
    }

    /// Keeps the first stray error for the next call.
    fn keep(&self, error: &wgpu::Error) {
        let mut kept = lock(&self.message);
        if !self.stray.load(Ordering::Relaxed) {
            *kept = error.to_string();
            self.stray.store(true, Ordering::Release);
        }
    }

    /// Whether the device is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Fails if the device is lost, or if an earlier call left an error behind (which is then forgotten).
    pub(crate) fn check(&self) -> Result<(), DeviceError> {
        if self.is_lost() {
            return Err(DeviceError::Lost { reason: lock(&self.reason).clone() });
        }
        if self.stray.swap(false, Ordering::AcqRel) {
            let message = std::mem::take(&mut *lock(&self.message));
            return Err(DeviceError::validation("an earlier call", message));
        }
        Ok(())
    }
}

/// Catches the errors of the calls between `open` and `close` on this thread, which are calls of the driver.
///
/// The fields are in the reverse order of opening: scopes must close last-opened first, also when this is dropped.
pub(crate) struct Scope {
    internal: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
    validation: wgpu::ErrorScopeGuard,
    _inside: Inside,
}

impl Scope {
    /// Begins to catch.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the process is ending.
    pub(crate) fn open(device: &wgpu::Device) -> Result<Self, DeviceError> {
        let inside = enter()?;
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        Ok(Self { internal, memory, validation, _inside: inside })
    }

    /// The first error caught; out of memory comes before others. On native back ends the answer is there at once.
    pub(crate) fn close(self) -> Option<wgpu::Error> {
        let internal = pollster::block_on(self.internal.pop());
        let memory = pollster::block_on(self.memory.pop());
        let validation = pollster::block_on(self.validation.pop());
        memory.or(validation).or(internal)
    }
}
