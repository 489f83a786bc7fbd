//! A recorded operation with its operands.

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
