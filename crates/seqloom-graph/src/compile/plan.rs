//! Slots: which tensors share memory.
//!
//! A tensor is alive from the step that writes it to the last that reads it. Slots are separate buffers, because wgpu
//! tracks whole buffers: a kernel may not read and write one, unless it is bound once, for writing; a step that is written
//! so passes its operand's slot on to its result. Any other tensor takes the smallest free slot that holds it; failing
//! that the largest free one grows, and only with none free a new one is made. The plan is known before anything is
//! allocated. Scratch is a tensor that lives for one step. A window that is bound in place keeps the tensor alive that it
//! lies in.

use crate::compile::place::memory;
use crate::compile::unit::Step;
use crate::ir::nodes::Node;

/// Memory of one program's intermediate tensors.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Bytes of each slot.
    pub slots: Vec<u64>,
    /// Slot of each node that has one.
    pub of_node: Vec<Option<usize>>,
    /// Slots of each step's scratch.
    pub of_scratch: Vec<Vec<usize>>,
}

/// Plans the slots of all nodes that steps write and `placed` does not put elsewhere.
pub(crate) fn plan(nodes: &[Node], steps: &[Step], placed: &[bool]) -> Plan {
    let owners: Vec<_> = (0..nodes.len()).map(|id| memory(nodes, id)).collect();
    let mut last_use = vec![0; nodes.len()];
    for (at, step) in steps.iter().enumerate() {
        for &node in step.ins.iter().chain(&step.leaves).chain(&step.outs).chain(&step.over) {
            last_use[owners[node]] = at;
        }
    }
    let mut plan = Plan { of_node: vec![None; nodes.len()], ..Plan::default() };
    let mut free: Vec<usize> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        for &node in step.outs.iter().filter(|&&node| !placed[node]) {
            let inherited = step.over.and_then(|operand| plan.of_node[operand]);
            let slot = inherited.unwrap_or_else(|| plan.take(&mut free, nodes[node].shape.bytes()));
            plan.of_node[node] = Some(slot);
        }
        let scratch: Vec<_> = step.lowered.scratch.iter().map(|&bytes| plan.take(&mut free, bytes)).collect();
        free.extend(&scratch);
        plan.of_scratch.push(scratch);
        let touched = step.ins.iter().chain(&step.leaves).chain(&step.outs);
        let mut ended: Vec<_> = touched.map(|&node| owners[node]).collect();
        ended.sort_unstable();
        ended.dedup();
        // An operand that is written over leaves its slot to the result.
        free.extend(
            ended
                .into_iter()
                .filter(|&node| last_use[node] == at && Some(node) != step.over)
                .filter_map(|node| plan.of_node[node]),
        );
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
