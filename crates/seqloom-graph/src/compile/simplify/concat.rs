//! Rules of concatenation: sums of pads that are one, parts that are none, concatenations in concatenations, and parts that are
//! read where they lie.
//!
//! The gradient of a tensor that is taken apart (by gates, heads, queries beside keys) is recorded as a sum of padded slices, each of
//! the whole size. If their windows lie side by side and cover the axis, the sum is their concatenation, which moves each element
//! once. Zeros are not added to it then, so only a negative zero comes out as another number.

use crate::ir::joined::Joined;
use crate::ir::nodes::Node;
use crate::ir::op::{Binary, Op};
use crate::ir::specs::NodeId;
use crate::ir::steps::Steps;
use crate::ir::traits::Kind;
use crate::ir::view::then;

/// Terms of a sum that lie side by side.
pub(super) struct Pads {
    /// What is added besides.
    pub rest: Option<NodeId>,
    pub axis: usize,
    /// Windows with zeros around them that cover the axis, in order.
    pub windows: Vec<NodeId>,
}

/// A window with zeros around it.
#[derive(Clone, Copy)]
struct Window {
    id: NodeId,
    axis: usize,
    before: usize,
    take: usize,
}

impl Window {
    fn of(nodes: &[Node], id: NodeId) -> Option<Self> {
        match nodes[id].op {
            Op::Window { axis, before, take, fill: 0, .. } => Some(Self { id, axis, before, take }),
            _ => None,
        }
    }

    fn is_beside(&self, other: &Self) -> bool {
        let apart = self.before + self.take <= other.before || other.before + other.take <= self.before;
        self.axis == other.axis && apart
    }
}

/// The windows that this sum adds up, as the last of its terms, if they can stand side by side. Each element is then a term and
/// zeros, so the order of addition does not matter to it.
pub(super) fn sum_of_pads(nodes: &[Node], node: &Node) -> Option<Pads> {
    let mut found: Vec<Window> = Vec::new();
    let mut sum = node;
    loop {
        let (Op::Binary(Binary::Add), &[a, b]) = (&sum.op, &sum.inputs[..]) else { return None };
        let fits = |found: &[Window], id: NodeId| {
            Window::of(nodes, id).filter(|window| found.iter().all(|other| window.is_beside(other)))
        };
        let (window, other) = match (fits(&found, a), fits(&found, b)) {
            (_, Some(window)) => (window, a),
            (Some(window), None) => (window, b),
            (None, None) => return None,
        };
        found.push(window);
        let mut rest = Some(other);
        if !covers(node, &found)
            && let Some(last) = fits(&found, other)
        {
            found.push(last);
            rest = None;
        }
        if covers(node, &found) {
            found.sort_by_key(|window| window.before);
            let windows = found.iter().map(|window| window.id).collect();
            return Some(Pads { rest, axis: window.axis, windows });
        }
        sum = &nodes[rest?];
    }
}

/// Whether windows that lie beside each other are all of the sum's axis.
fn covers(node: &Node, windows: &[Window]) -> bool {
    let taken: usize = windows.iter().map(|window| window.take).sum();
    windows.first().is_some_and(|window| taken == node.shape[window.axis])
}

/// The parts of a concatenation, without empty ones. Those of another one along the same axis stand in its place, if `opens` it.
pub(super) fn parts(
    nodes: &[Node],
    joined: &Joined,
    inputs: &[NodeId],
    opens: impl Fn(NodeId) -> bool,
) -> Vec<NodeId> {
    let mut parts = Vec::with_capacity(inputs.len());
    for &part in inputs.iter().filter(|&&part| nodes[part].shape[joined.axis] > 0) {
        match &nodes[part].op {
            Op::Concat(inner) if inner.axis == joined.axis && opens(part) => {
                parts.extend_from_slice(&nodes[part].inputs);
            }
            _ => parts.push(part),
        }
    }
    parts
}

/// The part in which `len` indices of the axis from `first` on lie, and the first of them there.
pub(super) fn part_with(joined: &Joined, first: usize, len: usize) -> Option<(usize, usize)> {
    let mut begin = 0;
    for (at, part) in joined.parts.iter().enumerate() {
        let end = begin + part.dims[joined.axis];
        if begin <= first && first + len <= end {
            return Some((at, first - begin));
        }
        begin = end;
    }
    None
}

/// Reads parts of a concatenation that are views where their elements lie, if its kernel can.
pub(super) fn read_in_place(nodes: &mut [Node], id: NodeId) {
    let Op::Concat(mut joined) = nodes[id].op.clone() else { return };
    for at in 0..nodes[id].inputs.len() {
        // The part, what it is a view of, and so on; the farthest that the kernel can read takes its place.
        let mut views = vec![nodes[id].inputs[at]];
        while let Some(view) =
            views.last().map(|&view| &nodes[view]).filter(|view| view.op.traits().kind == Kind::View)
        {
            views.push(view.inputs[0]);
        }
        while let Some(source) = views.pop().filter(|_| !views.is_empty()) {
            let whole = Steps::whole(nodes[source].shape);
            let on = |steps: Steps, &view: &NodeId| then(steps, &nodes[view].op, nodes[view].shape);
            let with = views.iter().rev().try_fold(whole, on).map(|steps| joined.with(at, steps));
            if let Some(with) = with.filter(|with| with.problem().is_some()) {
                joined = with;
                nodes[id].inputs[at] = source;
                break;
            }
        }
    }
    nodes[id].op = Op::Concat(joined);
}
