//! Results that are written over an operand: where a pass reads an element and writes the one of the same index, and nothing
//! reads the operand later, the two need one memory.
//!
//! A kernel may not bind one buffer both for reading and for writing, so this is decided before code is generated: a
//! pointwise pass takes such an operand as `value`, which is what its output held before, and the gradient of a
//! cross-entropy is a kernel that finds the logits there. What lies in a place of its own (a parameter, an input, a tensor
//! that is read after the run) is never written over, nor does a result that must lie in one take another's memory. Whoever reads
//! a window that is bound in place reads the tensor that it lies in.

use crate::compile::along::read_by;
use crate::compile::fuse::Fused;
use crate::compile::group::{Access, Leaf};
use crate::compile::place::{base, memory, part};
use crate::ir::layout::DType;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;

/// Decides which node takes whose memory, into `fused.over`; operands so taken are no longer leaves of their group.
pub(crate) fn reuse(nodes: &[Node], fused: &mut Fused, roots: &[NodeId]) {
    let last = last_readers(nodes, fused, roots);
    let ends = |operand: NodeId, reader: NodeId| last[operand] == Some(reader) && has_slot(nodes, operand);
    for (id, node) in nodes.iter().enumerate() {
        // Read by nobody within the program: a result that lies in a place of its own.
        if last[id] == Some(nodes.len()) || !fused.in_memory[id] || node.dtype != DType::F32 {
            continue;
        }
        fused.over[id] = match (&node.op, &mut fused.groups[id]) {
            (Op::CrossEntropyGrad { .. }, _) => {
                let alone = |logits| node.inputs[1..].iter().all(|&other| memory(nodes, other) != logits);
                Some(base(nodes, node.inputs[0])).filter(|&logits| ends(logits, id) && alone(logits))
            }
            (op, Some(group)) if op.is_pointwise() && group.value.is_none() => {
                let reads = |leaf: &&Leaf, node| memory(nodes, leaf.node) == node;
                let once = |node: NodeId| group.leaves.iter().filter(|leaf| reads(leaf, node)).count() == 1;
                let found = group.leaves.iter().position(|leaf| {
                    leaf.access == Access::Same
                        && nodes[leaf.node].dtype == DType::F32
                        && ends(leaf.node, id)
                        && once(leaf.node)
                });
                found.map(|at| group.leaves.remove(at).node)
            }
            _ => None,
        };
    }
}

/// The last node whose kernel reads each node's memory; for roots, which are read after the run, the number of nodes.
fn last_readers(nodes: &[Node], fused: &Fused, roots: &[NodeId]) -> Vec<Option<NodeId>> {
    let mut last = vec![None; nodes.len()];
    for (id, node) in nodes.iter().enumerate() {
        let head = fused.heads[id].as_ref().map(|(_, group)| group);
        if let Some(group) = head.or(fused.groups[id].as_ref()) {
            group.leaves.iter().for_each(|leaf| last[memory(nodes, leaf.node)] = Some(id));
            let of_value = group.value.map(|value| read_by(nodes, value, fused)).unwrap_or_default();
            of_value.into_iter().for_each(|input| last[memory(nodes, input)] = Some(id));
        }
        let computed = fused.groups[id].is_none() && fused.in_memory[id] && !fused.absorbed[id];
        if node.op.has_outputs() && !fused.absorbed[id] || computed {
            read_by(nodes, id, fused).into_iter().for_each(|input| last[memory(nodes, input)] = Some(id));
        }
    }
    roots.iter().for_each(|&root| last[memory(nodes, root)] = Some(nodes.len()));
    last
}

/// Whether the node's memory is the program's own to plan.
fn has_slot(nodes: &[Node], id: NodeId) -> bool {
    match nodes[id].op {
        Op::Param(_) | Op::Input(_) | Op::State(_) | Op::Literal(_) => false,
        Op::Window { .. } => part(nodes, id).is_none(),
        Op::Output(_) => !matches!(nodes[nodes[id].inputs[0]].op, Op::Host(_)),
        _ => true,
    }
}
