//! A program's account of itself: its dispatches in order.

use std::fmt::Write;

use seqloom_device::KernelTime;
use seqloom_kernels::Launch;

/// What is told of one dispatch.
#[derive(Debug)]
pub(crate) struct Row {
    label: String,
    grid: [u32; 3],
    flops: u64,
    bytes: u64,
}

impl Row {
    pub(crate) fn of(launch: &Launch) -> Self {
        Self { label: launch.label.clone(), grid: launch.grid, flops: launch.flops, bytes: launch.bytes }
    }
}

/// One line a dispatch; with `times`, the device time and the rate it makes of the operations.
pub(crate) fn table(rows: &[Row], times: Option<&[KernelTime]>) -> String {
    let width = rows.iter().map(|row| row.label.len()).max().unwrap_or(0).max("dispatch".len());
    let mut text = format!("  # {:width$} {:>14} {:>12} {:>12}", "dispatch", "workgroups", "MFLOP", "KiB");
    if times.is_some() {
        text.push_str("         µs    GFLOP/s");
    }
    text.push('\n');
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
        text.push('\n');
    }
    text
}
