//! What a graph is: shapes and element types, operations and their payloads, nodes, and what a recording declares.
//!
//! Nothing here records, differentiates or compiles; every other room of the crate builds on this one.

pub(crate) mod error;
pub(crate) mod host_tensor;
pub(crate) mod joined;
pub(crate) mod layout;
pub(crate) mod nodes;
pub(crate) mod op;
pub(crate) mod payload;
pub(crate) mod pointwise;
pub(crate) mod recording;
pub(crate) mod roots;
pub(crate) mod shape;
pub(crate) mod specs;
pub(crate) mod steps;
pub(crate) mod traits;
pub(crate) mod view;
