//! Programs: what is fused, joined, bound and planned, what a program reports about itself, what goes from run to run, what
//! adapters, half precision and tuning change, errors for mistakes, ownership, views and empty tensors in every place,
//! and threads that share a program.
//!
//! One binary, because linking one takes longer than compiling its modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test stops at the first surprise.

mod adapters;
mod carried;
mod concat;
mod determinism;
mod empty;
mod errors;
mod fusion;
mod half;
mod identity;
mod memory;
mod programs;
mod random_views;
mod strided_reads;
mod threads;
mod tuning;
mod views;
mod windows;
