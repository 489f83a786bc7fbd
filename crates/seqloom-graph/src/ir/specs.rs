//! Names in a recording: parameters, nodes, inputs, carried states. Plain data, without the devices that hold them.

use std::ops::RangeInclusive;

use crate::ir::layout::{DType, Layout};
use crate::ir::shape::Shape;

/// Names a parameter of a [`crate::Params`] and of its clones; no other registry knows it, whatever its shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId {
    index: usize,
    /// A number that no other parameter of this process has.
    number: u64,
}

impl ParamId {
    pub(crate) fn new(index: usize, number: u64) -> Self {
        Self { index, number }
    }

    pub(crate) fn number(self) -> u64 {
        self.number
    }

    /// Its position among the registered parameters.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }
}

/// Index of a node; operands always have lower ones.
pub(crate) type NodeId = usize;

/// A tensor that the host writes before each run.
#[derive(Clone, Debug)]
pub(crate) struct InputSpec {
    pub name: String,
    pub shape: Shape,
    pub dtype: DType,
    /// Values allowed in a u32 input, checked on the host.
    pub range: Option<RangeInclusive<u32>>,
}

impl InputSpec {
    /// Its layout in memory.
    pub fn layout(&self) -> Layout {
        Layout::new(self.shape, self.dtype)
    }
}

/// A tensor that stays on the device from run to run.
#[derive(Clone, Debug)]
pub(crate) struct StateSpec {
    pub name: String,
    pub shape: Shape,
    /// The tensor that it holds after the run, if the run changes it.
    pub kept: Option<NodeId>,
}

/// Values that both ranges allow; `None` allows all.
pub(crate) fn intersection(
    a: Option<RangeInclusive<u32>>,
    b: Option<RangeInclusive<u32>>,
) -> Option<RangeInclusive<u32>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(*a.start().max(b.start())..=*a.end().min(b.end())),
        (a, b) => a.or(b),
    }
}
