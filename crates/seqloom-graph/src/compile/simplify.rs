//! Simplification: constants, neutral operations, sums of nothing, transposes into products, common subexpressions,
//! dead code; those of concatenation are in `simplify/concat.rs`.
//!
//! One pass rebuilds the node list in order and maps each old node to its simplest new equal. A second pass drops what
//! no root needs. Rules keep every bit of an ordinary result: x·1 and x+0 are dropped; x·0 is not, because x may be
//! NaN.

mod concat;

use std::collections::HashMap;

use seqloom_kernels::concat::PARTS;

use crate::compile::simplify::concat::{Pads, part_with, parts, read_in_place, sum_of_pads};
use crate::ir::joined::Joined;
use crate::ir::layout::DType;
use crate::ir::nodes::Node;
use crate::ir::op::{Binary, Op, ReduceOp, Unary};
use crate::ir::payload::Cut;
use crate::ir::roots::Roots;
use crate::ir::shape::Shape;
use crate::ir::specs::NodeId;
use crate::ir::steps::IN_ORDER;
use crate::ir::traits::Kind;

/// The simplified nodes, and each root's place among them.
pub(crate) fn simplify(nodes: &[Node], mut roots: Roots) -> (Vec<Node>, Roots) {
    let mut new = Rebuilt::default();
    let mut readers = vec![0; nodes.len()];
    nodes.iter().flat_map(|node| &node.inputs).for_each(|&input| readers[input] += 1);
    roots.iter().for_each(|root| readers[root] += 1);
    let mut map = Vec::with_capacity(nodes.len());
    for (node, readers) in nodes.iter().zip(readers) {
        let inputs = node.inputs.iter().map(|&id| map[id]).collect();
        let equal = new.add(Node { inputs, ..node.clone() });
        new.readers.resize(new.nodes.len(), 0);
        new.readers[equal] += readers;
        map.push(equal);
    }
    (0..new.nodes.len()).for_each(|id| read_in_place(&mut new.nodes, id));
    roots.iter_mut().for_each(|root| *root = map[*root]);
    drop_dead(new.nodes, roots)
}

#[derive(Default)]
struct Rebuilt {
    nodes: Vec<Node>,
    /// By what a node computes: of the same bits, f32 and u32 are two tensors.
    known: HashMap<(Op, Vec<NodeId>, Shape, DType), NodeId>,
    /// How often recorded nodes and roots read a node; of the last ones it may not be known.
    readers: Vec<usize>,
}

impl Rebuilt {
    fn add(&mut self, mut node: Node) -> NodeId {
        if node.shape.elements() > 0 && self.adds_up_nothing(&node) {
            let bits = if let Op::Window { fill, .. } = node.op { fill } else { 0 };
            return self.all(bits, &node);
        }
        if let Some(pads) = sum_of_pads(&self.nodes, &node) {
            return self.side_by_side(pads, &node);
        }
        if let Some(equal) = self.reduce(&mut node) {
            return equal;
        }
        let key = (node.op.clone(), node.inputs.clone(), node.shape, node.dtype);
        *self.known.entry(key).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    /// Whether all elements of a result are 0, or the number of a window, because what they are made of has none: sums over an
    /// empty axis, padding around
    /// nothing, the gradient of a bias from an empty batch. So no kernel that writes anything reads an empty tensor.
    fn adds_up_nothing(&self, node: &Node) -> bool {
        let empty = |operands: &[NodeId]| operands.iter().any(|&id| self.nodes[id].shape.elements() == 0);
        match node.op {
            Op::MatMul { .. } => empty(&node.inputs),
            Op::Reduce { op: ReduceOp::Sum, .. }
            | Op::Window { .. }
            | Op::GatherGrad
            | Op::PickGrad
            | Op::Rearrange => empty(&node.inputs[..1]),
            // Of queries, keys and values.
            Op::Output(_) => {
                let main = &self.nodes[node.inputs[0]];
                matches!(main.op, Op::Attention(_) | Op::AttentionGrad(..)) && empty(&main.inputs[..3])
            }
            _ => false,
        }
    }

    /// One number, of these bits, in place of this node's elements.
    fn all(&mut self, bits: u32, node: &Node) -> NodeId {
        let number = self.add(Node {
            op: Op::Constant(bits),
            inputs: Vec::new(),
            shape: Shape::scalar(),
            ..node.clone()
        });
        if node.shape == Shape::scalar() {
            return number;
        }
        self.add(Node { op: Op::Broadcast, inputs: vec![number], ..node.clone() })
    }

    /// The concatenation of what the windows of a sum hold, and the sum of that and the rest.
    fn side_by_side(&mut self, Pads { rest, axis, windows }: Pads, sum: &Node) -> NodeId {
        let inputs: Vec<_> = windows.into_iter().map(|window| self.held(window)).collect();
        let shapes = inputs.iter().map(|&part| self.nodes[part].shape);
        let op = Op::Concat(Joined::whole(axis, shapes));
        let joined = self.add(Node { op, inputs, ..sum.clone() });
        match rest {
            None => joined,
            Some(rest) => self.add(Node { inputs: vec![rest, joined], ..sum.clone() }),
        }
    }

    /// What a window takes of its operand.
    fn held(&mut self, window: NodeId) -> NodeId {
        let node = self.nodes[window].clone();
        let Op::Window { axis, start, take, .. } = node.op else { return window };
        let shape = node.shape.with(axis, take);
        self.add(Node { op: Op::Window { axis, start, take, before: 0, fill: 0 }, shape, ..node })
    }

    /// An existing node equal to this one; else the node may have been rewritten.
    fn reduce(&self, node: &mut Node) -> Option<NodeId> {
        match node.op {
            Op::Reshape => {
                let mut from = node.inputs[0];
                if self.nodes[from].op == Op::Reshape {
                    from = self.nodes[from].inputs[0];
                }
                node.inputs[0] = from;
                (self.nodes[from].shape == node.shape).then_some(from)
            }
            Op::Append if self.nodes[node.inputs[1]].shape.elements() == 0 => Some(node.inputs[0]),
            // Zeros in another order, such as an initial state.
            Op::Rearrange => {
                let x = node.inputs[0];
                (self.nodes[x].shape == node.shape && self.is_zero(x)).then_some(x)
            }
            Op::Unary(Unary::Detach) => Some(node.inputs[0]),
            Op::Unary(Unary::Neg) => match self.nodes[node.inputs[0]].op {
                Op::Unary(Unary::Neg) => Some(self.nodes[node.inputs[0]].inputs[0]),
                _ => None,
            },
            Op::Window { .. } => self.window(node),
            Op::Slice(_) => self.slice(node),
            Op::Concat(_) => self.concat(node),
            Op::Binary(function) => self.neutral(function, node),
            Op::MatMul { trans_a, trans_b } => {
                let (a, flip_a) = self.through_transpose(node.inputs[0]);
                let (b, flip_b) = self.through_transpose(node.inputs[1]);
                node.inputs = vec![a, b];
                node.op = Op::MatMul { trans_a: trans_a ^ flip_a, trans_b: trans_b ^ flip_b };
                None
            }
            _ => None,
        }
    }

    /// A window of a window or of a slice, along the same axis, is one window; one that only cuts is a slice.
    fn window(&self, node: &mut Node) -> Option<NodeId> {
        let Op::Window { axis, start, take, before, fill } = node.op else { return None };
        let inner = &self.nodes[node.inputs[0]];
        let first = match inner.op {
            Op::Window { axis: same, start: first, take: taken, before: lead, .. }
                if same == axis && start >= lead && start + take <= lead + taken =>
            {
                Some(first + start - lead)
            }
            Op::Slice(cut) => {
                let from = self.nodes[inner.inputs[0]].shape;
                let along = cut.of_one_axis(axis, from, inner.shape).filter(|(_, step)| *step == 1);
                along.map(|(first, _)| first as usize + start)
            }
            _ => None,
        };
        let start = first.unwrap_or(start);
        if first.is_some() {
            node.inputs = inner.inputs.clone();
        }
        node.op = Op::Window { axis, start, take, before, fill };
        if before == 0 && take == node.shape[axis] {
            // Every element can be counted, so every index can.
            node.op = Op::Slice(Cut::along(axis, u32::try_from(start).ok()?, 1));
            return self.slice(node);
        }
        None
    }

    /// A concatenation of one part is that part; one whose other parts are all the same number is a window; and what it joins may
    /// be the parts of another.
    fn concat(&self, node: &mut Node) -> Option<NodeId> {
        let Op::Concat(joined) = &node.op else { return None };
        let axis = joined.axis;
        let opens = |part: NodeId| {
            let count = node.inputs.len() + self.nodes[part].inputs.len() - 1;
            self.readers.get(part) == Some(&1) || count <= PARTS
        };
        let parts = parts(&self.nodes, joined, &node.inputs, opens);
        if let [only] = parts[..] {
            return Some(only);
        }
        let fill = parts.iter().find_map(|&part| self.number(part));
        let mut others = parts.iter().enumerate().filter(|(_, part)| self.number(**part) != fill);
        let (first, second) = (others.next(), others.next());
        let along = |part: NodeId| self.nodes[part].shape[axis];
        if let (Some(fill), None) = (fill, second) {
            let (at, &held) = first.or(parts.iter().enumerate().next())?;
            let before = parts[..at].iter().map(|&part| along(part)).sum();
            node.op = Op::Window { axis, start: 0, take: along(held), before, fill };
            node.inputs = vec![held];
            return self.window(node);
        }
        node.op = Op::Concat(Joined::whole(axis, parts.iter().map(|&part| self.nodes[part].shape)));
        node.inputs = parts;
        None
    }

    /// A slice of a slice is one slice, and so is one of what a window or a concatenation has put in its place.
    fn slice(&self, node: &mut Node) -> Option<NodeId> {
        let Op::Slice(cut) = node.op else { return None };
        let inner = &self.nodes[node.inputs[0]];
        let whole = match inner.op {
            Op::Slice(first) => cut.after(first),
            Op::Concat(ref joined) => {
                let along = cut.of_one_axis(joined.axis, inner.shape, node.shape);
                let within = along
                    .filter(|(_, step)| *step == 1)
                    .and_then(|(first, _)| part_with(joined, first as usize, node.shape[joined.axis]));
                if let Some((part, first)) = within {
                    node.op = Op::Slice(Cut::along(joined.axis, u32::try_from(first).ok()?, 1));
                    node.inputs = vec![inner.inputs[part]];
                    return self.slice(node);
                }
                None
            }
            Op::Window { axis, start, take, before, .. } => {
                let within = |(first, step): &(u32, i32)| {
                    let first = *first as usize;
                    *step == 1 && first >= before && first + node.shape[axis] <= before + take
                };
                let along = cut.of_one_axis(axis, inner.shape, node.shape).filter(within);
                along
                    .and_then(|(first, _)| u32::try_from(start + first as usize - before).ok())
                    .map(|first| Cut::along(axis, first, 1))
            }
            _ => None,
        };
        if let Some(whole) = whole {
            (node.op, node.inputs) = (Op::Slice(whole), inner.inputs.clone());
        }
        // All of it, in its place.
        let x = node.inputs[0];
        (self.nodes[x].shape == node.shape && node.op == Op::Slice(Cut::WHOLE)).then_some(x)
    }

    /// Value of a constant, stretched or not.
    fn constant(&self, id: NodeId) -> Option<f32> {
        match self.nodes[id].op {
            Op::Constant(bits) => Some(f32::from_bits(bits)),
            Op::Broadcast | Op::Reshape => self.constant(self.nodes[id].inputs[0]),
            _ => None,
        }
    }

    /// Whether all elements are known to be 0: padding of an initial state of zeros, say.
    fn is_zero(&self, id: NodeId) -> bool {
        match &self.nodes[id].op {
            Op::Literal(bits) => bits.iter().all(|&bits| bits == 0),
            Op::Reshape | Op::Broadcast | Op::Permute(_) | Op::Slice(_) | Op::Window { fill: 0, .. } => {
                self.is_zero(self.nodes[id].inputs[0])
            }
            Op::Concat(_) => self.nodes[id].inputs.iter().all(|&part| self.is_zero(part)),
            _ => false,
        }
    }

    /// Bits of the number that all elements are known to be.
    fn number(&self, id: NodeId) -> Option<u32> {
        match &self.nodes[id].op {
            Op::Constant(bits) => Some(*bits),
            Op::Literal(all) => all.first().filter(|first| all.iter().all(|bits| bits == *first)).copied(),
            Op::Reshape | Op::Broadcast | Op::Permute(_) | Op::Slice(_) => {
                self.number(self.nodes[id].inputs[0])
            }
            _ => self.is_zero(id).then_some(0),
        }
    }

    fn neutral(&self, function: Binary, node: &mut Node) -> Option<NodeId> {
        let [a, b] = [node.inputs[0], node.inputs[1]];
        match (function, self.constant(a), self.constant(b)) {
            (_, Some(x), Some(y)) if node.shape == Shape::scalar() => {
                let value = fold(function, x, y)?;
                (node.op, node.inputs) = (Op::Constant(value.to_bits()), Vec::new());
                None
            }
            (Binary::Mul | Binary::Div, _, Some(1.0)) => Some(a),
            (Binary::Mul, Some(1.0), _) => Some(b),
            (Binary::Add | Binary::Sub, ..) if self.is_zero(b) => Some(a),
            (Binary::Add, ..) if self.is_zero(a) => Some(b),
            // −0 is the exact neutral element of addition, +0 of subtraction; x + 0 differs only for x = −0.
            (Binary::Add | Binary::Sub, _, Some(0.0)) => Some(a),
            (Binary::Add, Some(0.0), _) => Some(b),
            _ => None,
        }
    }

    /// The operand of an exchange of the last two axes, and whether there was one.
    fn through_transpose(&self, id: NodeId) -> (NodeId, bool) {
        let node = &self.nodes[id];
        let rank = node.shape.rank();
        let mut exchange = IN_ORDER;
        if rank >= 2 {
            exchange.swap(rank - 1, rank - 2);
        }
        if rank >= 2 && node.op == Op::Permute(exchange) { (node.inputs[0], true) } else { (id, false) }
    }
}

fn fold(function: Binary, a: f32, b: f32) -> Option<f32> {
    Some(match function {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        _ => return None,
    })
}

/// Keeps what the roots need. An operation with several outputs keeps all of them, because its kernel writes them all.
fn drop_dead(nodes: Vec<Node>, mut roots: Roots) -> (Vec<Node>, Roots) {
    let mut live = vec![false; nodes.len()];
    roots.iter().for_each(|root| live[root] = true);
    for id in (0..nodes.len()).rev() {
        if live[id] {
            for &input in &nodes[id].inputs {
                live[input] = true;
            }
        }
    }
    for id in 0..nodes.len() {
        if nodes[id].op.traits().kind == Kind::Output {
            live[id] = live[nodes[id].inputs[0]];
        }
    }
    let mut map = vec![usize::MAX; nodes.len()];
    let mut kept: Vec<Node> = Vec::new();
    for (id, mut node) in nodes.into_iter().enumerate().filter(|(id, _)| live[*id]) {
        for input in &mut node.inputs {
            *input = map[*input];
        }
        map[id] = kept.len();
        kept.push(node);
    }
    roots.iter_mut().for_each(|root| *root = map[*root]);
    (kept, roots)
}

#[cfg(test)]
mod tests {
    use std::panic::Location as Caller;

    use super::*;
    use crate::ir::error::Location;

    fn literal(bits: &[u32], dtype: DType) -> Node {
        let (op, at) = (Op::Literal(bits.into()), Location(Caller::caller()));
        Node { op, inputs: Vec::new(), shape: Shape::new(&[bits.len()]).unwrap(), dtype, at }
    }

    #[test]
    fn literals_of_equal_bits_and_other_types_stay_apart() {
        let nodes =
            [literal(&[0, 7], DType::F32), literal(&[0, 7], DType::U32), literal(&[0, 7], DType::F32)];
        let outputs = (0..3).map(|id| (id.to_string(), id)).collect();
        let (kept, roots) = simplify(&nodes, Roots { outputs, ..Roots::default() });
        assert_eq!(kept.iter().map(|node| node.dtype).collect::<Vec<_>>(), [DType::F32, DType::U32]);
        assert_eq!(roots.iter().collect::<Vec<_>>(), [0, 1, 0]);
    }
}
