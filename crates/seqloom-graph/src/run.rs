//! From launches to a program on a device: memory, buffers, dispatches, and the host's computations before each run.

pub(crate) mod accumulation;
pub(crate) mod arena;
pub(crate) mod bind;
pub(crate) mod cache;
pub(crate) mod explain;
pub(crate) mod host;
pub(crate) mod kept;
pub(crate) mod memory;
pub(crate) mod program;
pub(crate) mod reading;
pub(crate) mod request;
pub(crate) mod slots;
pub(crate) mod states;
pub(crate) mod store;
pub(crate) mod tuned;
pub(crate) mod update;
pub(crate) mod updates;
