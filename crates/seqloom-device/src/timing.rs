//! Time per kernel: measured by the device's own clock, shown as a table and as a trace.
//!
//! Each dispatch gets its own compute pass with a timestamp at each end. Timestamps inside a pass would be closer to a
//! real step, but fewer adapters have them, and neighbours that overlap would blur each other's times.

use std::collections::HashMap;
use std::fmt::Write;

use crate::device::Device;
use crate::dispatch::Dispatch;
use crate::error::Result;
use crate::sync::lock;

/// Dispatches measured with one set of queries: two queries each.
const BATCH: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;
/// Bytes of a timestamp.
const STAMP: u64 = 8;

/// When one dispatch ran and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelTime {
    /// Label of the dispatch.
    pub label: String,
    /// Label of its kernel.
    pub kernel: String,
    /// Nanoseconds from the start of the first dispatch to the start of this one.
    pub start: u64,
    /// Nanoseconds that it ran.
    pub nanoseconds: u64,
}

impl Device {
    /// Runs the dispatches in their order, as [`Device::submit`] does, measures each, and waits for the end.
    ///
    /// A measurement includes the cost of a separate pass: little on a GPU, about 50 µs on Mesa's lavapipe, so short
    /// kernels look longer there than they are in a step.
    ///
    /// # Errors
    /// [`DeviceError::Unsupported`](crate::DeviceError::Unsupported) if the adapter has no timestamps, and those of [`Device::submit`].
    pub fn profile(&self, dispatches: &[Dispatch]) -> Result<Vec<KernelTime>> {
        self.inner.fault().check()?;
        if !self.facts().timestamps {
            return Err(self.unsupported("timestamps"));
        }
        self.check_owner(dispatches)?;
        let mut stamps: Vec<u64> = Vec::with_capacity(2 * dispatches.len());
        for batch in dispatches.chunks(BATCH) {
            let bytes = self.profile_batch(batch)?;
            let words = bytes.chunks_exact(8).filter_map(|word| word.try_into().ok());
            stamps.extend(words.map(u64::from_le_bytes));
        }
        let period = f64::from(self.inner.queue.get_timestamp_period());
        // Ticks become nanoseconds only as differences: absolute ticks exceed what a float holds exactly.
        let nanoseconds = |from: u64, to: u64| (to.saturating_sub(from) as f64 * period).round() as u64;
        let first = stamps.first().copied().unwrap_or_default();
        let pairs = stamps.chunks_exact(2).zip(dispatches);
        Ok(pairs
            .map(|(pair, dispatch)| KernelTime {
                label: dispatch.label().to_owned(),
                kernel: dispatch.kernel().to_owned(),
                start: nanoseconds(first, pair[0]),
                nanoseconds: nanoseconds(pair[0], pair[1]),
            })
            .collect())
    }

    /// Runs up to [`BATCH`] dispatches and returns their timestamps as bytes, start and end of each.
    fn profile_batch(&self, batch: &[Dispatch]) -> Result<Vec<u8>> {
        let count = u32::try_from(2 * batch.len()).unwrap_or(wgpu::QUERY_SET_MAX_QUERIES);
        let bytes = u64::from(count) * STAMP;
        let resolved = self.create(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: bytes,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })?;
        {
            // Held throughout, so no other thread comes between the writes and the dispatches.
            let mut recorder = lock(&self.inner.recorder);
            self.submit_locked(&mut recorder, &[])?;
            self.caught("profile".to_owned(), || {
                let queries = self.raw().create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("timestamps"),
                    ty: wgpu::QueryType::Timestamp,
                    count,
                });
                let mut encoder =
                    self.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                for (begin, dispatch) in (0..count).step_by(2).zip(batch) {
                    let writes = wgpu::ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(begin),
                        end_of_pass_write_index: Some(begin + 1),
                    };
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: Some(dispatch.label()),
                        timestamp_writes: Some(writes),
                    });
                    dispatch.record(&mut pass);
                }
                encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
                self.inner.queue.submit([encoder.finish()]);
            })?;
        }
        self.begin_read(&[(&resolved, 0, bytes)], "profile".to_owned())?.wait()
    }
}

/// The times summed by kernel as a table for people, longest first: runs, total and mean time, share.
#[must_use]
pub fn table(times: &[KernelTime]) -> String {
    let mut sums: HashMap<&str, (u64, u64)> = HashMap::new();
    for time in times {
        let (runs, sum) = sums.entry(&time.kernel).or_default();
        (*runs, *sum) = (*runs + 1, *sum + time.nanoseconds);
    }
    let total: u64 = sums.values().map(|(_, sum)| sum).sum();
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.cmp(&a.1.1).then(a.0.cmp(b.0)));
    let mut text = format!("{:>6} {:>12} {:>12} {:>6}  kernel\n", "runs", "total ms", "mean us", "share");
    for (kernel, (runs, sum)) in rows {
        let (milliseconds, mean) = (sum as f64 / 1e6, sum as f64 / runs as f64 / 1e3);
        let share = 100.0 * sum as f64 / total.max(1) as f64;
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{runs:>6} {milliseconds:>12.3} {mean:>12.1} {share:>5.1}%  {kernel}");
    }
    text
}

/// The times as a trace in the Trace Event format, which Perfetto (ui.perfetto.dev) opens.
#[must_use]
pub fn trace_json(times: &[KernelTime]) -> String {
    let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    let events = times.iter().map(|time| {
        serde_json::json!({
            "name": time.label,
            "cat": "kernel",
            "ph": "X",
            "ts": microseconds(time.start),
            "dur": microseconds(time.nanoseconds),
            "pid": 1,
            "tid": 1,
            "args": { "kernel": time.kernel },
        })
    });
    let events: Vec<_> = events.collect();
    serde_json::json!({ "displayTimeUnit": "ns", "traceEvents": events }).to_string()
}
