//! Memory for intermediate tensors, shared by the programs of a store.
//!
//! A slot's contents matter only while its program runs, and the programs of a store run one after the other: a run
//! holds the lock of [`Slots`] until it has submitted, and a device runs submissions in order. So a program uses the
//! slots of existing programs, and allocates only what none of them holds. A training with a hundred batch shapes then
//! needs the memory of its largest few, not of all.
//!
//! The programs own the slots and the store only refers to them; a slot is freed with the last program that uses it.

use seqloom_device::{Buffer, Device, WeakBuffer};

use crate::ir::error::Result;
use crate::ir::layout::bindable;

/// The slots of a store's programs.
#[derive(Debug, Default)]
pub(crate) struct Slots(Vec<WeakBuffer>);

impl Slots {
    /// Buffers of at least `sizes` bytes, all different, in the order of `sizes`. From the largest size down, each
    /// takes the smallest remaining buffer that is large enough, otherwise a new one.
    pub(crate) fn take(&mut self, device: &Device, sizes: &[u64]) -> Result<Vec<Buffer>> {
        let mut left = self.live();
        left.sort_by_key(Buffer::bytes);
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&slot| std::cmp::Reverse(sizes[slot]));
        let mut taken = Vec::with_capacity(sizes.len());
        for slot in order {
            let bytes = bindable(sizes[slot]);
            let smallest = left.partition_point(|buffer| buffer.bytes() < bytes);
            let buffer = if smallest < left.len() {
                left.remove(smallest)
            } else {
                let buffer = device.allocate(&format!("slot {}", self.0.len()), bytes)?;
                self.0.push(buffer.downgrade());
                buffer
            };
            taken.push((slot, buffer));
        }
        taken.sort_by_key(|(slot, _)| *slot);
        Ok(taken.into_iter().map(|(_, buffer)| buffer).collect())
    }

    /// Bytes of all slots that a program holds.
    pub(crate) fn bytes(&mut self) -> u64 {
        self.live().iter().map(Buffer::bytes).sum()
    }

    /// The existing slots; those whose programs are gone are forgotten.
    fn live(&mut self) -> Vec<Buffer> {
        let live: Vec<_> = self.0.iter().filter_map(WeakBuffer::upgrade).collect();
        self.0 = live.iter().map(Buffer::downgrade).collect();
        live
    }
}
