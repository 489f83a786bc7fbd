//! Oracles: what every kernel family means, as plain `f64` code on the CPU.
//!
//! One file per family, the formula written in the most obvious loops, no blocking, no cleverness and no GPU: an
//! oracle is only worth something when a reader can see that it is right. They are kept out of the kernel tests so
//! that graph tests, gradient checks and benches can hold themselves against the same code. Slices of the wrong
//! length are a mistake of the test that calls, and stop it by the usual index panic.
//!
//! Legend: B batch, T time, C channels, D head width, H heads or hidden, V vocabulary.

pub mod array;
pub mod attention;
pub mod cross_entropy;
pub mod embedding;
pub mod matmul;
pub mod norm;
pub mod operations;
pub mod optimizer;
pub mod pointwise;
pub mod recurrent;
pub mod reduce;
pub mod rng;
pub mod softmax;
pub mod view;

/// Widens single precision values, as read from a device, to the oracles' precision.
pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
