//! What can be wrong with a problem, found before any device has seen it.
//!
//! A kernel counts in 32 bits (31 in use, so a strided loop may step past its end), and a grid has a limit on every
//! axis. Larger sizes would silently wrap around on the GPU, so they are refused here, with the operation and the
//! numbers.

use seqloom_shaders::AssembleError;
use thiserror::Error;

/// Why a problem has no launch.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A tensor of the problem has more elements than a kernel can number.
    #[error("{op}: {what} {dims:?} is more than the 2147483647 elements that a kernel can number")]
    TooLarge {
        /// The operation.
        op: &'static str,
        /// Which of its tensors or counts.
        what: &'static str,
        /// Its extents.
        dims: Vec<usize>,
    },
    /// More workgroups than the device starts in one dispatch.
    #[error("{op}: {workgroups} workgroups along {axis} are more than the {limit} that the device allows")]
    Grid {
        /// The operation.
        op: &'static str,
        /// Axis of the grid.
        axis: char,
        /// Workgroups wanted.
        workgroups: u64,
        /// The device's limit.
        limit: u64,
    },
    /// The parameters do not fit the device's immediates.
    #[error("{op}: {bytes} bytes of immediates are more than the {limit} that the device allows")]
    Immediates {
        /// The operation.
        op: &'static str,
        /// Bytes wanted.
        bytes: usize,
        /// The device's limit.
        limit: u32,
    },
    /// The kernel and its fused leaves bind more buffers than the device allows.
    #[error("{op}: {buffers} storage buffers are more than the {limit} that the device allows")]
    Buffers {
        /// The operation.
        op: &'static str,
        /// Buffers wanted.
        buffers: usize,
        /// The device's limit.
        limit: u32,
    },
    /// A fusion with more strided views than the parameters can carry.
    #[error("{op}: {given} strided leaves, and a kernel carries at most {limit}")]
    Strides {
        /// The operation.
        op: &'static str,
        /// Views given.
        given: usize,
        /// Views a kernel has room for.
        limit: usize,
    },
    /// A variant was asked for that this device cannot run.
    #[error(
        "{op}: variant `{variant}` needs a subgroup size that is fixed and at least 4, which {adapter} does not have"
    )]
    Subgroups {
        /// The operation.
        op: &'static str,
        /// The variant.
        variant: &'static str,
        /// The adapter.
        adapter: String,
    },
    /// An invocation would need more loop iterations than a CPU adapter reliably runs.
    #[error(
        "{op}: {iterations} loop iterations in one invocation are more than the {limit} of a CPU adapter"
    )]
    Iterations {
        /// The operation.
        op: &'static str,
        /// Iterations wanted.
        iterations: u64,
        /// The limit.
        limit: u32,
    },
    /// Sizes that contradict each other or make no sense for the operation.
    #[error("{op}: {detail}")]
    Problem {
        /// The operation.
        op: &'static str,
        /// What is wrong, with the numbers.
        detail: String,
    },
    /// The shader could not be put together.
    #[error("{op}: {source}")]
    Assemble {
        /// The operation.
        op: &'static str,
        /// What the assembler says.
        source: Box<AssembleError>,
    },
}
