//! Results that are written over an operand. If a pass reads an element and writes the one of the same index, and
//! nothing reads the operand later, both can share one buffer.
//!
//! A kernel may not bind one buffer for both reading and writing, so this is decided before code is generated. A
//! pointwise pass takes such an operand as `value`, the previous contents of its output. The gradient of a
//! cross-entropy is a kernel that finds the logits in its output. A tensor with a fixed place (a parameter, an input, a
//! tensor that is read after the run) is never written over, and a result with a fixed place takes no other tensor's
//! memory. A reader of a window bound in place counts as a reader of the tensor that holds it.

use crate::compile::group::{Access, Leaf};
use crate::compile::unit::{Schedule, Unit, Work};
use crate::ir::layout::DType;
use crate::ir::nodes::Nodes;
use crate::ir::roots::Roots;
use crate::ir::specs::NodeId;
use crate::ir::traits::Kind;

/// Decides which results take which operands' memory; these operands are no longer leaves of their group. Returns their
/// number.
pub(crate) fn reuse(nodes: &Nodes, schedule: &mut Schedule, roots: &Roots) -> usize {
    let Schedule { units, writer, last_reader } = schedule;
    let mut outlives = vec![false; nodes.len()];
    roots.iter().for_each(|root| outlives[nodes.owner(root)] = true);
    let mut found = 0;
    for (index, unit) in units.iter_mut().enumerate() {
        let [result] = unit.writes[..] else { continue };
        if outlives[result] || !unit.over.is_empty() || nodes[result].dtype != DType::F32 {
            continue;
        }
        // In memory that the program plans itself, and needed by nothing later.
        let ends = |operand: NodeId| {
            nodes.owner(operand) == operand
                && writer[operand].is_some()
                && last_reader[operand] == Some(index)
                && !outlives[operand]
                && nodes[operand].dtype == DType::F32
        };
        if let Some(operand) = taken(nodes, unit, ends) {
            unit.over.push((result, operand));
            found += 1;
        }
    }
    found
}

/// The operand whose memory a unit's result can take; it is read as the result's previous contents.
fn taken(nodes: &Nodes, unit: &mut Unit, ends: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let once = |reads: &[NodeId], node: NodeId| {
        reads.iter().filter(|&&other| nodes.owner(other) == nodes.owner(node)).count() == 1
    };
    match &mut unit.work {
        Work::Group(group) if nodes[unit.at].op.traits().kind == Kind::Pointwise => {
            let fits =
                |leaf: &Leaf| leaf.access == Access::Same && ends(leaf.node) && once(&unit.reads, leaf.node);
            let at = group.leaves.iter().position(fits)?;
            unit.reads.remove(unit.operands + at);
            Some(group.leaves.remove(at).node)
        }
        Work::Kernel(kernel) if kernel.tail.is_none() => {
            let operand = unit.reads[nodes[kernel.of].op.traits().writes_over?];
            (ends(operand) && once(&unit.reads, operand)).then_some(operand)
        }
        _ => None,
    }
}
