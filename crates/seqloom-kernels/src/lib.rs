//! Kernel families: a problem and the device's facts in, launches out.
//!
//! There is one file per family. Each states its problem as a plain struct, picks a variant only by the device's
//! [`Facts`] (never by an adapter's name), and returns [`Lowered`]: launches with shader, parameters, grid and cost,
//! with buffers named by role ([`Operand`]). Only [`tune`] touches a device, so a launch can be made, read and counted
//! on any machine. A `lower_as` beside a family's `lower` forces a variant, for tests, measurements and [`tune`]'s
//! findings.
//!
//! Every size is checked here, once: a kernel may assume that its counts fit 32 bits and its grid fits the device. A
//! problem with an empty result lowers to no launches.
//!
//! Legend: B batch, T time, C channels, D head width, H heads or hidden, V vocabulary.
//!
//! [`Facts`]: seqloom_device::Facts

pub mod arg;
pub mod attention;
pub mod bench;
pub mod concat;
pub mod cross_entropy;
pub mod ctc;
pub mod embedding;
mod error;
pub mod gather;
mod launch;
pub mod matmul;
pub mod norm;
pub mod optimizer;
pub mod pointwise;
pub mod recurrent;
pub mod reduce;
pub mod scan;
pub mod softmax;
mod sums;
pub mod tune;
pub mod view;

pub use error::KernelError;
pub use launch::{Fusion, Launch, Lowered, MAX_STRIDES, Operand};
pub use seqloom_shaders::{Access, Control, Elem, FusedCode, RATES, REQUIRED_STORAGE_BUFFERS, Width};
