//! What an adapter must offer, and what kernels may use at most.

/// Storage buffers in one stage that a device must offer (WebGPU promises 8; adapters in use offer far more).
pub const REQUIRED_STORAGE_BUFFERS: u32 = 12;

/// Bytes of immediates that a device must offer.
pub const REQUIRED_IMMEDIATE_BYTES: u32 = 128;

/// Invocations that a workgroup may have (WebGPU's default limit).
pub const MAX_WORKGROUP_INVOCATIONS: u32 = 256;

/// Bytes of workgroup memory that a kernel may use (WebGPU's default limit).
pub const MAX_WORKGROUP_BYTES: u32 = 16384;

/// Bytes of workgroup memory that a kernel with cooperative matrices may use: adapters that have them have more than others.
pub const COOPERATIVE_WORKGROUP_BYTES: u32 = 32768;
