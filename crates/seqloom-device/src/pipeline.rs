//! Pipelines: each distinct kernel is compiled once for the device.
//!
//! Equal [`Wgsl`] gives the same pipeline; its whole text is compared. Layouts are explicit: they are made from the
//! contract's list of accesses, and kernels with the same list share one. wgpu's derived layouts would be a new object
//! per pipeline, and bind groups could not be shared. `compile` makes both.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use seqloom_shaders::{Access, Wgsl};

use crate::ending::Owned;

/// What makes two layouts equal: the accesses in order, and the bytes of immediates.
pub(crate) type LayoutKey = (Vec<Access>, u32);

/// What a device has compiled.
#[derive(Default)]
pub(crate) struct Memo {
    pub pipelines: Mutex<HashMap<Wgsl, Pipeline>>,
    pub layouts: Mutex<HashMap<LayoutKey, Arc<Layout>>>,
}

/// A compiled kernel. Cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    shared: Arc<Compiled>,
}

/// What the handles share.
pub(crate) struct Compiled {
    pub raw: Owned<wgpu::ComputePipeline>,
    pub layout: Arc<Layout>,
    pub device: u64,
    pub id: u64,
    /// Whether it was ever submitted.
    pub ran: AtomicBool,
    pub label: String,
}

/// How a kernel is bound.
pub(crate) struct Layout {
    pub bindings: Vec<Access>,
    pub immediate_bytes: u32,
    pub group: Owned<wgpu::BindGroupLayout>,
    pub id: u64,
    pub pipeline: Owned<wgpu::PipelineLayout>,
}

impl Pipeline {
    pub(crate) fn new(compiled: Compiled) -> Self {
        Self { shared: Arc::new(compiled) }
    }

    /// Label of the kernel it was compiled from.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.shared.label
    }

    pub(crate) fn shared(&self) -> &Compiled {
        &self.shared
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({:?})", self.shared.label)
    }
}
