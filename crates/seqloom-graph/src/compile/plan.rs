//! The memory plan: which tensors share a slot.
//!
//! A tensor is live from the unit that writes it to the last unit that reads it. Slots are separate buffers, because
//! wgpu tracks whole buffers: a kernel may not read and write one, unless it is bound once, for writing. A unit that
//! writes over an operand passes the operand's slot on to its result. Any other tensor takes the smallest free slot
//! that holds it. If none does, the largest free slot grows, and only if none is free a new one is made. The plan is
//! known before anything is allocated. Scratch is a tensor that lives for one unit. A window bound in place keeps the
//! tensor that holds it alive.

use seqloom_kernels::Lowered;

use crate::compile::unit::Schedule;
use crate::ir::nodes::Nodes;
use crate::ir::roots::Roots;
use crate::ir::specs::NodeId;

/// Memory of one program's intermediate tensors.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Bytes of each slot.
    pub slots: Vec<u64>,
    /// Slot of each node that has one.
    pub of_node: Vec<Option<usize>>,
    /// Slots of each unit's scratch.
    pub of_scratch: Vec<Vec<usize>>,
}

/// Plans the slots of all nodes that units write, except nodes with a fixed place: roots, and results written over a
/// node that has no slot.
pub(crate) fn plan(nodes: &Nodes, schedule: &Schedule, launches: &[Lowered], roots: &Roots) -> Plan {
    let mut placed = vec![false; nodes.len()];
    roots.iter().for_each(|root| placed[nodes.base(root)] = true);
    let mut plan = Plan { of_node: vec![None; nodes.len()], ..Plan::default() };
    let mut free: Vec<usize> = Vec::new();
    for (at, (unit, lowered)) in schedule.units.iter().zip(launches).enumerate() {
        for &node in unit.writes.iter().filter(|&&node| !placed[node]) {
            plan.of_node[node] = match schedule.over(node) {
                Some(operand) => plan.of_node[operand],
                None => Some(plan.take(&mut free, nodes[node].layout().bytes())),
            };
        }
        let scratch: Vec<_> = lowered.scratch.iter().map(|&bytes| plan.take(&mut free, bytes)).collect();
        free.extend(&scratch);
        plan.of_scratch.push(scratch);
        let mut ended: Vec<_> =
            unit.reads.iter().chain(&unit.writes).map(|&node| nodes.owner(node)).collect();
        ended.sort_unstable();
        ended.dedup();
        // An operand that is written over passes its slot to the result.
        let left = |node: NodeId| unit.over.iter().any(|(_, operand)| *operand == node);
        let ended = ended.into_iter().filter(|&node| schedule.last_use(node) == Some(at) && !left(node));
        free.extend(ended.filter_map(|node| plan.of_node[node]));
    }
    plan
}

impl Plan {
    fn take(&mut self, free: &mut Vec<usize>, bytes: u64) -> usize {
        let fits = |&(_, &slot): &(usize, &usize)| self.slots[slot] >= bytes;
        let best = free.iter().enumerate().filter(fits).min_by_key(|(_, slot)| self.slots[**slot]);
        let largest = || free.iter().enumerate().max_by_key(|(_, slot)| self.slots[**slot]);
        match best.or_else(largest).map(|(at, _)| at) {
            Some(at) => {
                let slot = free.swap_remove(at);
                self.slots[slot] = self.slots[slot].max(bytes);
                slot
            }
            None => {
                self.slots.push(bytes);
                self.slots.len() - 1
            }
        }
    }
}
