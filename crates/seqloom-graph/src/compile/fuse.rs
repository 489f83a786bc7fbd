//! Fusion: which nodes become values inside a kernel instead of tensors in memory.
//!
//! A pointwise node is *inlined* into its only user, or into each of several where it is far larger than what it is
//! computed from; a group is a root that must lie in memory with all that is inlined below it. Every element of a group is
//! computed from operand elements of the same row-major index, so reshapes vanish, and stretched, transposed, sliced or padded operands
//! become strided reads. A group may stand alone (the `map` kernel), be the head of a reduction, or be the tail of one matrix
//! product, whose result it then takes as `value` without a trip through memory; where the device's product takes no
//! epilogue, such a group adds a bias and nothing else. It may also be the head of a norm, which then writes the group's
//! result beside its own, or the tail of a norm's gradient: what a residual connection adds; or the tail of an embedding:
//! what positions add. What products take besides, and heads, says [`super::along`].
//!
//! Groups are found by marking nodes that need memory and walking down from each; where a kernel would exceed its
//! bindings or its places for strides, one more node is marked and the walk starts again, so it always ends.

use seqloom_device::Facts;

use crate::compile::group::{Access, Group, Leaf, Padding, is_number, view_access};
use crate::compile::target::{BUFFERS, OF_NORM, bindings, takes_any_tail};
use crate::compile::unit::{Fate, Kernel, Work};
use crate::ir::error::Result;
use crate::ir::nodes::Nodes;
use crate::ir::op::{Binary, Op};
use crate::ir::roots::Roots;
use crate::ir::specs::NodeId;
use crate::ir::traits::Kind;

/// A pointwise node with several users is computed again in each of them, instead of once into memory, where it has at least
/// so many times the elements that it is computed from: sums of all pairs, as in additive attention, whose storage would
/// outweigh all else.
const EXPANSION: usize = 4;

/// Decides what becomes of each node.
pub(crate) fn fuse(nodes: &Nodes, roots: &Roots, facts: &Facts) -> Vec<Fate> {
    let mut in_memory = starts_in_memory(nodes);
    // Where a product takes but a bias, what follows reads the sum.
    for id in 0..nodes.len() {
        in_memory[id] |= biased(nodes, id).is_some_and(|(product, _)| !takes_any_tail(nodes, product, facts));
    }
    for root in roots.iter() {
        in_memory[nodes.base(root)] = true;
    }
    loop {
        let mut walk = Walk { nodes, in_memory: &in_memory, tail_of: vec![None; nodes.len()], facts };
        match walk.groups() {
            Ok(groups) => {
                let fates = groups.into_iter().enumerate();
                let fate = |(id, group): (NodeId, _)| fate(nodes, id, in_memory[id], group, walk.tail_of[id]);
                return fates.map(fate).collect();
            }
            Err(one_more) => in_memory[one_more] = true,
        }
    }
}

/// What becomes of a node, given whether it lies in memory, the group of which it is the root, or the root of the group that is
/// its tail.
fn fate(nodes: &Nodes, id: NodeId, in_memory: bool, group: Option<Group>, tail: Option<NodeId>) -> Fate {
    match (nodes[id].op.traits().kind, group, tail) {
        _ if nodes.part(id).is_some() => Fate::Alias,
        (Kind::Given | Kind::Host, ..) => Fate::Given,
        (Kind::Alias, ..) => Fate::Alias,
        (_, _, Some(root)) => Fate::Along(root),
        (_, Some(group), None) => Fate::Runs(match group.value {
            Some(value) => Work::Kernel(Box::new(Kernel { tail: Some(group), ..Kernel::of(value) })),
            None => Work::Group(group),
        }),
        (Kind::Output, ..) => match nodes[nodes[id].inputs[0]].op.traits().kind {
            Kind::Host => Fate::Given,
            _ => Fate::Along(nodes[id].inputs[0]),
        },
        // A slice that no code reads by itself.
        (Kind::View, None, None) if in_memory => Fate::Runs(Work::Kernel(Box::new(Kernel::of(id)))),
        (Kind::Kernel, ..) => Fate::Runs(Work::Kernel(Box::new(Kernel::of(id)))),
        (Kind::Scalar | Kind::Pointwise | Kind::View | Kind::Reduce, ..) => Fate::Inline,
    }
}

/// Whether the node's kernel is written from a group. A slice or a padding alone is a copy, which has a kernel of its own.
fn is_group_root(op: &Op) -> bool {
    matches!(op.traits().kind, Kind::Scalar | Kind::Pointwise | Kind::View | Kind::Reduce)
        && !matches!(op, Op::Slice(_) | Op::Window { .. })
}

/// The product and the bias that this node adds up, if it is a sum of that kind: the bias is stretched along all axes but the
/// last.
fn biased(nodes: &Nodes, id: NodeId) -> Option<(NodeId, NodeId)> {
    let Op::Binary(Binary::Add) = nodes[id].op else { return None };
    let [a, b] = [0, 1].map(|operand| nodes.base(nodes[id].inputs[operand]));
    let of = |product: NodeId, bias: NodeId| {
        let columns = nodes[product].shape.last().copied()?;
        let stretched =
            nodes[bias].op == Op::Broadcast && view_access(nodes, bias) == Access::Repeated(columns);
        let is_product = matches!(nodes[product].op, Op::MatMul { .. });
        (is_product && stretched).then(|| (product, nodes.base(nodes[bias].inputs[0])))
    };
    of(a, b).or_else(|| of(b, a))
}

/// Which nodes lie in memory before the walk, by node.
fn starts_in_memory(nodes: &Nodes) -> Vec<bool> {
    let mut in_memory = Vec::with_capacity(nodes.len());
    // Elements that computing a node reads, by node.
    let mut reads: Vec<usize> = Vec::with_capacity(nodes.len());
    for (id, node) in nodes.iter() {
        let through = |reads: &[usize]| node.inputs.iter().map(|&input| reads[input]).sum();
        let (stored, read) = match node.op.traits().kind {
            Kind::Alias => (false, through(&reads)),
            // A constant is written into the code of what uses it, stretched or not.
            Kind::Scalar => (read_whole(nodes, nodes.users(id), true), 0),
            Kind::View => {
                let source = nodes.base(node.inputs[0]);
                let constant = nodes[source].op.traits().kind == Kind::Scalar;
                let most = node.shape.elements().min(nodes[source].shape.elements());
                let window = matches!(node.op, Op::Window { .. });
                // A window that cuts and pads is copied.
                let copied =
                    window && Padding::of(&node.op, &nodes[node.inputs[0]].shape, &node.shape).is_none();
                (
                    copied || nodes.part(id).is_some() || read_whole(nodes, nodes.users(id), false),
                    if constant && !window { 0 } else { most },
                )
            }
            Kind::Pointwise => {
                let read = through(&reads);
                let shared =
                    nodes.users(id).len() > 1 && read.saturating_mul(EXPANSION) > node.shape.elements();
                (shared || read_whole(nodes, nodes.users(id), false), read)
            }
            _ => (true, 0),
        };
        in_memory.push(stored);
        reads.push(if stored { node.shape.elements() } else { read });
    }
    in_memory
}

/// Whether some user reads a tensor in memory and not a value in its own kernel. `stretched` tells that stretching does not.
fn read_whole(nodes: &Nodes, users: &[NodeId], stretched: bool) -> bool {
    users.iter().any(|user| {
        nodes.get(*user).is_none_or(|u| {
            let inlines = matches!(u.op.traits().kind, Kind::Pointwise | Kind::Reduce);
            !(inlines || stretched && u.op == Op::Broadcast)
        })
    })
}

struct Walk<'a> {
    nodes: &'a Nodes,
    in_memory: &'a [bool],
    /// By node, the root of the group that is its tail.
    tail_of: Vec<Option<NodeId>>,
    facts: &'a Facts,
}

impl Walk<'_> {
    /// All groups, or the node that must lie in memory for them to fit.
    fn groups(&mut self) -> Result<Vec<Option<Group>>, NodeId> {
        let mut groups = vec![None; self.nodes.len()];
        for root in 0..self.nodes.len() {
            if self.in_memory[root] && is_group_root(&self.nodes[root].op) {
                groups[root] = Some(self.group(root)?);
            }
        }
        Ok(groups)
    }

    fn group(&mut self, root: NodeId) -> Result<Group, NodeId> {
        let mut group = Group::default();
        match self.nodes[root].op.traits().kind {
            Kind::Reduce => self.visit(root, self.nodes[root].inputs[0], &mut group)?,
            _ => self.visit(root, root, &mut group)?,
        }
        // The kernel's own bindings: a product's operands and result, or a result alone.
        let own = match group.value.map(|value| &self.nodes[value].op) {
            Some(Op::NormGrad { .. }) => OF_NORM,
            Some(Op::MatMul { .. }) => {
                group.value.map_or(0, |product| bindings(self.nodes, product, self.facts))
            }
            Some(_) => 3,
            None => 2,
        };
        if group.leaves.len() + usize::from(group.reads_control) + own > BUFFERS
            && let Some(&split) = group.inlined.first()
        {
            return Err(split);
        }
        if let Some(value) = group.value {
            self.tail_of[value] = Some(root);
        }
        Ok(group)
    }

    fn visit(&self, root: NodeId, id: NodeId, group: &mut Group) -> Result<(), NodeId> {
        let id = self.nodes.base(id);
        let node = &self.nodes[id];
        if id != root && self.in_memory[id] {
            if group.value.is_none() && self.absorbs(root, id) {
                group.value = Some(id);
            } else if group.value != Some(id) {
                group.add(Leaf { node: id, access: Access::Same });
            }
            return Ok(());
        }
        match &node.op {
            Op::Constant(_) => {}
            Op::LossScale | Op::Number(_) => group.reads_control = true,
            op if op.traits().kind == Kind::View => return self.view(id, group),
            // A value that is used twice is written once.
            _ if group.inlined.contains(&id) => {}
            op => {
                group.reads_control |= op.traits().reads_control;
                let views = group.views();
                for &input in &node.inputs {
                    self.visit(root, input, group)?;
                }
                if id != root {
                    group.inlined.push(id);
                    if group.views() >= views + 2 {
                        group.split = Some(id);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the group of `root` can be the tail of this node: its only user, and of the same elements.
    fn absorbs(&self, root: NodeId, id: NodeId) -> bool {
        let op = &self.nodes[id].op;
        let fits = !matches!(op, Op::MatMul { .. })
            || takes_any_tail(self.nodes, id, self.facts)
            || biased(self.nodes, root).is_some_and(|(product, _)| product == id);
        op.traits().takes_tail
            && fits
            && self.nodes[root].op.traits().kind == Kind::Pointwise
            && self.tail_of[id].is_none()
            && self.nodes.users(id).len() == 1
    }

    fn view(&self, id: NodeId, group: &mut Group) -> Result<(), NodeId> {
        let node = &self.nodes[id];
        let source = self.nodes.base(node.inputs[0]);
        if is_number(self.nodes, id) {
            group.reads_control |= self.nodes[source].op.traits().reads_control;
            return Ok(());
        }
        let leaf = Leaf { node: source, access: view_access(self.nodes, id) };
        if group.leaves.contains(&leaf) {
            return Ok(());
        }
        if !group.agrees(&leaf) {
            return Err(id);
        }
        if !group.has_room(&leaf) {
            return Err(group.split.unwrap_or(id));
        }
        group.add(leaf);
        Ok(())
    }
}
