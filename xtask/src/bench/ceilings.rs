//! The device's ceilings, measured before anything else, and the control that tells whether the machine was steady.
//!
//! Shares of the roofline refer to these figures, not to a data sheet's. The kernels are Seqloom's own, through the
//! same driver as all others, so a kernel that rereads cached data can move more than the triad does. The minimum time
//! of the whole run counts, because a ceiling is what was reached once. Both kernels run again between cases, and the
//! arithmetic kernel's times are the control.

use std::time::Instant;

use seqloom_device::{Buffer, Device, Dispatch, Slice};
use seqloom_kernels::{Lowered, Operand, bench};

use super::stats::{least, median, quantile};
use crate::error::Result;

/// Elements of each of the triad's arrays: 64 MiB, more than caches hold.
const TRIAD: usize = 16 << 20;
/// Workgroups of the arithmetic kernel: enough to fill a large GPU, and to keep all cores of a CPU busy to the end.
const WORKGROUPS: [u32; 2] = [1024, 256];
/// A probe is repeated until it takes this long, so that submitting it does not count.
const LEAST_SECONDS: f64 = 0.02;
const MOST_REPEATS: usize = 256;
/// Measurements of each ceiling before the first case.
const TURNS: usize = 7;
/// Variation of the control, as a part of its median, above which a reader is warned.
const STEADY: f64 = 0.05;

/// The ceilings, in operations and bytes per second.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Ceilings {
    /// Floating-point operations per second; a fused multiply-add counts as two.
    pub flops: f64,
    /// Bytes per second.
    pub bytes: f64,
}

/// One kind of work, submitted several times at once.
struct Probe {
    dispatches: Vec<Dispatch>,
    /// Work of all of them.
    flops: u64,
    bytes: u64,
}

impl Probe {
    fn new(device: &Device, lowered: &Lowered, buffers: impl Fn(Operand) -> Slice) -> Result<Self> {
        let mut probe = Self { dispatches: Vec::new(), flops: 0, bytes: 0 };
        for launch in &lowered.launches {
            let bindings: Vec<_> = launch.bindings.iter().map(|operand| buffers(*operand)).collect();
            let pipeline = device.pipeline(&launch.wgsl)?;
            probe.dispatches.push(device.dispatch(
                &pipeline,
                &launch.label,
                &bindings,
                &launch.immediates,
                launch.grid,
            )?);
            probe.flops += launch.flops;
            probe.bytes += launch.bytes;
        }
        // Compiles, and touches the memory.
        probe.seconds(device)?;
        while probe.seconds(device)? < LEAST_SECONDS && probe.dispatches.len() < MOST_REPEATS {
            probe.dispatches.extend_from_within(..);
            (probe.flops, probe.bytes) = (2 * probe.flops, 2 * probe.bytes);
        }
        Ok(probe)
    }

    /// Its duration, from the host's call until the device is done.
    fn seconds(&self, device: &Device) -> Result<f64> {
        device.wait()?;
        let begin = Instant::now();
        device.submit(&self.dispatches)?;
        device.wait()?;
        Ok(begin.elapsed().as_secs_f64())
    }
}

/// Both kernels, to be run between cases.
pub struct Control {
    device: Device,
    arithmetic: Probe,
    triad: Probe,
    ceilings: Ceilings,
    millis: Vec<f64>,
}

impl Control {
    /// Measures the ceilings of a device.
    ///
    /// # Errors
    /// The device's.
    pub fn measure(device: &Device) -> Result<Self> {
        let facts = device.facts();
        let workgroups = WORKGROUPS[usize::from(facts.is_cpu())];
        let bytes = u64::from(workgroups) * u64::from(bench::workgroup(facts)) * 4;
        let out = device.allocate("ceiling", bytes)?;
        let arithmetic = Probe::new(device, &bench::arithmetic(workgroups, facts)?, |_| out.all())?;
        let triad = triad(device)?;
        let mut control = Self {
            device: device.clone(),
            arithmetic,
            triad,
            ceilings: Ceilings { flops: 0.0, bytes: 0.0 },
            millis: Vec::new(),
        };
        for _ in 0..TURNS {
            control.run()?;
        }
        control.millis.clear();
        Ok(control)
    }

    /// The best so far.
    pub fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    /// Runs both once more and returns the arithmetic's milliseconds.
    ///
    /// # Errors
    /// The device's.
    pub fn run(&mut self) -> Result<f64> {
        let arithmetic = self.arithmetic.seconds(&self.device)?;
        let triad = self.triad.seconds(&self.device)?;
        self.ceilings.flops = self.ceilings.flops.max(self.arithmetic.flops as f64 / arithmetic);
        self.ceilings.bytes = self.ceilings.bytes.max(self.triad.bytes as f64 / triad);
        self.millis.push(arithmetic * 1e3);
        Ok(arithmetic * 1e3)
    }

    /// What its times say about the machine; `None` before there are any.
    pub fn verdict(&self) -> Option<String> {
        verdict(&self.millis)
    }
}

fn verdict(millis: &[f64]) -> Option<String> {
    if millis.is_empty() {
        return None;
    }
    let (middle, low, high) = (median(millis), quantile(millis, 0.25), quantile(millis, 0.75));
    let spread = (high - low) / middle;
    // A constant load does not show here, only in the control's time compared with other runs.
    let what = if spread > STEADY { "unsteady: trust ratios, not times" } else { "steady" };
    Some(format!(
        "control {middle:.1} ms (quartiles {low:.1} to {high:.1}, least {:.1}, {} runs): the machine was {what}",
        least(millis),
        millis.len()
    ))
}

/// The triad over its own three arrays.
fn triad(device: &Device) -> Result<Probe> {
    let facts = device.facts();
    let limit = facts.max_binding_bytes.min(facts.max_buffer_bytes) / 4;
    let len = TRIAD.min(usize::try_from(limit).unwrap_or(TRIAD));
    let names = ["triad a", "triad b", "triad out"];
    let buffers: Vec<Buffer> = names
        .iter()
        .map(|name| device.allocate(name, 4 * len as u64))
        .collect::<std::result::Result<_, _>>()?;
    Probe::new(device, &bench::triad(len, facts)?, |operand| match operand {
        Operand::In(at) => buffers[at.min(1)].all(),
        _ => buffers[2].all(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ceilings_are_reached_and_only_rise() {
        let device = Device::open(seqloom_device::DeviceOptions::default()).unwrap();
        let mut control = Control::measure(&device).unwrap();
        let first = control.ceilings();
        assert!(first.flops > 0.0 && first.bytes > 0.0 && control.verdict().is_none());
        assert!(control.run().unwrap() > 0.0 && control.verdict().is_some());
        let second = control.ceilings();
        assert!(second.flops >= first.flops && second.bytes >= first.bytes);
    }

    #[test]
    fn a_control_that_varies_is_told() {
        assert!(verdict(&[]).is_none());
        assert!(verdict(&[10.0, 10.1, 10.2, 10.1]).unwrap().contains("was steady"));
        assert!(verdict(&[10.0, 14.0, 10.0, 15.0]).unwrap().contains("was unsteady"));
    }
}
