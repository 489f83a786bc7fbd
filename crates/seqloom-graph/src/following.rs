//! Sequences that go on from run to run: where new steps stand, and a tensor that new rows are appended to.
//!
//! How far each row of a batch has come is a number that the host knows, so it is an input; positions and lengths follow from
//! it on the host. A cache of keys and values is a carried state ([`Graph::state`]) of fixed size, appended to and kept: its
//! new rows are then written where the state lies, which costs as much as those rows and not as much as the cache; two
//! caches of one shape, as keys and values have them, take theirs by one dispatch. So is nothing but that input different
//! from step to step, and one program serves all of them.

use crate::fuse::{base, is_group_root, takes_tail};
use crate::graph::Graph;
use crate::ir::layout::DType;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::payload::Derivation;
use crate::ir::shape::Shape;
use crate::ir::specs::{NodeId, StateSpec};
use crate::part::{memory, part};
use crate::tensor::{Tensor, here};

/// T steps of each row that follow those which the row had before: a `Copy` handle, made by [`Graph::following`] or
/// [`Following::of`].
#[derive(Clone, Copy, Debug)]
pub struct Following<'g> {
    first: Tensor<'g>,
    time: usize,
}

impl Graph {
    /// Input of how many steps each row had before \[B\], of which `time` follow. What they are used for says how many there
    /// may be; the host checks it before each run.
    #[track_caller]
    pub fn following(&self, name: &str, batch: usize, time: usize) -> Following<'_> {
        Following { first: self.input(name, &[batch], DType::U32), time }
    }
}

impl<'g> Following<'g> {
    /// `time` steps behind `first` \[B\] of u32, an input or a literal as a whole.
    #[track_caller]
    #[must_use]
    pub fn of(first: Tensor<'g>, time: usize) -> Self {
        let at = here();
        let first = match first.refuse("following", &[(first, DType::U32)], at) {
            Some(poisoned) => poisoned,
            None if first.rank() != 1 => first.shape_error("following", &[], "needs a number a row, [B]", at),
            None => first,
        };
        Self { first, time }
    }

    /// How many steps each row had before, \[B\] of u32: the position of the first new one.
    #[must_use]
    pub fn first(self) -> Tensor<'g> {
        self.first
    }

    /// Positions of the new steps, [B, T] of u32.
    #[must_use]
    pub fn positions(self) -> Tensor<'g> {
        self.derived(0).0
    }

    /// How many steps each row has with the new ones, \[B\] of u32: the lengths of what attention sees.
    #[must_use]
    pub fn ends(self) -> Tensor<'g> {
        self.derived(0).1
    }

    fn derived(self, stride: usize) -> (Tensor<'g>, Tensor<'g>) {
        let (graph, first, time) = (self.first.graph, self.first, self.time);
        let shape = |dims: &[usize]| (Shape::new(dims).unwrap_or_default(), DType::U32);
        let outputs = [shape(&[first.dim(0), time]), shape(&[first.dim(0)])];
        let what = Op::Host(Derivation::Following { time, stride });
        match graph.push_outputs(what, &[first], &outputs, first.node().at)[..] {
            [positions, ends] => (positions, ends),
            // Never: there are as many tensors as shapes.
            _ => (first, first),
        }
    }
}

impl<'g> Tensor<'g> {
    /// The rows of `self` [B, S, ..], of which `rows` [B, T, ..] stand where `following` says: y\[b, f_b + t\] = rows\[b, t\],
    /// y = self elsewhere.
    ///
    /// Where `self` is a carried state that nothing else reads (but operations recorded before, with a kernel of their own), and
    /// the result is what that state keeps ([`Graph::keep`]) and no output, the rows are written into the state; otherwise
    /// the result is a copy. The host checks before each run that no row goes beyond S.
    #[track_caller]
    #[must_use]
    pub fn append(self, rows: Self, following: Following<'g>) -> Self {
        let (at, name) = (here(), "append");
        let operands = [(self, DType::F32), (rows, DType::F32), (following.first, DType::U32)];
        if let Some(poisoned) = self.refuse(name, &operands, at) {
            return poisoned;
        }
        let (cache, new) = (self.shape(), rows.shape());
        let alike = self.rank() >= 2 && rows.rank() == self.rank() && cache.with(1, new[1]) == new;
        if !alike || new[1] > cache[1] || following.first.shape()[..] != cache[..1] {
            let detail = "needs a cache [B, S, ..], rows [B, T, ..] with T up to S, and B numbers of steps";
            return self.shape_error(name, &[rows, following.first], detail, at);
        }
        if following.time != new[1] {
            let detail = format!("{} rows for {} steps", new[1], following.time);
            return self.argument_error(name, detail, at);
        }
        let op = Op::Append { in_place: false };
        self.graph.push(op, &[self, rows, following.first], cache, DType::F32, at)
    }
}

/// Gradients of a cache and of the rows appended to it: what was overwritten had no part in the result.
pub(crate) fn backward<'g>(x: &[Tensor<'g>], dy: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
    let (rows, at) = (x[1].shape(), dy.node().at);
    let (graph, following) = (dy.graph, Following { first: x[2], time: rows[1] });
    let zeros = graph.literal(&rows, vec![0.0; rows.len()]);
    let cache = graph.push(Op::Append { in_place: false }, &[dy, zeros, x[2]], dy.shape(), DType::F32, at);
    // Rows of all sequences one after the other, of which the new ones are picked.
    let (all, new) = (dy.dim(0) * dy.dim(1), rows[0] * rows[1]);
    let places = following.derived(dy.dim(1)).0.reshape(&[new]);
    let channels = dy.shape().len() / all.max(1);
    let picked = dy.reshape(&[all, channels]).gather_rows(places).reshape(&rows);
    vec![Some(cache), Some(picked), None]
}

/// Marks the appending that can write where its state lies: the state keeps the result, the result is nothing else that was
/// asked for, and whatever else reads the state has done so before. The last of `roots` are what the states keep.
pub(crate) fn mark_in_place(nodes: &mut [Node], roots: &[NodeId], states: &[StateSpec]) {
    let kept: Vec<_> = (0..states.len()).filter(|&state| states[state].kept.is_some()).collect();
    let first = roots.len().saturating_sub(kept.len());
    for (state, &root) in kept.into_iter().zip(&roots[first..]) {
        let id = base(nodes, root);
        if !matches!(nodes[id].op, Op::Append { .. }) {
            continue;
        }
        let own = base(nodes, nodes[id].inputs[0]);
        let reads =
            |node: &Node| node.op != Op::Reshape && node.inputs.iter().any(|&i| memory(nodes, i) == own);
        // Kernels run in the order of nodes; one that is written from several runs with the last of them.
        let alone = |at: NodeId| !is_group_root(&nodes[at].op) && !may_have_tail(nodes, at);
        let before = |at: NodeId| at < id && alone(at);
        let free = (0..nodes.len()).filter(|&at| at != id && reads(&nodes[at])).all(before);
        let once = roots.iter().filter(|&&other| base(nodes, other) == id).count() == 1;
        let asked = roots.iter().any(|&other| base(nodes, other) == own);
        let itself = nodes[id].inputs[1..].iter().any(|&input| memory(nodes, input) == own);
        if nodes[own].op == Op::State(state) && free && once && !asked && !itself {
            nodes[id].op = Op::Append { in_place: true };
        }
    }
}

/// By node, for appending in place, the one that is done by the same dispatch: as keys and values are, which go into two caches
/// of one shape at the same places. Nothing runs between the two, and neither reads what the other writes.
pub(crate) fn pairs(nodes: &[Node]) -> Vec<Option<NodeId>> {
    let mut partners = vec![None; nodes.len()];
    let mut open: Option<NodeId> = None;
    for (id, node) in nodes.iter().enumerate() {
        if node.op == (Op::Append { in_place: true }) {
            let first = open.filter(|&first| alike(nodes, first, id));
            if let Some(first) = first {
                (partners[first], partners[id]) = (Some(id), Some(first));
            }
            open = if first.is_some() { None } else { Some(id) };
        } else if !matches!(node.op, Op::Reshape | Op::State(_)) && part(nodes, id).is_none() {
            open = None;
        }
    }
    partners
}

/// Whether both append as many rows at the same places of caches of one shape, and could do it in any order.
fn alike(nodes: &[Node], first: NodeId, second: NodeId) -> bool {
    let [a, b] = [first, second].map(|id| nodes[id].inputs.as_slice());
    let shapes = |inputs: &[NodeId]| [0, 1].map(|operand| nodes[inputs[operand]].shape);
    let reads = |rows: NodeId, append: NodeId| {
        let from = memory(nodes, rows);
        from == append || from == base(nodes, nodes[append].inputs[0])
    };
    shapes(a) == shapes(b)
        && base(nodes, a[2]) == base(nodes, b[2])
        && !reads(a[1], second)
        && !reads(b[1], first)
}

/// Whether the node's kernel may run later than the node stands, with what is computed of it pointwise.
fn may_have_tail(nodes: &[Node], id: NodeId) -> bool {
    let follows =
        |node: &Node| node.op.is_pointwise() && node.inputs.iter().any(|&input| base(nodes, input) == id);
    takes_tail(&nodes[id].op) && nodes.iter().any(follows)
}
