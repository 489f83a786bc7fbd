//! Oracles: the meaning of every kernel family, as plain `f64` code on the CPU.
//!
//! One file per family, the formula in the most obvious loops, without blocking, cleverness or a GPU: an oracle is only
//! useful if a reader can see that it is right. They are separate from the kernel tests, so graph tests, gradient
//! checks and benches can use the same code. Slices of the wrong length are a mistake of the calling test, and stop it
//! by the usual index panic.
//!
//! Legend: B batch, T time, C channels, D head width, H heads or hidden, V vocabulary.

pub mod array;
pub mod attention;
pub mod cross_entropy;
pub mod ctc;
pub mod embedding;
pub mod matmul;
pub mod norm;
pub mod operations;
pub mod operations_ctc;
pub mod operations_pointwise;
pub mod operations_reductions;
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
