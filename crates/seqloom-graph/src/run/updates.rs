//! Update counts of parameters, kept on the device.
//!
//! A step that is not finite is skipped on the device, and the host hears of it later, so only the device knows the
//! number of updates at once. It counts them twice: for the whole store, which the learning-rate schedule follows, and
//! for each parameter, which the corrections of its moments follow, as in PyTorch's `state['step']`. A parameter that a
//! loss does not reach is neither updated nor counted.
//!
//! The update runs over many parameters at once. If their counts differ, it must know whose an element is: a table
//! names the parameter of each 256 bytes of the arenas, because parameters begin at multiples of that.

use seqloom_device::{Buffer, Device, Slice};
use seqloom_kernels::optimizer::BLOCK;

use crate::ir::error::Result;
use crate::ir::layout::{DType, bindable};
use crate::run::arena::{Place, Places, room};

/// Updates that a store's parameters have had. Skipped steps are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    /// Steps that were applied.
    pub applied: u32,
    /// For each parameter, in the order of [`crate::ParamStore::specs`]: steps in which it had a gradient. They stop at
    /// 2^24.
    pub of_params: Vec<u32>,
}

/// Blocks of an arena that a parameter of this many bytes takes.
fn blocks(bytes: u64) -> usize {
    DType::F32.count(room(bytes)) / BLOCK
}

/// The counts on the device.
#[derive(Debug)]
pub(crate) struct UpdateCounts {
    /// [1 + P] of u32: of the store, then of each parameter.
    counts: Buffer,
    /// For each chunk of the arenas, the parameter of each block.
    owners: Vec<Buffer>,
}

impl UpdateCounts {
    /// All 0, for parameters at these places.
    pub fn new(device: &Device, places: &Places) -> Result<Self> {
        let counts = device.allocate("counts of updates", DType::U32.bytes(1 + places.of.len()))?;
        let mut owners = Vec::with_capacity(places.chunks.len());
        let order = places.order();
        for (chunk, &bytes) in places.chunks.iter().enumerate() {
            let mut table = Vec::with_capacity(blocks(bytes));
            // Places of a chunk follow one another without a gap between their blocks.
            for &param in &order {
                if let Some((_, _, bytes)) = places.of[param].filter(|(at, ..)| *at == chunk) {
                    let owner = u32::try_from(param).unwrap_or(u32::MAX);
                    table.resize(table.len() + blocks(bytes), owner);
                }
            }
            let buffer = device.allocate("owners of blocks", bindable(DType::U32.bytes(table.len())))?;
            if !table.is_empty() {
                device.write(&buffer.all(), bytemuck::cast_slice(&table))?;
            }
            owners.push(buffer);
        }
        Ok(Self { counts, owners })
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.owners.iter().chain([&self.counts]).map(Buffer::bytes).sum()
    }

    /// [1 + P] of u32.
    pub fn counts(&self) -> Slice {
        self.counts.all()
    }

    /// The owners of the blocks of a place's chunk, and the place's first block.
    pub fn owners(&self, (chunk, offset, _): Place) -> (Slice, usize) {
        (self.owners[chunk].all(), DType::F32.count(offset) / BLOCK)
    }

    pub fn read(&self, device: &Device) -> Result<Updates> {
        let counts: Vec<u32> = bytemuck::pod_collect_to_vec(&device.read(&self.counts()).wait()?);
        let (applied, of_params) = counts.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
        Ok(Updates { applied, of_params: of_params.to_vec() })
    }

    /// `updates` has as many parameters as the store.
    pub fn write(&self, device: &Device, updates: &Updates) -> Result<()> {
        let counts = [&[updates.applied][..], &updates.of_params].concat();
        Ok(device.write(&self.counts(), bytemuck::cast_slice(&counts))?)
    }
}
