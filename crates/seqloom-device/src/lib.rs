//! The device: adapters, buffers, pipelines, recording, readback, timing and faults, over wgpu.
//!
//! The only crate that names wgpu, and no type of wgpu appears in its public interface, so that a new version of wgpu,
//! or another way to a GPU, changes this crate alone. One file holds one subject:
//!
//! * `adapter` which adapter is used and whether it suffices: plain data, so that it is tested without any GPU;
//!   `probe` fills that data from wgpu;
//! * `device` the [`Device`] itself and [`DeviceOptions`];
//! * `buffer` memory; `pipeline` compiled kernels, `pipeline_cache` their disk cache; `notes` what tuning found;
//!   `kept` the files of both;
//! * `record` dispatches and their submission; `upload` and `readback` the ways of bytes in and out;
//! * `timing` time per kernel; `wait` polling with a limit; `fault` and `error` what went wrong; `ending` the end of objects and of the process.
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
mod buffer;
mod device;
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
mod timing;
mod upload;
mod wait;

pub use adapter::{AdapterChoice, AdapterKind, Facts, Missing, Subgroups, choose};
pub use buffer::{Buffer, Slice, WeakBuffer};
pub use device::{Counts, Device, DeviceOptions};
pub use error::DeviceError;
pub use notes::Tuning;
pub use pipeline::Pipeline;
pub use readback::Readback;
pub use record::Dispatch;
pub use timing::{KernelTime, table, trace_json};

/// What calls of this crate return.
pub type Result<T> = std::result::Result<T, DeviceError>;
