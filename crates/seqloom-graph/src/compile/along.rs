//! Fuses a norm into the products that read it, and a group into the norm that reads it.
//!
//! Both save a launch and a pass through memory. They are decided after fusion, because they take whole groups.

use seqloom_device::Facts;

use crate::compile::group::Group;
use crate::compile::target::{BUFFERS, OF_NORM, takes_norm};
use crate::compile::unit::{Fate, Work};
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;
use crate::ir::traits::Kind;

/// Fuses norms into the products that read them, if nothing else does and all of them can take it. Returns the number
/// of norms.
pub(crate) fn take_norms(nodes: &Nodes, facts: &Facts, fates: &mut [Fate]) -> usize {
    let mut taken = 0;
    for (norm, _) in nodes.iter().filter(|(_, node)| node.op.traits().takes_head) {
        let outputs = nodes.outputs(norm);
        let (y, mut statistics) = (outputs.start, outputs.clone().skip(1));
        let takes = |&user: &NodeId| {
            let Some(node) = nodes.get(user).filter(|node| matches!(node.op, Op::MatMul { .. })) else {
                return false;
            };
            let [a, b] = [0, 1].map(|operand| nodes.base(node.inputs[operand]));
            a == y && b != y && takes_norm(nodes, user, facts)
        };
        let kept = statistics.any(|output| !nodes.users(output).is_empty());
        if kept || nodes.users(y).is_empty() || !nodes.users(y).iter().all(takes) {
            continue;
        }
        for &product in nodes.users(y) {
            // If a product has a tail, its unit is at the tail's root.
            let at = if let Fate::Along(root) = fates[product] { root } else { product };
            if let Fate::Runs(Work::Kernel(kernel)) = &mut fates[at] {
                kernel.norm = Some(norm);
            }
        }
        outputs.chain([norm]).for_each(|node| fates[node] = Fate::Inline);
        taken += 1;
    }
    taken
}

/// Gives each norm the group that computes its operand, if the norm is its first reader; other readers find it in
/// memory. The tail of a product stays there, because it saves the product's own pass through memory. Returns the
/// number of heads.
pub(crate) fn take_heads(nodes: &Nodes, fates: &mut [Fate]) -> usize {
    let mut taken = 0;
    for (id, node) in nodes.iter().filter(|(_, node)| node.op.traits().takes_head) {
        let operand = nodes.base(node.inputs[0]);
        let pointwise = nodes[operand].op.traits().kind == Kind::Pointwise;
        let (Fate::Runs(_), true, Some(&first)) = (&fates[id], pointwise, nodes.users(operand).first())
        else {
            continue;
        };
        let fits = |group: &Group| group.leaves.len() + usize::from(group.reads_control) + OF_NORM <= BUFFERS;
        let group = match &fates[operand] {
            Fate::Runs(Work::Group(group)) if first == id && fits(group) => group.clone(),
            _ => continue,
        };
        if let Fate::Runs(Work::Kernel(kernel)) = &mut fates[id] {
            kernel.head = Some((operand, group));
            fates[operand] = Fate::Along(id);
            taken += 1;
        }
    }
    taken
}
