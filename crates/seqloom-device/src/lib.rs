//! The device: adapters, buffers, pipelines, recording, readback, timing and faults, over wgpu.
//!
//! The only crate that names wgpu, and no type of wgpu appears in its public interface, so that a new version of wgpu,
//! or another way to a GPU, changes this crate alone. One file holds one subject. Files that hold what a device is made of
//! know no [`Device`]; those that make and run things with one stand above it:
//!
//! | below | |
//! |---|---|
//! | `adapter`, `probe` | which adapter is used and whether it suffices, as plain data that is tested without any GPU; that data from wgpu |
//! | `buffer`, `staging` | memory; what bytes pass through on the way in and out |
//! | `pipeline`, `dispatch` | compiled kernels; runs of them |
//! | `kept`, `pipeline_cache`, `notes` | files kept for the next run: compiled pipelines, and what tuning found |
//! | `wait` | polling with a limit |
//! | `fault`, `error` | what went wrong |
//! | `ending`, `sync` | the end of objects and of the process; locks and numbers |
//!
//! | above | |
//! |---|---|
//! | `device` | the [`Device`] itself, [`DeviceOptions`], and its end |
//! | `allocate`, `compile` | making buffers and pipelines |
//! | `record` | making dispatches, and their submission |
//! | `upload`, `readback` | the ways of bytes in and out |
//! | `timing` | time per kernel |
//!
//! A step of training is [`Device::write`] for its inputs and one [`Device::submit`] of dispatches prepared earlier.
//! Neither waits for the GPU (unless it is several steps behind), and neither makes a buffer, a pipeline or a bind group.
//!
//! ```no_run
//! # fn main() -> Result<(), seqloom_device::DeviceError> {
//! use seqloom_device::{Device, DeviceOptions};
//! let device = Device::open(DeviceOptions::default())?;
//! let buffer = device.allocate("numbers", 16)?;
//! device.write(&buffer.all(), &[1; 16])?;
//! assert_eq!(device.read(&buffer.all()).wait()?, [1; 16]);
//! # Ok(())
//! # }
//! ```

mod adapter;
mod allocate;
mod buffer;
mod compile;
mod device;
mod dispatch;
mod ending;
mod error;
mod fault;
mod kept;
mod notes;
mod pipeline;
mod pipeline_cache;
mod probe;
mod readback;
mod record;
mod staging;
mod sync;
mod timing;
mod upload;
mod wait;

pub use adapter::{AdapterChoice, AdapterKind, Facts, Subgroups, choose};
pub use buffer::{Buffer, Slice, WeakBuffer};
pub use device::{Counts, Device, DeviceOptions};
pub use dispatch::Dispatch;
pub use error::{DeviceError, Missing, Result};
pub use notes::Tuning;
pub use pipeline::Pipeline;
pub use readback::Readback;
pub use timing::{KernelTime, table, trace_json};
