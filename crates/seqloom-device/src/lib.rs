//! The device: adapters, buffers, pipelines, recording, readback, timing and faults, over wgpu.
//!
//! Only this crate names wgpu, and its public interface has no type of wgpu. So a new version of wgpu, or another way
//! to a GPU, changes only this crate. Each file has one subject. Files in the first table know no [`Device`]; those in
//! the second build on them and on it:
//!
//! | below | |
//! |---|---|
//! | `adapter`, `probe` | facts, requirements and choice of an adapter as plain data, testable without a GPU; the facts as wgpu gives them |
//! | `buffer`, `staging` | memory; the staging memory for bytes on their way in and out |
//! | `pipeline`, `dispatch` | compiled kernels; runs of them |
//! | `kept`, `pipeline_cache`, `notes` | files kept for the next run: compiled pipelines, and what tuning found |
//! | `wait` | polling with a limit |
//! | `fault`, `error` | what went wrong |
//! | `ending`, `sync` | the end of objects and of the process; locks and unique numbers |
//!
//! | above | |
//! |---|---|
//! | `device` | the [`Device`] itself, [`DeviceOptions`], and its end |
//! | `allocate`, `compile` | making buffers and pipelines |
//! | `record` | making dispatches and submitting them |
//! | `upload`, `readback` | bytes in and out |
//! | `timing` | time per kernel |
//!
//! A training step is [`Device::write`] for its inputs and one [`Device::submit`] of dispatches prepared earlier.
//! Neither waits for the GPU (unless it is several steps behind), and neither makes a buffer, pipeline or bind group.
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
