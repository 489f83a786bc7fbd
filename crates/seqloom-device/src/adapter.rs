//! Which adapter is used: facts about adapters, the requirements, and the choice.
//!
//! Everything here is plain data and pure functions, so tests choose among made-up adapters. `probe` fills [`Facts`]
//! from the machine. Kernels are chosen by these facts too, never by an adapter's name.

use std::fmt;

use seqloom_shaders::{REQUIRED_IMMEDIATE_BYTES, REQUIRED_STORAGE_BUFFERS};

use crate::error::{DeviceError, Missing};

/// Smallest acceptable limit for one bound range, in bytes: WebGPU's default.
const BINDING_BYTES: u64 = 128 << 20;

/// An adapter that the caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterChoice {
    /// Part of the adapter's name, in any case.
    Name(String),
    /// Position in [`Device::adapters`](crate::Device::adapters).
    Index(usize),
}

impl AdapterChoice {
    /// Reads `text` as an index if it is a number, as a part of a name otherwise.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Index)
    }
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "the name \"{name}\""),
            Self::Index(index) => write!(f, "the index {index}"),
        }
    }
}

/// The kind of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterKind {
    /// A GPU with its own memory.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A GPU lent by a host machine.
    Virtual,
    /// The CPU.
    Cpu,
    /// Unknown.
    Other,
}

impl AdapterKind {
    /// Order of preference, best first. An unknown kind may be anything, so it comes just before the CPU.
    fn rank(self) -> u8 {
        match self {
            Self::Discrete => 0,
            Self::Integrated => 1,
            Self::Virtual => 2,
            Self::Other => 3,
            Self::Cpu => 4,
        }
    }
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Cpu => "CPU",
            Self::Other => "unknown kind",
        })
    }
}

/// Range of the sizes that a subgroup may have, in invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subgroups {
    /// Smallest size.
    pub min: u32,
    /// Largest size.
    pub max: u32,
}

/// What is known about an adapter: its identity and its abilities. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Position in [`Device::adapters`](crate::Device::adapters).
    pub index: usize,
    /// Name, as the driver gives it.
    pub name: String,
    /// Graphics interface: `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// What it is made of.
    pub kind: AdapterKind,
    /// Driver and its version.
    pub driver: String,
    /// Sizes of subgroups; `None` if kernels cannot use subgroups.
    pub subgroups: Option<Subgroups>,
    /// Whether the time of kernels can be measured.
    pub timestamps: bool,
    /// Whether compiled pipelines can be kept on disk.
    pub pipeline_cache: bool,
    /// Whether immediates (push constants) exist.
    pub immediates: bool,
    /// Whether kernels can compute in 16-bit floats.
    pub f16: bool,
    /// Rows and columns, 16 or 8, of the square cooperative matrices of 16-bit floats that it multiplies with f32 sums;
    /// `None` if it has none.
    pub cooperative: Option<u32>,
    /// Largest buffer.
    pub max_buffer_bytes: u64,
    /// Largest range of a buffer that a kernel can bind.
    pub max_binding_bytes: u64,
    /// Most storage buffers that a kernel can bind.
    pub max_storage_buffers: u32,
    /// Most bytes of immediates.
    pub max_immediate_bytes: u32,
    /// Most invocations in a workgroup.
    pub max_workgroup_invocations: u32,
    /// Most bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Most workgroups in each dimension of a dispatch.
    pub max_grid: u32,
    /// Alignment of a bound range: its offset must be a multiple of this.
    pub offset_alignment: u32,
}

impl Facts {
    /// What every program needs and this adapter lacks: [`REQUIRED_IMMEDIATE_BYTES`] of
    /// immediates, [`REQUIRED_STORAGE_BUFFERS`] a kernel, 128 MiB a bound range. Empty means that the adapter can be used.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let needs = [
            ("immediates (feature)", u64::from(self.immediates), 1),
            ("immediate bytes", u64::from(self.max_immediate_bytes), u64::from(REQUIRED_IMMEDIATE_BYTES)),
            (
                "storage buffers per kernel",
                u64::from(self.max_storage_buffers),
                u64::from(REQUIRED_STORAGE_BUFFERS),
            ),
            ("bytes per bound buffer", self.max_binding_bytes, BINDING_BYTES),
        ];
        let lacking = needs.into_iter().filter(|(_, has, needs)| has < needs);
        lacking.map(|(what, has, needs)| Missing { what, has, needs }).collect()
    }

    /// Invocations in a subgroup, if every subgroup has the same number.
    #[must_use]
    pub fn lanes(&self) -> Option<u32> {
        self.subgroups.filter(|sizes| sizes.min == sizes.max).map(|sizes| sizes.min)
    }

    /// Whether kernels run on the CPU, so that CPU variants are the fast ones.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.kind == AdapterKind::Cpu
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}, {}, {})", self.index, self.name, self.kind, self.backend, self.driver)
    }
}

/// Position in `adapters` of the one to use.
///
/// With `asked` it is the best of those that match, otherwise the best of all that suffice. Discrete is better than
/// integrated, then virtual, unknown, CPU; among equals the earlier one.
///
/// # Errors
/// [`DeviceError::NoAdapter`] if there are none, [`DeviceError::AdapterNotFound`] if none matches `asked`,
/// [`DeviceError::Unsuitable`] if all that match lack something (the best one is named).
pub fn choose(adapters: &[Facts], asked: Option<&AdapterChoice>) -> Result<usize, DeviceError> {
    if adapters.is_empty() {
        return Err(DeviceError::NoAdapter);
    }
    let matches = |position: usize, facts: &Facts| match asked {
        None => true,
        Some(AdapterChoice::Index(index)) => *index == position,
        Some(AdapterChoice::Name(part)) => facts.name.to_lowercase().contains(&part.to_lowercase()),
    };
    let mut candidates: Vec<(usize, &Facts)> =
        adapters.iter().enumerate().filter(|(position, facts)| matches(*position, facts)).collect();
    // The sort is stable, so adapters of one kind keep the machine's order.
    candidates.sort_by_key(|(_, facts)| facts.kind.rank());
    if let Some((position, _)) = candidates.iter().find(|(_, facts)| facts.missing().is_empty()) {
        return Ok(*position);
    }
    match (candidates.first(), asked) {
        (Some((_, facts)), _) => {
            Err(DeviceError::Unsuitable { adapter: facts.name.clone(), missing: facts.missing() })
        }
        (None, Some(asked)) => Err(DeviceError::AdapterNotFound {
            asked: asked.to_string(),
            available: adapters.iter().map(ToString::to_string).collect(),
        }),
        (None, None) => Err(DeviceError::NoAdapter),
    }
}
