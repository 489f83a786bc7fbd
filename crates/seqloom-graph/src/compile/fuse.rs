//! Fusion: which nodes become values inside a kernel instead of tensors in memory.
//!
//! A pointwise node is *inlined* into its only user, or into each of several where it is far larger than what it is
//! computed from; a group is a root that must lie in memory with all that is inlined below it. Every element of a group is
//! computed from operand elements of the same row-major index, so reshapes vanish, and stretched or transposed operands
//! become strided reads. A group may stand alone (the `map` kernel), be the head of a reduction, or be the tail of one matrix
//! product, whose result it then takes as `value` without a trip through memory; where the device's product takes no
//! epilogue, such a group adds a bias and nothing else. It may also be the head of a norm, which then writes the group's
//! result beside its own, or the tail of a norm's gradient: what a residual connection adds; or the tail of an embedding:
//! what positions add. What products take besides, and heads, says [`super::along`].
//!
//! Groups are found by marking nodes that need memory and walking down from each; where a kernel would exceed its
//! bindings or its four strides, one more node is marked and the walk starts again, so it always ends.

use seqloom_device::Facts;

use crate::compile::group::{Access, Group, Leaf, view_access};
use crate::compile::place::base;
use crate::compile::target::{BUFFERS, OF_NORM, bindings, takes_any_tail};
use crate::ir::error::Result;
use crate::ir::nodes::Node;
use crate::ir::op::{Binary, Op};
use crate::ir::specs::NodeId;

/// Strided operands that the kernels' `View` holds.
const MAX_STRIDED: usize = 4;

/// A pointwise node with several users is computed again in each of them, instead of once into memory, where it has at least
/// so many times the elements that it is computed from: sums of all pairs, as in additive attention, whose storage would
/// outweigh all else.
const EXPANSION: usize = 4;

/// Which nodes lie in memory, and the groups of those that are computed pointwise.
#[derive(Debug)]
pub(crate) struct Fused {
    /// By node; reshapes are never, they are names for what they reshape.
    pub in_memory: Vec<bool>,
    /// By node, for roots of groups.
    pub groups: Vec<Option<Group>>,
    /// What some group's kernel computes.
    pub absorbed: Vec<bool>,
    /// By node, for products, the norm that computes their left operand on the way ([`super::along`]).
    pub norms: Vec<Option<NodeId>>,
    /// By node, for norms, the group whose root is their operand, which their kernel computes and writes.
    pub heads: Vec<Option<(NodeId, Group)>>,
    /// By node, the operand whose memory it takes ([`super::reuse`]).
    pub over: Vec<Option<NodeId>>,
}

/// Decides what lies in memory.
pub(crate) fn fuse(nodes: &[Node], users: &[Vec<NodeId>], roots: &[NodeId], facts: &Facts) -> Fused {
    let mut in_memory = starts_in_memory(nodes, users);
    // Where a product takes but a bias, what follows reads the sum.
    for id in 0..nodes.len() {
        in_memory[id] |= biased(nodes, id).is_some_and(|(product, _)| !takes_any_tail(nodes, product, facts));
    }
    for &root in roots {
        in_memory[base(nodes, root)] = true;
    }
    loop {
        let mut walk =
            Walk { nodes, users, in_memory: &in_memory, absorbed: vec![false; nodes.len()], facts };
        match walk.groups() {
            Ok(groups) => {
                let absorbed = walk.absorbed;
                for (id, absorbed) in absorbed.iter().enumerate() {
                    in_memory[id] &= !absorbed;
                }
                let [norms, over] = [vec![None; nodes.len()], vec![None; nodes.len()]];
                let heads = vec![None; nodes.len()];
                return Fused { in_memory, groups, absorbed, norms, heads, over };
            }
            Err(one_more) => in_memory[one_more] = true,
        }
    }
}

/// The product and the bias that this node adds up, if it is a sum of that kind: the bias is stretched along all axes but the
/// last.
fn biased(nodes: &[Node], id: NodeId) -> Option<(NodeId, NodeId)> {
    let Op::Binary(Binary::Add) = nodes[id].op else { return None };
    let [a, b] = [0, 1].map(|operand| base(nodes, nodes[id].inputs[operand]));
    let of = |product: NodeId, bias: NodeId| {
        let columns = nodes[product].shape.last().copied()?;
        let stretched =
            nodes[bias].op == Op::Broadcast && view_access(nodes, bias) == Access::Repeated(columns);
        let is_product = matches!(nodes[product].op, Op::MatMul { .. });
        (is_product && stretched).then(|| (product, base(nodes, nodes[bias].inputs[0])))
    };
    of(a, b).or_else(|| of(b, a))
}

/// Which nodes lie in memory before the walk, by node.
fn starts_in_memory(nodes: &[Node], users: &[Vec<NodeId>]) -> Vec<bool> {
    let mut in_memory = Vec::with_capacity(nodes.len());
    // Elements that computing a node reads, by node.
    let mut reads: Vec<usize> = Vec::with_capacity(nodes.len());
    for (id, node) in nodes.iter().enumerate() {
        let through = |reads: &[usize]| node.inputs.iter().map(|&input| reads[input]).sum();
        let (stored, read) = match &node.op {
            Op::Reshape => (false, through(&reads)),
            // A constant is written into the code of what uses it, stretched or not.
            op if op.is_scalar_source() => (read_whole(nodes, &users[id], true), 0),
            Op::Broadcast | Op::Permute(_) => {
                let source = base(nodes, node.inputs[0]);
                let constant = nodes[source].op.is_scalar_source();
                (read_whole(nodes, &users[id], false), if constant { 0 } else { nodes[source].shape.len() })
            }
            op if op.is_pointwise() => {
                let read = through(&reads);
                let shared = users[id].len() > 1 && read.saturating_mul(EXPANSION) > node.shape.len();
                (shared || read_whole(nodes, &users[id], false), read)
            }
            _ => (true, 0),
        };
        in_memory.push(stored);
        reads.push(if stored { node.shape.len() } else { read });
    }
    in_memory
}

/// Whether some user reads a tensor in memory and not a value in its own kernel. `stretched` tells that stretching does not.
fn read_whole(nodes: &[Node], users: &[NodeId], stretched: bool) -> bool {
    users.iter().any(|user| {
        nodes.get(*user).is_none_or(|u| {
            let inlines = u.op.is_pointwise() || matches!(u.op, Op::Reduce { .. });
            !(inlines || stretched && u.op == Op::Broadcast)
        })
    })
}

struct Walk<'a> {
    nodes: &'a [Node],
    users: &'a [Vec<NodeId>],
    in_memory: &'a [bool],
    absorbed: Vec<bool>,
    facts: &'a Facts,
}

impl Walk<'_> {
    /// All groups, or the node that must lie in memory for them to fit.
    fn groups(&mut self) -> Result<Vec<Option<Group>>, NodeId> {
        let mut groups = vec![None; self.nodes.len()];
        for root in 0..self.nodes.len() {
            if self.in_memory[root] && self.nodes[root].op.is_group_root() {
                groups[root] = Some(self.group(root)?);
            }
        }
        Ok(groups)
    }

    fn group(&mut self, root: NodeId) -> Result<Group, NodeId> {
        let mut group = Group::default();
        match self.nodes[root].op {
            Op::Reduce { .. } => self.visit(root, self.nodes[root].inputs[0], &mut group)?,
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
            self.absorbed[value] = true;
        }
        Ok(group)
    }

    fn visit(&self, root: NodeId, id: NodeId, group: &mut Group) -> Result<(), NodeId> {
        let id = base(self.nodes, id);
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
            Op::LossScale => group.reads_control = true,
            Op::Broadcast | Op::Permute(_) => return self.view(id, group),
            // A value that is used twice is written once.
            _ if group.inlined.contains(&id) => {}
            op => {
                group.reads_control |= matches!(op, Op::Dropout { .. });
                for &input in &node.inputs {
                    self.visit(root, input, group)?;
                }
                if id != root {
                    group.inlined.push(id);
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
        op.takes_tail()
            && fits
            && self.nodes[root].op.is_pointwise()
            && !self.absorbed[id]
            && self.users[id].len() == 1
    }

    fn view(&self, id: NodeId, group: &mut Group) -> Result<(), NodeId> {
        let node = &self.nodes[id];
        let source = base(self.nodes, node.inputs[0]);
        if self.nodes[source].op.is_scalar_source() {
            group.reads_control |= self.nodes[source].op == Op::LossScale;
            return Ok(());
        }
        let leaf = Leaf { node: source, access: view_access(self.nodes, id) };
        let agrees =
            leaf.dims().is_none() || group.leaves.iter().filter_map(Leaf::dims).all(|d| d == node.shape);
        let full = group.leaves.iter().filter(|leaf| leaf.takes_stride()).count() == MAX_STRIDED;
        if !group.leaves.contains(&leaf) && (!agrees || full) {
            return Err(id);
        }
        group.add(leaf);
        Ok(())
    }
}
