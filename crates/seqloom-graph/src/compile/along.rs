//! What runs in another node's kernel: a norm in the products that read it, and a group in the norm that reads it.
//!
//! Both save a launch and a way through memory. They are decided after fusion, because they take whole groups.

use seqloom_device::Facts;
use seqloom_kernels::matmul::row;

use crate::compile::fuse::Fused;
use crate::compile::group::Group;
use crate::compile::place::{base, memory, operands, outputs};
use crate::compile::problem::product_of;
use crate::compile::target::{BUFFERS, OF_NORM};
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;

/// Hands norms to the products that read them, where nothing else does and all of them can take it.
pub(crate) fn take_norms(nodes: &[Node], users: &[Vec<NodeId>], facts: &Facts, fused: &mut Fused) {
    for (norm, _) in nodes.iter().enumerate().filter(|(_, n)| matches!(n.op, Op::Norm { .. })) {
        let [y, mean, rstd] = outputs(nodes, norm)[..] else { continue };
        let takes = |&user: &NodeId| {
            let Some(node) = nodes.get(user).filter(|n| matches!(n.op, Op::MatMul { .. })) else {
                return false;
            };
            let [a, b] = [0, 1].map(|operand| base(nodes, node.inputs[operand]));
            a == y && b != y && row::takes_norm(&product_of(nodes, user), facts)
        };
        let kept = !users[mean].is_empty() || !users[rstd].is_empty();
        // A state may be written in place behind whoever reads it, judged by where they stand; this norm moves.
        let operand = memory(nodes, nodes[norm].inputs[0]);
        let moves = !matches!(nodes[operand].op, Op::State(_));
        if kept || !moves || users[y].is_empty() || !users[y].iter().all(takes) {
            continue;
        }
        users[y].iter().for_each(|&product| fused.norms[product] = Some(norm));
        fused.absorbed[norm] = true;
        [y, mean, rstd].into_iter().for_each(|output| fused.in_memory[output] = false);
    }
}

/// Gives each norm the group that computes its operand, if the norm is the first to read it: whoever reads it too finds it in
/// memory. The tail of a product stays there, since it saves the product's own way through memory.
pub(crate) fn take_heads(nodes: &[Node], users: &[Vec<NodeId>], fused: &mut Fused) {
    for (id, node) in nodes.iter().enumerate().filter(|(_, n)| matches!(n.op, Op::Norm { .. })) {
        let operand = base(nodes, node.inputs[0]);
        if fused.absorbed[id] || !nodes[operand].op.is_pointwise() || users[operand].iter().min() != Some(&id)
        {
            continue;
        }
        let fits = |group: &mut Group| {
            group.value.is_none()
                && group.leaves.len() + usize::from(group.reads_control) + OF_NORM <= BUFFERS
        };
        fused.heads[id] = fused.groups[operand].take_if(fits).map(|group| (operand, group));
    }
}

/// The nodes in memory that a node's kernel reads, leaves aside; of a product that takes a norm along, the norm's operand, B, and
/// then the norm's weight and bias.
pub(crate) fn read_by(nodes: &[Node], id: NodeId, fused: &Fused) -> Vec<NodeId> {
    let mut ins = operands(nodes, id);
    if let Some(norm) = fused.norms[id] {
        let normed = operands(nodes, norm);
        ins[0] = normed[0];
        ins.extend(&normed[1..]);
    }
    ins
}
