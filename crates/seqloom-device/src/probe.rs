//! Asks wgpu for the machine's adapters, and turns its answers into [`Facts`].
//!
//! Each listing uses a new instance, because drivers come and go (a software driver may just have been installed). An
//! instance from which a device was opened stays for the life of the process, one per list of adapters, so no driver's
//! library is unloaded after use: a driver leaves threads, thread-local objects and exit handlers behind that need its
//! code.

use std::sync::Mutex;

use wgpu::{
    AdapterInfo, Backend, Backends, CooperativeMatrixProperties, CooperativeScalarType, DeviceType,
    ExperimentalFeatures, Features, Instance,
};

use crate::adapter::{AdapterKind, Facts, Subgroups};
use crate::ending::{Owned, enter};
use crate::error::DeviceError;
use crate::sync::lock;

/// An adapter and what is known about it.
pub(crate) struct Found {
    instance: Owned<Instance>,
    pub adapter: Owned<wgpu::Adapter>,
    pub facts: Facts,
}

/// Features that are used if an adapter has them. Only `IMMEDIATES` is required.
pub(crate) fn wanted() -> Features {
    Features::IMMEDIATES
        | Features::SUBGROUP
        | Features::TIMESTAMP_QUERY
        | Features::PIPELINE_CACHE
        | Features::SHADER_F16
}

/// Further features for cooperative matrices of 16-bit floats. wgpu counts them as experimental and only the driver
/// vouches for them, so they are enabled only if half precision is asked for.
const COOPERATIVE: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

/// All adapters of the machine, in its order. No adapter gives an empty list, not an error.
///
/// # Errors
/// [`DeviceError::Lost`] when the process is ending.
pub(crate) fn adapters() -> Result<Vec<Found>, DeviceError> {
    let _inside = enter()?;
    if Instance::enabled_backend_features().is_empty() {
        return Ok(Vec::new()); // A build for a platform without a backend: `Instance::new` would panic.
    }
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // No driver validation layers unless the environment asks for them (WGPU_VALIDATION=1), and no help for indirect
    // dispatches, which are not used: both cost start-up time.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    descriptor.backends = Backends::PRIMARY.with_env();
    // If the driver tells its budget, refuse a buffer before the whole system runs out of memory.
    descriptor.memory_budget_thresholds.for_resource_creation = Some(97);
    let instance = Owned::new(Instance::new(descriptor));
    let found = pollster::block_on(instance.enumerate_adapters(Backends::all()));
    let numbered = found.into_iter().enumerate();
    let known = numbered.map(|(index, adapter)| Found {
        instance: instance.clone(),
        facts: facts(index, &adapter),
        adapter: Owned::new(adapter),
    });
    Ok(known.collect())
}

/// Keeps the libraries of the drivers behind `adapters`, a list from [`adapters`], loaded for the life of the process.
pub(crate) fn keep(adapters: &[Found]) {
    static KEPT: Mutex<Vec<(Vec<String>, Owned<Instance>)>> = Mutex::new(Vec::new());
    let names: Vec<String> = adapters.iter().map(|found| found.facts.to_string()).collect();
    let mut kept = lock(&KEPT);
    if let (Some(found), false) = (adapters.first(), kept.iter().any(|(others, _)| *others == names)) {
        kept.push((names, found.instance.clone()));
    }
}

/// Facts about one adapter.
fn facts(index: usize, adapter: &wgpu::Adapter) -> Facts {
    let info = adapter.get_info();
    let limits = adapter.limits();
    let features = adapter.features();
    Facts {
        index,
        name: info.name.clone(),
        backend: backend(info.backend).to_owned(),
        kind: kind(info.device_type),
        driver: driver(&info),
        subgroups: features
            .contains(Features::SUBGROUP)
            .then_some(Subgroups { min: info.subgroup_min_size, max: info.subgroup_max_size }),
        timestamps: features.contains(Features::TIMESTAMP_QUERY),
        pipeline_cache: features.contains(Features::PIPELINE_CACHE),
        immediates: features.contains(Features::IMMEDIATES),
        f16: features.contains(Features::SHADER_F16),
        cooperative: features
            .contains(COOPERATIVE | Features::SHADER_F16 | Features::SUBGROUP)
            .then(|| side(&adapter.cooperative_matrix_properties()))
            .flatten(),
        max_buffer_bytes: limits.max_buffer_size,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_immediate_bytes: limits.max_immediate_size,
        max_workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_grid: limits.max_compute_workgroups_per_dimension,
        offset_alignment: limits.min_storage_buffer_offset_alignment,
    }
}

/// The larger square matrices of 16-bit floats with f32 sums among those that an adapter multiplies.
fn side(listed: &[CooperativeMatrixProperties]) -> Option<u32> {
    let fits = |matrix: &&CooperativeMatrixProperties| {
        matrix.m_size == matrix.n_size
            && matrix.m_size == matrix.k_size
            && matrix.ab_type == CooperativeScalarType::F16
            && matrix.cr_type == CooperativeScalarType::F32
    };
    listed.iter().filter(fits).map(|matrix| matrix.m_size).max()
}

/// Opens an adapter with its real limits and every wanted feature that it has; cooperative matrices if its facts have them.
///
/// # Errors
/// [`DeviceError::Open`] with the driver's words; [`DeviceError::Lost`] when the process is ending.
pub(crate) fn open(found: &Found) -> Result<(Owned<wgpu::Device>, Owned<wgpu::Queue>), DeviceError> {
    let _inside = enter()?;
    let (wanted, experiments) = if found.facts.cooperative.is_some() {
        // SAFETY: wgpu wants its caller to know that an experimental feature may be unsound. Only kernels of this
        // project's own table use the one enabled here, and their results are tested before anything relies on them.
        (wanted() | COOPERATIVE, unsafe { ExperimentalFeatures::enabled() })
    } else {
        (wanted(), ExperimentalFeatures::disabled())
    };
    let request = found.adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("seqloom"),
        required_features: found.adapter.features() & wanted,
        required_limits: found.adapter.limits(),
        experimental_features: experiments,
        // Buffers are made while a program is compiled, never in a step, so small blocks cost no time that matters.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
    });
    pollster::block_on(request)
        .map(|(device, queue)| (Owned::new(device), Owned::new(queue)))
        .map_err(|error| DeviceError::Open { adapter: found.facts.name.clone(), message: error.to_string() })
}

/// Name of a backend.
fn backend(backend: Backend) -> &'static str {
    match backend {
        Backend::Vulkan => "vulkan",
        Backend::Metal => "metal",
        Backend::Dx12 => "dx12",
        Backend::Gl => "gl",
        Backend::BrowserWebGpu => "webgpu",
        Backend::Noop => "noop",
    }
}

/// Kind of an adapter.
fn kind(kind: DeviceType) -> AdapterKind {
    match kind {
        DeviceType::DiscreteGpu => AdapterKind::Discrete,
        DeviceType::IntegratedGpu => AdapterKind::Integrated,
        DeviceType::VirtualGpu => AdapterKind::Virtual,
        DeviceType::Cpu => AdapterKind::Cpu,
        DeviceType::Other => AdapterKind::Other,
    }
}

/// Driver and version in one string; either part may be empty.
fn driver(info: &AdapterInfo) -> String {
    [info.driver.as_str(), info.driver_info.as_str()].join(" ").trim().to_owned()
}
