//! Kernel families: a problem and the device's facts in, launches out.
//!
//! One file per family. Each states its problem as a plain struct, picks a variant by the device's [`Facts`] alone
//! (never by an adapter's name), and returns [`Lowered`]: launches with shader, parameters, grid and cost, their
//! buffers named by role ([`Operand`]). Nothing here but [`tune`] touches a device, so a launch can be made, read and counted
//! on any machine; a `lower_as` beside a family's `lower` forces a variant, for tests, for measuring, and for what [`tune`]
//! has found.
//!
//! Every size is checked here, once: a kernel may assume that its counts fit 32 bits and its grid the device.
//! A problem with an empty result lowers to no launches.
//!
//! Legend: B batch, T time, C channels, D head width, H heads or hidden, V vocabulary.
//!
//! [`Facts`]: seqloom_device::Facts

pub mod attention;
pub mod bench;
pub mod cross_entropy;
pub mod embedding;
mod error;
mod launch;
pub mod matmul;
pub mod norm;
pub mod optimizer;
pub mod pointwise;
pub mod recurrent;
pub mod reduce;
pub mod softmax;
mod sums;
pub mod tune;
pub mod view;

pub use error::KernelError;
pub use launch::{Fusion, Launch, Lowered, MAX_STRIDES, Operand};
pub use seqloom_shaders::{Access, Control, Elem, FusedCode, RATES, REQUIRED_STORAGE_BUFFERS, Width};
