//! Programs: what is fused, bound and planned, what a program says of itself, what goes from run to run, what adapters,
//! half precision and tuning change, and what a caller hears of mistakes.
//!
//! One binary, because linking one takes longer than compiling what a module holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test stops at the first surprise.

mod adapters;
mod carried;
mod determinism;
mod errors;
mod fusion;
mod half;
mod memory;
mod programs;
mod tuning;
mod windows;
