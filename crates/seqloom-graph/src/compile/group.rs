//! Groups: what is computed pointwise in one kernel, and how it reads what lies in memory.
//!
//! Every element of a group is computed from operand elements of one row-major index, so an operand is read at that index, or
//! at a distance from it, stretched, or through strides. Stretching along outer or inner dimensions only needs no division by
//! every dimension.

use seqloom_kernels::MAX_STRIDES;

use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;
use crate::ir::steps::{Steps, Walk, together};
use crate::ir::traits::Kind;
use crate::ir::view::steps;

/// How a group reads a tensor in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Access {
    /// The element of the same index.
    Same,
    /// The single element of a scalar.
    Scalar,
    /// From the start again every so many elements: stretched along outer dimensions alone.
    Repeated(usize),
    /// Each element for so many of the group's: stretched along inner dimensions alone.
    Held(usize),
    /// The element so many behind that of the same index: a slice that is one piece of the operand.
    Shifted(u32),
    /// The element of the same index less padding, or a number.
    Padded(Padding),
    /// Through strides over the group's dimensions; `offset` tells that it is read from another element than the first.
    Strided { steps: Steps, offset: bool },
}

/// Padding along an axis. What lies behind the axis counts with it: rows of the result hold a row of the operand each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Padding {
    /// Elements of a row.
    pub row: usize,
    /// Elements in front of the operand's own.
    pub before: usize,
    /// Number of its own.
    pub own: usize,
    /// Bits of what stands elsewhere.
    pub fill: u32,
}

impl Padding {
    /// That of a window of all of its operand.
    pub(super) fn of(op: &Op, from: &[usize], to: &[usize]) -> Option<Self> {
        match *op {
            Op::Window { axis, start: 0, take, before, fill } if take == from[axis] => {
                let inner: usize = to[axis + 1..].iter().product();
                Some(Self { row: to[axis] * inner, before: before * inner, own: take * inner, fill })
            }
            _ => None,
        }
    }
}

/// An operand of a group that lies in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    pub node: NodeId,
    pub access: Access,
}

/// A root with everything inlined below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub leaves: Vec<Leaf>,
    /// The matrix product, embedding or gradient of a norm whose result the group takes as `value`.
    pub value: Option<NodeId>,
    /// Whether a value from the control buffer is read.
    pub reads_control: bool,
    pub inlined: Vec<NodeId>,
    /// The last of those that reads two views or more: where the group is cut if it reads more than a kernel holds.
    pub split: Option<NodeId>,
}

impl Leaf {
    /// Whether it takes one of the `View`'s places.
    pub(crate) fn takes_stride(&self) -> bool {
        !matches!(self.access, Access::Same | Access::Scalar | Access::Shifted(_))
    }

    /// The element at which reading begins, of a leaf that says so. A slice that begins at the first element says so too: the
    /// code does not depend on where a slice begins.
    pub(crate) fn offset(&self) -> Option<u32> {
        match self.access {
            Access::Shifted(offset) => Some(offset),
            Access::Strided { steps, offset: true } => Some(steps.offset),
            _ => None,
        }
    }

    /// Its way through memory, where that takes strides.
    pub(crate) fn steps(&self) -> Option<Steps> {
        match self.access {
            Access::Strided { steps, .. } => Some(steps),
            _ => None,
        }
    }
}

impl Group {
    pub(super) fn add(&mut self, leaf: Leaf) {
        if !self.leaves.contains(&leaf) {
            self.leaves.push(leaf);
        }
    }

    /// Leaves that are read otherwise than at the group's own index.
    pub(super) fn views(&self) -> usize {
        self.leaves.iter().filter(|leaf| leaf.takes_stride() || leaf.offset().is_some()).count()
    }

    /// Whether one more leaf finds room: strides take one of the `View`'s places each, and all offsets together one.
    pub(super) fn has_room(&self, more: &Leaf) -> bool {
        let leaves = || self.leaves.iter().chain([more]);
        let strides = leaves().filter(|leaf| leaf.takes_stride()).count();
        let offsets = leaves().filter(|leaf| leaf.offset().is_some()).count();
        offsets <= 4 && strides + usize::from(offsets > 0) <= MAX_STRIDES
    }

    /// Whether one more leaf is read over the same dimensions as the others, and all over no more axes than a kernel counts.
    pub(super) fn agrees(&self, more: &Leaf) -> bool {
        let Some(steps) = more.steps() else { return true };
        let mut all: Vec<Steps> = self.leaves.iter().filter_map(Leaf::steps).collect();
        let same = all.iter().all(|other| other.dims == steps.dims);
        all.push(steps);
        // Alone it can be counted, because `split` has seen to it.
        same && (all.len() == 1 || together(&all).is_some())
    }

    /// How the leaves with strides are read, in their order.
    pub(crate) fn walk(&self) -> Option<Walk> {
        together(&self.leaves.iter().filter_map(Leaf::steps).collect::<Vec<_>>())
    }
}

/// Whether all elements of a view are one number, which is written into the code.
pub(crate) fn is_number(nodes: &Nodes, id: NodeId) -> bool {
    let source = nodes.base(nodes[id].inputs[0]);
    nodes[source].op.traits().kind == Kind::Scalar && !matches!(nodes[id].op, Op::Window { .. })
}

/// How a group reads the operand of a stretched, transposed, sliced or padded node. The two common ways to stretch need no division by
/// every dimension.
pub(crate) fn view_access(nodes: &Nodes, id: NodeId) -> Access {
    let (from, to) = (nodes[nodes[id].inputs[0]].shape, nodes[id].shape);
    if let Some(padding) = Padding::of(&nodes[id].op, &from, &to) {
        return Access::Padded(padding);
    }
    let Some(steps) = steps(&nodes[id].op, from, to) else { return Access::Same };
    let (inner, outer) = (trimmed(&from), &from[..]);
    match nodes[id].op {
        // Never read.
        _ if to.elements() == 0 => Access::Same,
        _ if from.elements() == 1 => Access::Scalar,
        Op::Slice(_) if steps.in_one_piece() => Access::Shifted(steps.offset),
        Op::Slice(_) | Op::Skew { .. } => Access::Strided { steps, offset: true },
        Op::Broadcast if to.ends_with(inner) => Access::Repeated(from.elements()),
        Op::Broadcast if is_prefix(outer, &to) => Access::Held(to.elements() / from.elements()),
        _ => Access::Strided { steps, offset: false },
    }
}

/// Dimensions without leading ones.
fn trimmed(dims: &[usize]) -> &[usize] {
    &dims[dims.iter().take_while(|&&d| d == 1).count()..]
}

/// Whether `from`, of the rank of `to`, agrees with it up to an axis and has size 1 from there on.
fn is_prefix(from: &[usize], to: &[usize]) -> bool {
    let agree = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    from.len() == to.len() && from[agree..].iter().all(|&d| d == 1)
}
