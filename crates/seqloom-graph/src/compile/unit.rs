//! The fate of each node, and the units that run.
//!
//! Fusion gives each node a [`Fate`]. A [`Unit`] is a node that runs, with everything that runs in its kernel and the
//! memory that it touches. The [`Schedule`] is all units in order. A node has memory exactly if it is given or some
//! unit writes it. Later passes need nothing else.

use crate::compile::group::Group;
use crate::ir::specs::NodeId;

/// The fate of a node.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It lies in memory before the first unit runs.
    Given,
    /// It is read in another node's memory: a reshape, or a window in place.
    Alias,
    /// It is computed again in each kernel that needs it.
    Inline,
    /// A unit runs here.
    Runs(Work),
    /// The unit at that node computes it too.
    Along(NodeId),
}

/// What a unit computes.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Only a group: a pass over its elements, or a reduction with the group as its head.
    Group(Group),
    /// The kernel of a node, and what is fused into it.
    Kernel(Box<Kernel>),
}

/// A node's kernel and what is fused into it.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The node whose kernel it is. With a tail, the unit is at the tail's root.
    pub of: NodeId,
    /// The group that takes its result as `value`.
    pub tail: Option<Group>,
    /// For norms: the group that computes the operand, which is the group's root and is written too.
    pub head: Option<(NodeId, Group)>,
    /// For products: the norm that the kernel applies to the left operand.
    pub norm: Option<NodeId>,
    /// A second node of the same kind, done by the same dispatch.
    pub also: Option<NodeId>,
}

impl Kernel {
    /// Only a node's kernel.
    pub(crate) fn of(of: NodeId) -> Self {
        Self { of, tail: None, head: None, norm: None, also: None }
    }
}

impl Work {
    /// The group whose code the kernel is written with.
    pub(crate) fn group(&self) -> Option<&Group> {
        match self {
            Work::Group(group) => Some(group),
            Work::Kernel(kernel) => kernel.tail.as_ref().or(kernel.head.as_ref().map(|(_, group)| group)),
        }
    }
}

/// What runs at a node, and the memory that it touches.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Units run in the order of these.
    pub at: NodeId,
    pub work: Work,
    /// Nodes read: the kernel's operands in its family's order, then the leaves of the group.
    pub reads: Vec<NodeId>,
    /// How many of `reads` are operands.
    pub operands: usize,
    pub reads_control: bool,
    /// Nodes written, in the family's order.
    pub writes: Vec<NodeId>,
    /// Which of those take another node's memory: an operand that nothing reads later, or a state that will hold the
    /// result.
    pub over: Vec<(NodeId, NodeId)>,
}

/// Units in order, and the units that touch each node.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub units: Vec<Unit>,
    /// By node, the unit that writes it.
    pub writer: Vec<Option<usize>>,
    /// By owner of memory ([`crate::ir::nodes::Nodes::owner`]), the last unit that reads it.
    pub last_reader: Vec<Option<usize>>,
}
