//! Asks wgpu which adapters the machine has, and turns its answers into [`Facts`].
//!
//! The list is made anew each time, by a new instance: drivers come and go (a software driver may just have been installed).
//! An instance from which a device was opened also stays for the life of the process, one for each list of adapters,
//! so that no driver's library is unloaded once it has worked: a driver leaves threads, thread-local objects and exit
//! handlers behind, whose code would be gone.

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

/// Features that are used where an adapter has them. All but `IMMEDIATES` can be done without.
pub(crate) fn wanted() -> Features {
    Features::IMMEDIATES
        | Features::SUBGROUP
        | Features::TIMESTAMP_QUERY
        | Features::PIPELINE_CACHE
        | Features::SHADER_F16
}

/// What cooperative matrices of 16-bit floats take besides. wgpu counts them as experimental: the driver's word is all that
/// vouches for them, so they are enabled only for those who ask for half precision.
const COOPERATIVE: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

/// All adapters of the machine, in the order of the machine; none is an empty list, not an error.
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
    // Where the driver tells its budget, refuse a buffer before the whole system runs dry.
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
        // SAFETY: wgpu asks its caller to know that an experimental feature may be unsound. The one that is used reaches
        // kernels of this project's own table alone, which pass a test of their results before anything relies on them.
        (wanted() | COOPERATIVE, unsafe { ExperimentalFeatures::enabled() })
    } else {
        (wanted(), ExperimentalFeatures::disabled())
    };
    let request = found.adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("seqloom"),
        required_features: found.adapter.features() & wanted,
        required_limits: found.adapter.limits(),
        experimental_features: experiments,
        // Buffers are made while a program is compiled and never in a step, so small blocks cost no time worth having.
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
