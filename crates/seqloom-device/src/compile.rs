//! Compiles kernels, on several threads, because compiling is most of a cold start.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use seqloom_shaders::{Access, Wgsl};

use crate::device::Device;
use crate::ending::{Owned, this_thread_is_ours};
use crate::error::{DeviceError, Result};
use crate::fault::Scope;
use crate::pipeline::{Compiled, Layout, LayoutKey, Pipeline};
use crate::sync::{lock, next_id};

/// Stack of a compiling thread: the WGSL front end recurses, deeply if it is not optimised.
const STACK: usize = 16 << 20;

impl Device {
    /// The pipeline of a kernel, compiled at the first call.
    ///
    /// # Errors
    /// [`DeviceError::Shader`] with the kernel's label, [`DeviceError::Unsupported`] if it needs what the adapter does
    /// not have, [`DeviceError::Lost`].
    pub fn pipeline(&self, wgsl: &Wgsl) -> Result<Pipeline> {
        self.inner.fault().check()?;
        if let Some(known) = lock(&self.inner.memo.pipelines).get(wgsl) {
            return Ok(known.clone());
        }
        let compiled = self.compile(wgsl)?;
        // Another thread may have been faster. Its pipeline stays, so equal kernels are one pipeline.
        Ok(lock(&self.inner.memo.pipelines).entry(wgsl.clone()).or_insert(compiled).clone())
    }

    /// The pipelines of several kernels, in their order; those not yet known are compiled on all cores at once.
    ///
    /// # Errors
    /// As [`Device::pipeline`]: the first in order that fails.
    pub fn pipelines(&self, kernels: &[Wgsl]) -> Result<Vec<Pipeline>> {
        let mut missing: Vec<&Wgsl> = Vec::new();
        {
            let known = lock(&self.inner.memo.pipelines);
            let mut seen = HashSet::new();
            missing
                .extend(kernels.iter().filter(|kernel| !known.contains_key(*kernel) && seen.insert(*kernel)));
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let next = AtomicUsize::new(0);
        let outcomes: Vec<OnceLock<Result<Pipeline>>> = missing.iter().map(|_| OnceLock::new()).collect();
        let work = || {
            while let Some((kernel, outcome)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                missing.get(at).zip(outcomes.get(at))
            } {
                let _ = outcome.set(self.pipeline(kernel));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..cores.min(missing.len()) {
                // If no further thread can be started, fewer do the work.
                let _ = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || {
                    this_thread_is_ours();
                    work();
                });
            }
            work();
        });
        for outcome in outcomes.into_iter().filter_map(OnceLock::into_inner) {
            outcome?;
        }
        kernels.iter().map(|kernel| self.pipeline(kernel)).collect()
    }

    /// Compiles a kernel.
    fn compile(&self, wgsl: &Wgsl) -> Result<Pipeline> {
        let inner = &*self.inner;
        let facts = self.facts();
        let bindings = u32::try_from(wgsl.bindings.len()).unwrap_or(u32::MAX);
        if wgsl.subgroups && facts.subgroups.is_none() {
            return Err(self.unsupported(format!("subgroups, which kernel {} uses", wgsl.label)));
        }
        if wgsl.cooperative && facts.cooperative.is_none() {
            return Err(self.unsupported(format!("cooperative matrices, which kernel {} uses", wgsl.label)));
        }
        if bindings > facts.max_storage_buffers || wgsl.immediate_bytes > facts.max_immediate_bytes {
            return Err(self.unsupported(format!(
                "room for {bindings} storage buffers and {} bytes of immediates, which kernel {} uses",
                wgsl.immediate_bytes, wgsl.label
            )));
        }
        let layout = self.layout(wgsl)?;
        let fail = |message: String| Err(DeviceError::Shader { label: wgsl.label.clone(), message });

        let scope = Scope::open(self.raw())?;
        let checks = if inner.checks {
            wgpu::ShaderRuntimeChecks::checked()
        } else {
            wgpu::ShaderRuntimeChecks::unchecked()
        };
        let source = wgpu::ShaderSource::Wgsl(wgsl.source.as_str().into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(&wgsl.label), source };
        // SAFETY: kernels come from this project's own table. Each guards its indices by the sizes in its immediates
        // and its loops end; debug builds and tests run the same kernels with all checks on.
        let module = Owned::new(unsafe { self.raw().create_shader_module_trusted(descriptor, checks) });
        let error = scope.close();
        inner.fault().check()?;
        if let Some(error) = error {
            return fail(error.to_string());
        }

        let scope = Scope::open(self.raw())?;
        let raw = Owned::new(self.raw().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&wgsl.label),
            layout: Some(&layout.pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // Kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
            },
            cache: inner.cache.raw(),
        }));
        let error = scope.close();
        inner.fault().check()?;
        if let Some(error) = error {
            return fail(error.to_string());
        }
        inner.pipelines.fetch_add(1, Ordering::Relaxed);
        let label = wgsl.label.clone();
        let (id, ran) = (next_id(), AtomicBool::new(false));
        let compiled = Compiled { raw, layout, device: inner.id, id, ran, label };
        Ok(Pipeline::new(compiled))
    }

    /// The layout for a kernel's list of accesses, made at the first call.
    fn layout(&self, wgsl: &Wgsl) -> Result<Arc<Layout>> {
        let mut layouts = lock(&self.inner.memo.layouts);
        let key: LayoutKey = (wgsl.bindings.clone(), wgsl.immediate_bytes);
        if let Some(known) = layouts.get(&key) {
            return Ok(Arc::clone(known));
        }
        let entries: Vec<_> =
            (0..).zip(&wgsl.bindings).map(|(binding, access)| entry(binding, *access)).collect();
        let scope = Scope::open(self.raw())?;
        let group = Owned::new(self.raw().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&wgsl.label),
            entries: &entries,
        }));
        let pipeline = Owned::new(self.raw().create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&wgsl.label),
            bind_group_layouts: &[Some(&group)],
            immediate_size: wgsl.immediate_bytes,
        }));
        let error = scope.close();
        self.inner.fault().check()?;
        if let Some(error) = error {
            return Err(DeviceError::Shader { label: wgsl.label.clone(), message: error.to_string() });
        }
        let layout = Arc::new(Layout {
            bindings: wgsl.bindings.clone(),
            immediate_bytes: wgsl.immediate_bytes,
            group,
            id: next_id(),
            pipeline,
        });
        layouts.insert(key, Arc::clone(&layout));
        Ok(layout)
    }
}

/// One storage binding.
fn entry(binding: u32, access: Access) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}
