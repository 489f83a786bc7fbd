//! Compiles with tuning's findings, and first measures what was not found, if the device was opened that way.
//!
//! Such a program is compiled twice, because the first compilation tells which problems it has.

use seqloom_device::{Device, Tuning};
use seqloom_kernels::tune::{Limits, Tuned, trusts_half, tune};

use crate::compile::target::Target;
use crate::compile::{Compiled, compile};
use crate::ir::error::Result;
use crate::ir::recording::Recording;
use crate::ir::roots::Roots;

/// Compiles for a device. `half` allows products in half precision, if the device has them.
///
/// # Errors
/// As [`compile`]; the device's failure while it is measured.
pub(crate) fn compile_tuned(
    device: &Device,
    half: bool,
    recording: &Recording,
    roots: &Roots,
) -> Result<Compiled> {
    let half = half && trusts_half(device)?;
    let by = |tuned: &Tuned| compile(recording, roots, Target { facts: device.facts(), tuned, half });
    let tuned = Tuned::of(device);
    let first = by(&tuned)?;
    let unknown = tuned.unknown();
    if device.tuning() != Tuning::Full || unknown.is_empty() {
        return Ok(first);
    }
    tune(device, &unknown, &Limits::default())?;
    by(&Tuned::of(device))
}
