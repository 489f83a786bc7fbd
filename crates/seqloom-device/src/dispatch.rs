//! Dispatches: one run of a kernel each, and the bind groups in use.
//!
//! A [`Dispatch`] holds its pipeline, bind group, immediates and grid, all checked when it is made (`record`). So
//! submitting only records it, and sets the pipeline or bind group only if it changes.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::buffer::Buffer;
use crate::ending::{Owned, drivers_may_add_handlers};
use crate::pipeline::Pipeline;

/// One run of a kernel: pipeline, memory, grid. Cheap to clone; keeps its buffers alive.
#[derive(Clone)]
pub struct Dispatch {
    pub(crate) pipeline: Pipeline,
    pub(crate) group: Arc<Group>,
    pub(crate) label: Arc<str>,
    pub(crate) immediates: Arc<[u8]>,
    pub(crate) grid: [u32; 3],
}

/// A bind group and the memory that it binds.
pub(crate) struct Group {
    pub raw: Owned<wgpu::BindGroup>,
    /// Kept alive, not read.
    pub _buffers: Vec<Buffer>,
}

/// Layout, then buffer, offset and length of each binding.
pub(crate) type GroupKey = (u64, Vec<(u64, u64, u64)>);

/// Bind groups that are in use. Weak: a memo must not keep memory alive.
#[derive(Default)]
pub(crate) struct GroupMemo {
    groups: HashMap<GroupKey, Weak<Group>>,
    /// Size at which entries of dropped groups are next removed.
    sweep_at: usize,
}

impl GroupMemo {
    /// The group of this key, if it is in use.
    pub(crate) fn get(&self, key: &GroupKey) -> Option<Arc<Group>> {
        self.groups.get(key).and_then(Weak::upgrade)
    }

    pub(crate) fn insert(&mut self, key: GroupKey, group: &Arc<Group>) {
        if self.groups.len() >= self.sweep_at {
            self.groups.retain(|_, group| group.strong_count() > 0);
            self.sweep_at = 2 * self.groups.len() + 64;
        }
        self.groups.insert(key, Arc::downgrade(group));
    }
}

impl Dispatch {
    /// Label it was made with.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Label of the kernel that it runs.
    #[must_use]
    pub fn kernel(&self) -> &str {
        self.pipeline.label()
    }

    /// Workgroups in each dimension.
    #[must_use]
    pub fn grid(&self) -> [u32; 3] {
        self.grid
    }

    pub(crate) fn device(&self) -> u64 {
        self.pipeline.shared().device
    }

    /// Records everything, also what is already set.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record_after(None, pass);
    }

    /// Records what differs from the dispatch before.
    pub(crate) fn record_after(&self, before: Option<&Self>, pass: &mut wgpu::ComputePass<'_>) {
        if before.is_none_or(|before| before.pipeline.shared().id != self.pipeline.shared().id) {
            let pipeline = self.pipeline.shared();
            pass.set_pipeline(&pipeline.raw);
            if !pipeline.ran.load(Ordering::Relaxed) {
                pipeline.ran.store(true, Ordering::Relaxed);
                drivers_may_add_handlers();
            }
        }
        if before.is_none_or(|before| !Arc::ptr_eq(&before.group, &self.group)) {
            pass.set_bind_group(0, &*self.group.raw, &[]);
        }
        if !self.immediates.is_empty() {
            pass.set_immediates(0, &self.immediates);
        }
        let [x, y, z] = self.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dispatch({:?}, {:?}, {:?})", self.label, self.kernel(), self.grid)
    }
}
