//! A recording: nodes in the order they were written, and what they name. Compiling needs nothing else of a graph.

use std::collections::HashMap;

use super::error::GraphError;
use super::nodes::Node;
use super::specs::{InputSpec, NodeId, ParamId, StateSpec};

/// Nodes in the order they were written, what they read, the first mistake made.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub nodes: Vec<Node>,
    pub inputs: Vec<InputSpec>,
    pub states: Vec<StateSpec>,
    pub params: HashMap<ParamId, NodeId>,
    pub error: Option<GraphError>,
    /// Calls of dropout so far.
    pub streams: u32,
}
