//! A step whose result is on its way from the device.

use std::sync::Arc;

use seqloom_graph::ReadTensors;
use seqloom_nn::LossListener;

use crate::error::Result;

/// A loss on its way from the device, and whether the step was skipped.
pub(super) struct Pending {
    pub step: u64,
    pub tokens: u64,
    pub told: Told,
    pub listener: Option<Arc<dyn LossListener>>,
}

/// What the device tells of a step.
pub(super) enum Told {
    /// The loss, and 1 if it was skipped.
    One(ReadTensors<2>),
    /// The loss of each batch with its share of the step; the norm, and 1 if it was skipped.
    Several(Vec<(f64, ReadTensors<1>)>, ReadTensors<2>),
}

impl Told {
    /// Waits for the loss, and whether the step was skipped.
    pub fn wait(self) -> Result<(f32, bool)> {
        let first = |values: &[f32]| values.first().copied().unwrap_or(f32::NAN);
        match self {
            Told::One(told) => {
                let [loss, skipped] = told.wait()?;
                Ok((first(&loss), first(&skipped) != 0.0))
            }
            Told::Several(losses, end) => {
                let mut sum = 0.0;
                for (share, loss) in losses {
                    let [loss] = loss.wait()?;
                    sum += share * f64::from(first(&loss));
                }
                let [_, skipped] = end.wait()?;
                Ok((sum as f32, first(&skipped) != 0.0))
            }
        }
    }
}
