//! What the device tests share: an open device, a kernel, and words to bytes.
//!
//! A machine without an adapter fails these tests rather than skipping them: a green run must mean that they ran.

#![allow(dead_code)] // Each test file uses a part.
#![allow(clippy::panic)] // A test fails by panicking.

// Not a crate: those that hold tests of others stand above this one.
#[path = "../../../../tests/src/skip.rs"]
pub mod skip;

use seqloom_device::{Device, DeviceError, DeviceOptions};
use seqloom_shaders::{Access, Wgsl};

/// `out[i] = a[i] + b[i] * scale + shift` for `i < len`; immediates `len: u32, scale: f32, shift: f32`.
const ADD: &str = "
struct Params { len: u32, scale: f32, shift: f32 }
var<immediate> params: Params;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.len { out[id.x] = a[id.x] + b[id.x] * params.scale + params.shift; }
}
";

/// `out[i] = out[i] * 3 + 1 (mod 2^32)`, so that the order and number of runs show; immediates `len: u32`.
const STEP: &str = "
struct Params { len: u32 }
var<immediate> params: Params;
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.len { out[id.x] = out[id.x] * 3u + 1u; }
}
";

/// The add kernel.
pub fn add() -> Wgsl {
    wgsl("add", ADD, &[Access::Read, Access::Read, Access::ReadWrite], 12)
}

/// The step kernel.
pub fn step() -> Wgsl {
    wgsl("step", STEP, &[Access::ReadWrite], 4)
}

/// A kernel from its parts.
pub fn wgsl(label: &str, source: &str, bindings: &[Access], immediate_bytes: u32) -> Wgsl {
    Wgsl {
        kernel: "test",
        label: label.to_owned(),
        source: source.to_owned(),
        bindings: bindings.to_vec(),
        immediate_bytes,
        subgroups: false,
        cooperative: false,
    }
}

/// The device that the environment asks for, or the best; its name is printed.
pub fn open() -> Device {
    open_with(DeviceOptions { no_cache: true, ..DeviceOptions::default() })
}

/// As [`open`], with options.
pub fn open_with(options: DeviceOptions) -> Device {
    match Device::open(options) {
        Ok(device) => {
            println!("adapter: {}", device.facts());
            device
        }
        Err(error) => panic!("these tests need an adapter: {error}"),
    }
}

/// Words of 4 bytes to bytes.
pub fn bytes<T: bytemuck::NoUninit>(words: &[T]) -> &[u8] {
    bytemuck::cast_slice(words)
}

/// Bytes to words of 4 bytes.
pub fn words<T: bytemuck::AnyBitPattern>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()
}

/// Whether an error is the loss of the device.
pub fn is_lost<T>(result: Result<T, DeviceError>) -> bool {
    matches!(result, Err(DeviceError::Lost { .. }))
}
