//! A step whose result is on its way from the device.

use std::sync::Arc;

use seqloom_graph::ReadTensors;
use seqloom_nn::LossListener;

/// A loss on its way from the device, and whether the step was skipped.
pub(super) struct Pending {
    pub step: u64,
    pub tokens: u64,
    pub told: ReadTensors<2>,
    pub listener: Option<Arc<dyn LossListener>>,
}
