//! How a model is written down: the tensor handle, and the methods that record operations, by kind.
//!
//! Each method checks its operands and records nodes; none computes. What users call is composed here of the few
//! operations in [`crate::ir::op`].

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod attention_weights;
pub(crate) mod contraction;
pub(crate) mod cross_entropy;
pub(crate) mod ctc;
pub(crate) mod embedding;
pub(crate) mod following;
pub(crate) mod graph;
pub(crate) mod indexing;
pub(crate) mod lengths;
pub(crate) mod movement;
pub(crate) mod norm;
pub(crate) mod optimizer;
pub(crate) mod params;
pub(crate) mod pointwise;
pub(crate) mod recurrent;
pub(crate) mod reduction;
pub(crate) mod softmax;
pub(crate) mod sources;
pub(crate) mod tensor;
pub(crate) mod true_steps;
