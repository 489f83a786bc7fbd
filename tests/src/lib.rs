//! What the tests of the whole house share: oracles, golden files, comparison, and the way to a device.
//!
//! The tests themselves stand in `tests/`, one subject a file. They need a device unless they say otherwise: a machine
//! without an adapter fails them, because a test that skips itself where it matters proves nothing. One that an adapter cannot run returns by
//! [`skip::skip`], and is not counted as passed.
//!
//! | module | what it holds |
//! |---|---|
//! | [`oracle`] | every kernel family in plain `f64` code |
//! | [`executor`] | runs launches of the kernel families directly, without a graph |
//! | [`golden`] | what PyTorch computed, read from committed files |
//! | [`golden_model`] | a whole model against a golden case |
//! | [`case`] | a function of tensors, recorded, compiled and run with its gradients |
//! | [`layer`] | one direction of a recurrent layer, recorded |
//! | [`mid_graph`] | an operation in the middle of a graph, and the check of its gradient there |
//! | [`stencil`] | directional derivatives of a program's loss by finite differences |
//! | [`compare`] | equality up to a tolerance, naming the tensor and the worst element |
//! | [`device`] | opens the device under test |
//! | [`skip`] | what a test cannot see on this adapter, for `cargo xtask test` to list |

// Support of tests: a wrong expectation here has to stop the test, and a message beats a `Result` that the test would
// only unwrap.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod case;
pub mod compare;
pub mod device;
pub mod executor;
pub mod golden;
pub mod golden_model;
pub mod layer;
pub mod mid_graph;
pub mod oracle;
pub mod skip;
pub mod stencil;
