//! Shared by the tests of all crates: oracles, golden files, comparison, and opening a device.
//!
//! The tests themselves are in `tests/`, one subject per file. They need a device unless they say otherwise, and fail
//! on a machine without an adapter, because a test that skips itself silently proves nothing. A test that an adapter
//! cannot run returns by [`skip::skip`] and is not counted as passed.
//!
//! | module | what it holds |
//! |---|---|
//! | [`oracle`] | every kernel family in plain `f64` code |
//! | [`executor`] | runs launches of the kernel families directly, without a graph |
//! | [`golden`] | PyTorch's results, read from committed files |
//! | [`golden_operation`] | an operation against its golden cases |
//! | [`golden_model`] | a whole model against a golden case |
//! | [`case`] | a function of tensors, recorded, compiled and run with its gradients |
//! | [`layer`] | one direction of a recurrent layer, recorded |
//! | [`mid_graph`] | an operation in the middle of a graph, and the check of its gradient there |
//! | [`stencil`] | directional derivatives of a program's loss by finite differences |
//! | [`compare`] | equality up to a tolerance, naming the tensor and the worst element |
//! | [`device`] | opens the device under test |
//! | [`skip`] | reports what a test cannot check on this adapter, for `cargo xtask test` to list |

// Test support: a wrong expectation here must stop the test, and a message is better than a `Result` that the test
// would only unwrap.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod case;
pub mod compare;
pub mod device;
pub mod executor;
pub mod golden;
pub mod golden_model;
pub mod golden_operation;
pub mod layer;
pub mod mid_graph;
pub mod oracle;
pub mod skip;
pub mod stencil;
