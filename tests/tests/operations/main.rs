//! Every operation of a tensor: values against f64 oracles and PyTorch, gradients in the middle of a graph, and
//! properties of dropout and attention as users call them.
//!
//! One binary, because linking one takes longer than compiling its modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test stops at the first surprise.

mod ctc;
mod dropout;
mod fused_attention;
mod golden_convolution;
mod golden_ctc;
mod golden_operations;
mod golden_pointwise;
mod golden_reductions;
mod gradients;
mod gradients_attention;
mod gradients_movement;
mod gradients_pointwise;
mod gradients_recurrent;
mod gradients_reductions;
mod long_sums;
mod not_a_number;
mod oracles;
mod oracles_pointwise;
mod oracles_reductions;
mod pointwise_limits;
mod six_axes;
mod true_steps;
