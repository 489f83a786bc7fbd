//! Nodes: one recorded operation each, with its operands' numbers, shape, element type and place in the model's code.

use super::error::Location;
use super::layout::DType;
use super::op::Op;
use super::shape::Shape;
use super::specs::NodeId;

/// One recorded operation.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub op: Op,
    pub inputs: Vec<NodeId>,
    pub shape: Shape,
    pub dtype: DType,
    pub at: Location,
}
