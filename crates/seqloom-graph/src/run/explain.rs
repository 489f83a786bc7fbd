//! A program's report: its dispatches in order.

use std::fmt::Write;

use seqloom_device::{KernelTime, Slice};
use seqloom_kernels::{Access, Launch};

/// Report of one dispatch of a [`crate::Program`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchInfo {
    /// Kernel, specialisation and shape: `gather[WORKGROUP=64] [1, 1, 7, 33]`.
    pub label: String,
    /// Workgroups in x, y and z.
    pub grid: [u32; 3],
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes moved if everything is read and written once.
    pub bytes: u64,
    /// The buffers that it writes: slots by number, arenas, outputs.
    pub writes: Vec<String>,
}

impl DispatchInfo {
    /// The report of a launch over these buffers.
    pub(crate) fn of(launch: &Launch, buffers: &[Slice]) -> Self {
        let written = launch.wgsl.bindings.iter().zip(buffers).filter(|(a, _)| **a == Access::ReadWrite);
        let mut writes: Vec<String> = written.map(|(_, slice)| slice.buffer.label().to_owned()).collect();
        writes.dedup();
        let Launch { label, grid, flops, bytes, .. } = launch;
        Self { label: label.clone(), grid: *grid, flops: *flops, bytes: *bytes, writes }
    }

    /// Minimum seconds on a device that does `flops` operations and moves `bytes` bytes per second, by the roofline
    /// (Williams, Waterman, Patterson 2009).
    #[must_use]
    pub fn least_seconds(&self, flops: f64, bytes: f64) -> f64 {
        (self.flops as f64 / flops).max(self.bytes as f64 / bytes)
    }
}

/// One line per dispatch; with `times` also the device time and the rate of operations.
pub(crate) fn table(rows: &[DispatchInfo], times: Option<&[KernelTime]>) -> String {
    let width = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).max("dispatch".len());
    let mut text = format!("  # {:width$} {:>14} {:>12} {:>12}", "dispatch", "workgroups", "MFLOP", "KiB");
    if times.is_some() {
        text.push_str("         µs    GFLOP/s");
    }
    text.push_str("  writes\n");
    for (at, row) in rows.iter().enumerate() {
        let [x, y, z] = row.grid;
        let (flops, bytes) = (row.flops as f64 / 1e6, row.bytes as f64 / 1024.0);
        let _ = write!(
            text,
            "{at:>3} {:width$} {:>14} {flops:>12.3} {bytes:>12.1}",
            row.label,
            format!("{x}×{y}×{z}")
        );
        if let Some(time) = times.and_then(|t| t.get(at)) {
            let rate = row.flops as f64 / (time.nanoseconds as f64).max(1.0);
            let _ = write!(text, " {:>10.1} {rate:>10.2}", time.nanoseconds as f64 / 1e3);
        }
        let _ = writeln!(text, "  {}", row.writes.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roofline_is_the_slower_of_arithmetic_and_memory() {
        let info = DispatchInfo {
            label: "kernel".to_owned(),
            grid: [1; 3],
            flops: 600,
            bytes: 100,
            writes: vec!["slot 0".to_owned()],
        };
        assert_eq!(info.least_seconds(100.0, 50.0), 6.0);
        assert_eq!(info.least_seconds(600.0, 50.0), 2.0);
    }

    #[test]
    fn a_line_ends_with_what_the_dispatch_writes() {
        let info = |label: &str, writes: &[&str]| DispatchInfo {
            label: label.to_owned(),
            grid: [1, 2, 3],
            flops: 2_000_000,
            bytes: 2048,
            writes: writes.iter().map(|name| (*name).to_owned()).collect(),
        };
        let text = table(&[info("first", &["slot 0"]), info("second", &["slot 1", "output"])], None);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].contains("1×2×3") && lines[1].contains("2.000") && lines[1].ends_with("slot 0"));
        assert!(lines[2].ends_with("slot 1, output"), "{text}");
    }
}
