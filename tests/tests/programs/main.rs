//! Programs: what is fused, bound and planned, what a program says of itself, what goes from run to run, what adapters,
//! half precision and tuning change, what a caller hears of mistakes, what belongs to whom, views and empty tensors in
//! every place, and threads that share a program.
//!
//! One binary, because linking one takes longer than compiling what a module holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test stops at the first surprise.

mod adapters;
mod carried;
mod determinism;
mod empty;
mod errors;
mod fusion;
mod half;
mod identity;
mod memory;
mod programs;
mod threads;
mod tuning;
mod views;
mod windows;
