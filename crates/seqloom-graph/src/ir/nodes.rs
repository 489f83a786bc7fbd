//! Nodes, one recorded operation each, and the frozen list of them that passes read.
//!
//! Most passes ask where a node is and who uses it. `compile/place.rs` answers once, and [`Nodes`] keeps the answers
//! beside the list, which does not change afterwards.

use std::ops::{Index, Range};

use crate::ir::error::Location;
use crate::ir::layout::{DType, Layout};
use crate::ir::op::Op;
use crate::ir::shape::Shape;
use crate::ir::specs::NodeId;

/// One recorded operation.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub op: Op,
    pub inputs: Vec<NodeId>,
    pub shape: Shape,
    pub dtype: DType,
    pub at: Location,
}

impl Node {
    /// Its layout in memory.
    pub fn layout(&self) -> Layout {
        Layout::new(self.shape, self.dtype)
    }
}

/// The nodes of a program with the facts about each, by node number.
#[derive(Debug)]
pub(crate) struct Nodes {
    list: Vec<Node>,
    base: Vec<NodeId>,
    place: Vec<(NodeId, u64)>,
    users: Vec<Vec<NodeId>>,
}

impl Nodes {
    /// Freezes a list. Users are those of [`Nodes::users`].
    pub fn new(
        list: Vec<Node>,
        base: Vec<NodeId>,
        place: Vec<(NodeId, u64)>,
        users: Vec<Vec<NodeId>>,
    ) -> Self {
        Self { list, base, place, users }
    }

    /// Number of nodes. As a user's number it means the reader of roots after the run.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// All nodes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.list.iter().enumerate()
    }

    /// A node, `None` for the reader of roots.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.list.get(id)
    }

    /// The node that a chain of reshapes names.
    pub fn base(&self, id: NodeId) -> NodeId {
        self.base[id]
    }

    /// The node whose memory holds this one's elements: through reshapes, and windows that are bound in place. A buffer
    /// is tracked as a whole, so ask this node who reads a tensor, or how long it is needed.
    pub fn owner(&self, id: NodeId) -> NodeId {
        self.place[id].0
    }

    /// For a window that is bound in place, the node whose memory holds it, and its first byte there.
    pub fn part(&self, id: NodeId) -> Option<(NodeId, u64)> {
        (self.base[id] == id && self.place[id].0 != id).then_some(self.place[id])
    }

    /// Who reads a node, seen through reshapes, in order; what reads roots comes last.
    pub fn users(&self, id: NodeId) -> &[NodeId] {
        &self.users[id]
    }

    /// What a node reads, seen through reshapes.
    pub fn operands(&self, id: NodeId) -> Vec<NodeId> {
        self.list[id].inputs.iter().map(|&input| self.base[input]).collect()
    }

    /// The results of an operation that has several: they follow it directly.
    pub fn outputs(&self, id: NodeId) -> Range<NodeId> {
        let follows = |node: &&Node| matches!(node.op, Op::Output(_)) && node.inputs[0] == id;
        let count = self.list[id + 1..].iter().take_while(follows).count();
        id + 1..id + 1 + count
    }
}

impl Index<NodeId> for Nodes {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        &self.list[id]
    }
}
