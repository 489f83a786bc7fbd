//! Prepares dispatches once, and submits them in each step.
//!
//! Everything about a dispatch is checked when it is made. wgpu can use a command buffer only once, so each step is
//! recorded anew: all dispatches of a chunk in one compute pass.
//!
//! The first chunk is small, so the device starts while the host still records the rest. The host is at most a few
//! submissions ahead of the device. Without that limit a training loop that never asks for its loss would queue up
//! commands and staging memory without end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seqloom_shaders::Access;

use crate::buffer::Slice;
use crate::device::{Device, Recorder};
use crate::dispatch::{Dispatch, Group, GroupKey};
use crate::ending::Owned;
use crate::error::{DeviceError, Result};
use crate::fault::Scope;
use crate::pipeline::{Layout, Pipeline};
use crate::sync::lock;

/// Dispatches in the first chunk of a long submission, and in the largest. Each chunk has four times as many as the one
/// before. A chunk costs the host about 150 µs and a dispatch 2, so a submission that fits into one chunk is not split:
/// the device would hardly start earlier.
const FIRST_CHUNK: usize = 64;
const LARGEST_CHUNK: usize = 256;
/// Submissions that may be unfinished when another begins.
const AHEAD: usize = 4;

impl Device {
    /// Prepares a run of a kernel on `bindings`, in the kernel's order, with `immediates` of exactly the kernel's size,
    /// over `grid` workgroups (a 0 makes it do nothing).
    ///
    /// # Errors
    /// [`DeviceError::Validation`] naming `label` if the number of bindings or bytes is not the kernel's, a
    /// range is empty, misaligned or outside its buffer, the grid exceeds the adapter's, or one buffer is bound for
    /// reading and for writing (whatever the ranges, because wgpu tracks whole buffers); [`DeviceError::TooLarge`] if a
    /// range exceeds what the adapter can bind; [`DeviceError::Lost`].
    pub fn dispatch(
        &self,
        pipeline: &Pipeline,
        label: &str,
        bindings: &[Slice],
        immediates: &[u8],
        grid: [u32; 3],
    ) -> Result<Dispatch> {
        self.inner.fault().check()?;
        let layout = &*pipeline.shared().layout;
        self.check_dispatch(pipeline, label, bindings, immediates, grid)?;
        let group = self.group(layout, label, bindings)?;
        Ok(Dispatch {
            pipeline: pipeline.clone(),
            group,
            label: label.into(),
            immediates: immediates.into(),
            grid,
        })
    }

    /// The rules of [`Device::dispatch`].
    fn check_dispatch(
        &self,
        pipeline: &Pipeline,
        label: &str,
        bindings: &[Slice],
        immediates: &[u8],
        grid: [u32; 3],
    ) -> Result<()> {
        let layout = &*pipeline.shared().layout;
        let facts = self.facts();
        let fail = |message: String| Err(DeviceError::validation(format!("dispatch {label}"), message));
        let kernel = pipeline.label();
        if pipeline.shared().device != self.inner.id {
            return fail(format!("kernel {kernel} was compiled for another device"));
        }
        if bindings.len() != layout.bindings.len() {
            let (given, takes) = (bindings.len(), layout.bindings.len());
            return fail(format!("{given} bindings given, kernel {kernel} takes {takes}"));
        }
        if immediates.len() as u64 != u64::from(layout.immediate_bytes) {
            let (given, takes) = (immediates.len(), layout.immediate_bytes);
            return fail(format!("{given} bytes of immediates given, kernel {kernel} takes {takes}"));
        }
        if grid.iter().any(|size| *size > facts.max_grid) {
            return fail(format!("grid {grid:?} exceeds the adapter's {} in a dimension", facts.max_grid));
        }
        for (at, slice) in bindings.iter().enumerate() {
            slice.check(self.inner.id, &format!("dispatch {label}, binding {at},"))?;
            if slice.bytes == 0 || !slice.offset.is_multiple_of(u64::from(facts.offset_alignment)) {
                return fail(format!(
                    "binding {at}, {} bytes from {} on of {}: must not be empty and must begin at a multiple of {}",
                    slice.bytes,
                    slice.offset,
                    slice.buffer.label(),
                    facts.offset_alignment
                ));
            }
            if slice.bytes > facts.max_binding_bytes {
                return Err(DeviceError::TooLarge {
                    label: format!("dispatch {label}, binding {at} ({})", slice.buffer.label()),
                    bytes: slice.bytes,
                    limit: facts.max_binding_bytes,
                });
            }
            let conflicts = |(other, access): (&Slice, &Access)| {
                other.buffer.id() == slice.buffer.id() && Some(access) != layout.bindings.get(at)
            };
            if bindings.iter().zip(&layout.bindings).any(conflicts) {
                return fail(format!("{} is bound for reading and for writing", slice.buffer.label()));
            }
        }
        Ok(())
    }

    /// The bind group for these ranges, made unless an equal one is in use.
    fn group(&self, layout: &Layout, label: &str, bindings: &[Slice]) -> Result<Arc<Group>> {
        let ranges = bindings.iter().map(|slice| (slice.buffer.id(), slice.offset, slice.bytes)).collect();
        let key: GroupKey = (layout.id, ranges);
        let mut memo = lock(&self.inner.groups);
        if let Some(known) = memo.get(&key) {
            return Ok(known);
        }
        let numbered = (0..).zip(bindings);
        let entries: Vec<_> = numbered
            .map(|(binding, slice)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: slice.buffer.raw(),
                    offset: slice.offset,
                    size: wgpu::BufferSize::new(slice.bytes),
                }),
            })
            .collect();
        let raw = self.caught(format!("dispatch {label}"), || {
            let descriptor =
                wgpu::BindGroupDescriptor { label: Some(label), layout: &layout.group, entries: &entries };
            Owned::new(self.raw().create_bind_group(&descriptor))
        })?;
        self.inner.bind_groups.fetch_add(1, Ordering::Relaxed);
        let buffers = bindings.iter().map(|slice| slice.buffer.clone()).collect();
        let group = Arc::new(Group { raw, _buffers: buffers });
        memo.insert(key, &group);
        Ok(group)
    }

    /// Runs the dispatches in their order, after everything written and submitted before. Does not wait, except for a
    /// submission several before this one.
    ///
    /// # Errors
    /// [`DeviceError::Validation`] if a dispatch belongs to another device, [`DeviceError::OutOfMemory`],
    /// [`DeviceError::Timeout`] if an earlier submission does not finish, [`DeviceError::Lost`].
    pub fn submit(&self, dispatches: &[Dispatch]) -> Result<()> {
        self.inner.fault().check()?;
        self.check_owner(dispatches)?;
        self.submit_locked(&mut lock(&self.inner.recorder), dispatches)
    }

    /// Submits what was written and not yet submitted.
    pub(crate) fn flush(&self) -> Result<()> {
        self.inner.fault().check()?;
        self.submit_locked(&mut lock(&self.inner.recorder), &[])
    }

    /// Refuses dispatches of another device: wgpu panics on them.
    pub(crate) fn check_owner(&self, dispatches: &[Dispatch]) -> Result<()> {
        match dispatches.iter().find(|dispatch| dispatch.device() != self.inner.id) {
            None => Ok(()),
            Some(stranger) => {
                let what = format!("submit {}", stranger.label());
                Err(DeviceError::validation(what, "the dispatch belongs to another device"))
            }
        }
    }

    /// Submits waiting writes and then `dispatches`. The caller holds the recorder.
    pub(crate) fn submit_locked(&self, recorder: &mut Recorder, dispatches: &[Dispatch]) -> Result<()> {
        if recorder.uploads.is_empty() && dispatches.is_empty() {
            return Ok(());
        }
        while recorder.ahead.len() >= AHEAD {
            let Some(oldest) = recorder.ahead.front() else { break };
            self.inner.poller.wait(Some(oldest), "an earlier submission")?;
            recorder.ahead.pop_front();
        }
        let mut rest = dispatches;
        let mut size = if rest.len() > LARGEST_CHUNK { FIRST_CHUNK } else { LARGEST_CHUNK };
        loop {
            let (chunk, later) = rest.split_at(size.min(rest.len()));
            let index = self.submit_chunk(recorder, chunk)?;
            (rest, size) = (later, (size * 4).min(LARGEST_CHUNK));
            if rest.is_empty() {
                recorder.ahead.push_back(index);
                return Ok(());
            }
        }
    }

    /// Records and submits one chunk, waiting writes first.
    fn submit_chunk(&self, recorder: &mut Recorder, chunk: &[Dispatch]) -> Result<wgpu::SubmissionIndex> {
        let scope = Scope::open(self.raw())?;
        let mut encoder = self.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        recorder.uploads.record(&mut encoder);
        if !chunk.is_empty() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let mut before = None;
            for dispatch in chunk.iter().filter(|dispatch| !dispatch.grid.contains(&0)) {
                dispatch.record_after(before, &mut pass);
                before = Some(dispatch);
            }
        }
        let index = self.inner.queue.submit([encoder.finish()]);
        recorder.uploads.recycle();
        self.outcome(scope, || match chunk {
            [] => "write".to_owned(),
            [first, ..] => format!("submit {} dispatches from {} on", chunk.len(), first.label()),
        })?;
        Ok(index)
    }

    /// Runs `call` and converts its errors to ours. `what` names the call and the thing concerned.
    pub(crate) fn caught<T>(&self, what: String, call: impl FnOnce() -> T) -> Result<T> {
        let scope = Scope::open(self.raw())?;
        let value = call();
        self.outcome(scope, || what)?;
        Ok(value)
    }

    /// Closes a scope and turns its error, or the loss of the device, into ours.
    pub(crate) fn outcome(&self, scope: Scope, what: impl FnOnce() -> String) -> Result<()> {
        let error = scope.close();
        self.inner.fault().check()?;
        match error {
            None => Ok(()),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(DeviceError::OutOfMemory {
                label: what(),
                bytes: 0,
                limit: self.facts().max_buffer_bytes,
            }),
            Some(error) => Err(DeviceError::validation(what(), error.to_string())),
        }
    }
}
