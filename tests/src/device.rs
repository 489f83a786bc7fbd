//! Opens the device that tests run on.
//!
//! The environment picks the adapter (`SEQLOOM_ADAPTER`), as for any program. Each test prints its name, so a log says
//! what was tested. There is no way to skip: without an adapter a test fails with the reason.

use std::sync::OnceLock;

use seqloom_device::{AdapterKind, Device, DeviceOptions};

/// A device of the caller's own, for tests that count what it allocates.
///
/// # Panics
/// If no adapter will do, with the device's own error.
#[must_use]
pub fn open() -> Device {
    open_as(None)
}

fn open_as(kind: Option<AdapterKind>) -> Device {
    // No cache on disk: it has its own tests, and would make one test depend on what another left.
    let options = DeviceOptions { no_cache: true, kind, ..DeviceOptions::default() };
    let device = Device::open(options).unwrap_or_else(|error| panic!("these tests need a device: {error}"));
    let facts = device.facts();
    println!("adapter: {} ({}, {})", facts.name, facts.backend, facts.driver);
    device
}

/// The device that the tests of one process share, so that each kernel is compiled once.
///
/// # Panics
/// As [`open`].
#[must_use]
pub fn shared() -> Device {
    static SHARED: OnceLock<Device> = OnceLock::new();
    SHARED.get_or_init(open).clone()
}

/// The shared device again, opened as a discrete GPU: programs on it use the kernels and fusions of GPUs, whatever the
/// adapter is.
///
/// # Panics
/// As [`open`].
#[must_use]
pub fn shared_as_gpu() -> Device {
    static SHARED: OnceLock<Device> = OnceLock::new();
    SHARED.get_or_init(|| open_as(Some(AdapterKind::Discrete))).clone()
}
