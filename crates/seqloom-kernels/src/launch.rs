//! From a typed specialisation to a launch: the form in which every family returns its work.
//!
//! A [`Launch`] holds everything that a device needs except the buffers. Those are named by their role in the problem
//! ([`Operand`]), because the graph places them only after it has planned its memory. Families fill in a [`Job`]; this
//! file makes the checks that all of them share (immediates, number of buffers, grid).
//!
//! Why a list of launches and not one: a reduction over a long axis, a time loop on a GPU and the optimizer take
//! several kernels each, and only the family knows their order and what they pass on in scratch.

use bytemuck::bytes_of;
use seqloom_device::Facts;
use seqloom_shaders::{Elem, FusedCode, Spec, ViewParams, Wgsl, Width, assemble};

use crate::error::KernelError;

/// Most strided leaf views that one kernel carries.
pub const MAX_STRIDES: usize = 4;

/// Largest number of elements in one tensor; one bit of the 32 is kept so that `i += stride` cannot wrap.
const MAX_COUNT: usize = i32::MAX as usize;

/// Work fused into a kernel: generated code, and how it reads its leaves.
#[derive(Clone, Debug, Default)]
pub struct Fusion {
    /// The body of `fused(value, index)` and the element types of `leaf0`, `leaf1`, ...
    pub code: FusedCode,
    /// Extents of the output (of the head, for a reduction), outermost first, 1 where unused.
    pub dims: [u32; 4],
    /// Element strides of the views `params.view.s0` to `s3`; at most [`MAX_STRIDES`].
    pub strides: Vec<[u32; 4]>,
    /// First elements of up to four leaves; if there are any, they take the next of the views, of which then one fewer is left.
    pub offsets: Vec<u32>,
    /// The same work on four neighbours at a time, if its leaves can be read so: code, extents and strides for tensors whose
    /// elements are fours. The leaves are the same buffers in the same order.
    pub four: Option<Box<Fusion>>,
}

impl Fusion {
    /// A head that just passes on its one f32 operand.
    #[must_use]
    pub fn identity() -> Self {
        let of =
            |elem| FusedCode { body: "    return leaf0[index];\n".to_owned(), leaves: vec![elem], states: 0 };
        let four = Fusion { code: of(Elem::F32x4), ..Self::default() };
        Self { code: of(Elem::F32), four: Some(Box::new(four)), ..Self::default() }
    }

    /// Code that gives 0 and reads nothing.
    pub(crate) fn zeros() -> Self {
        let code = FusedCode { body: "    return Value(0.0f);\n".to_owned(), ..FusedCode::default() };
        let four = Some(Box::new(Fusion { code: code.clone(), ..Self::default() }));
        Self { code, four, ..Self::default() }
    }

    /// The work for a kernel of this width, which [`width`] has allowed.
    pub(crate) fn at(&self, width: Width) -> &Self {
        match width {
            Width::One => self,
            Width::Four => self.four.as_deref().unwrap_or(self),
        }
    }

    /// The view as a kernel's immediates carry it.
    fn view(&self, op: &'static str) -> Result<ViewParams, KernelError> {
        let mut offsets = [0; 4];
        let fits = offsets.get_mut(..self.offsets.len()).map(|to| to.copy_from_slice(&self.offsets));
        let given = self.strides.len() + usize::from(!self.offsets.is_empty());
        if given > MAX_STRIDES || fits.is_none() {
            return Err(KernelError::Strides {
                op,
                given: given.max(self.offsets.len()),
                limit: MAX_STRIDES,
            });
        }
        // An extent of 0 stands for "unused"; the kernel divides by extents.
        let mut view = ViewParams { dims: self.dims.map(|dim| dim.max(1)), ..ViewParams::default() };
        view.strides[..self.strides.len()].copy_from_slice(&self.strides);
        if let Some(next) = view.strides.get_mut(self.strides.len()).filter(|_| !self.offsets.is_empty()) {
            *next = offsets;
        }
        Ok(view)
    }

    /// Bytes of leaves that a pass over `elements` reads at least once: a broadcast view counts what it covers, a
    /// leaf without a view counts the elements.
    fn bytes(&self, elements: u64) -> u64 {
        let covered = |strides: &[u32; 4]| -> u64 {
            let axes = self.dims.iter().zip(strides).filter(|(_, stride)| **stride != 0);
            axes.map(|(dim, _)| u64::from(*dim)).product()
        };
        let viewed: u64 = self.strides.iter().map(covered).sum();
        let arrays = self.code.leaves.iter().filter(|leaf| **leaf != Elem::Control).count();
        4 * (viewed + arrays.saturating_sub(self.strides.len()) as u64 * elements)
    }
}

/// Which buffer a binding is, by its role in the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// An input of the problem, in the family's documented order. The optimizer also writes to some.
    In(usize),
    /// A result of the problem; every element is written.
    Out(usize),
    /// Temporary storage of [`Lowered::scratch`].
    Scratch(usize),
    /// An input of the fused code.
    Leaf(usize),
}

/// One dispatch without its buffers.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Kernel, specialisation and shape, for people.
    pub label: String,
    /// The shader.
    pub wgsl: Wgsl,
    /// What to bind, in binding order.
    pub bindings: Vec<Operand>,
    /// The parameters.
    pub immediates: Vec<u8>,
    /// Workgroups in x, y and z.
    pub grid: [u32; 3],
    /// Floating point operations; fused work counts one per leaf and element.
    pub flops: u64,
    /// Bytes moved if everything is read and written once.
    pub bytes: u64,
}

/// A problem as launches, to be run in order.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// The launches; none for an empty result.
    pub launches: Vec<Launch>,
    /// Bytes of each scratch buffer. What they hold before does not matter.
    pub scratch: Vec<u64>,
}

impl Lowered {
    /// A single launch without scratch.
    pub(crate) fn single(launch: Launch) -> Self {
        Lowered { launches: vec![launch], scratch: Vec::new() }
    }
}

/// One launch in the making.
pub(crate) struct Job<S: Spec> {
    /// The operation, for errors.
    pub(crate) op: &'static str,
    /// Sizes, for the label.
    pub(crate) shape: String,
    /// The specialisation.
    pub(crate) spec: S,
    /// The parameters.
    pub(crate) params: S::Params,
    /// The kernel's own bindings; leaves are added.
    pub(crate) bindings: Vec<Operand>,
    /// Workgroups.
    pub(crate) grid: [u32; 3],
    /// Operations of the kernel itself.
    pub(crate) flops: u64,
    /// Bytes of the kernel's own bindings.
    pub(crate) bytes: u64,
}

impl<S: Spec> Job<S> {
    /// The launch without fused code.
    pub(crate) fn plain(self, facts: &Facts) -> Result<Launch, KernelError> {
        self.finish(facts, None)
    }

    /// The launch with `fusion` over `elements` elements, its leaves bound in order as [`Operand::Leaf`].
    pub(crate) fn fused(
        self,
        facts: &Facts,
        fusion: Option<&Fusion>,
        elements: u64,
    ) -> Result<Launch, KernelError> {
        let Some(fusion) = fusion else { return self.finish(facts, None) };
        let width = self.spec.width();
        let mut launch = self.finish(facts, Some(&fusion.at(width).code))?;
        launch.bindings.extend((0..fusion.code.leaves.len()).map(Operand::Leaf));
        launch.flops += elements * fusion.code.leaves.len().max(1) as u64;
        launch.bytes += fusion.bytes(elements);
        Ok(launch)
    }

    /// The launch whose fused code reads buffers that the family names itself.
    pub(crate) fn reading(
        self,
        facts: &Facts,
        code: &FusedCode,
        leaves: &[Operand],
    ) -> Result<Launch, KernelError> {
        let mut launch = self.finish(facts, Some(code))?;
        launch.bindings.extend_from_slice(leaves);
        Ok(launch)
    }

    fn finish(self, facts: &Facts, code: Option<&FusedCode>) -> Result<Launch, KernelError> {
        let op = self.op;
        let wgsl = assemble(&self.spec, code)
            .map_err(|source| KernelError::Assemble { op, source: Box::new(source) })?;
        let immediates = bytes_of(&self.params).to_vec();
        if immediates.len() > facts.max_immediate_bytes as usize {
            return Err(KernelError::Immediates {
                op,
                bytes: immediates.len(),
                limit: facts.max_immediate_bytes,
            });
        }
        if wgsl.bindings.len() > facts.max_storage_buffers as usize {
            return Err(KernelError::Buffers {
                op,
                buffers: wgsl.bindings.len(),
                limit: facts.max_storage_buffers,
            });
        }
        Ok(Launch {
            label: format!("{} {}", wgsl.label, self.shape),
            wgsl,
            bindings: self.bindings,
            immediates,
            grid: self.grid,
            flops: self.flops,
            bytes: self.bytes,
        })
    }
}

/// The view of `fusion`, or an unused one.
pub(crate) fn view(op: &'static str, fusion: Option<&Fusion>) -> Result<ViewParams, KernelError> {
    view_at(op, fusion, Width::One)
}

/// The view of `fusion` for a kernel of that width, or an unused one.
pub(crate) fn view_at(
    op: &'static str,
    fusion: Option<&Fusion>,
    width: Width,
) -> Result<ViewParams, KernelError> {
    fusion.map_or(Ok(ViewParams::default()), |fusion| fusion.at(width).view(op))
}

/// How many neighbours a kernel takes at once in rows of `along` elements: four on CPU adapters, where any load is a
/// loop over lanes, if the row length and the fused code allow it.
pub(crate) fn width(along: u32, fusion: Option<&Fusion>, facts: &Facts) -> Width {
    let fits = along.is_multiple_of(4) && fusion.is_none_or(|fusion| fusion.four.is_some());
    if fits && prefers_cpu(facts) { Width::Four } else { Width::One }
}

/// The number of elements of a tensor of those extents, or the extent itself of a single axis.
pub(crate) fn count(op: &'static str, what: &'static str, dims: &[usize]) -> Result<u32, KernelError> {
    // Checked from one, so an extent of 0 does not hide another that is too large for its field.
    if dims.iter().any(|dim| *dim > MAX_COUNT) {
        return Err(KernelError::TooLarge { op, what, dims: dims.to_vec() });
    }
    dims.iter()
        .try_fold(1usize, |product, dim| product.checked_mul(*dim).filter(|product| *product <= MAX_COUNT))
        .map(|product| product as u32)
        .ok_or_else(|| KernelError::TooLarge { op, what, dims: dims.to_vec() })
}

/// A grid of `workgroups` for a kernel that flattens x and y, both within the device's limit.
///
/// The kernel numbers invocations in 32 bits, also those past the end, so the whole grid must stay within 32 bits.
pub(crate) fn flat_grid(
    op: &'static str,
    workgroups: u32,
    workgroup: u32,
    facts: &Facts,
) -> Result<[u32; 3], KernelError> {
    let limit = u64::from(facts.max_grid.max(1));
    let wanted = u64::from(workgroups);
    let y = wanted.div_ceil(limit);
    // Even rows: the grid exceeds the end by less than one row of the narrowest suitable width.
    let x = wanted.div_ceil(y.max(1));
    if y > limit || x * y * u64::from(workgroup) > u64::from(u32::MAX) {
        return Err(KernelError::Grid { op, axis: 'x', workgroups: wanted, limit: limit * limit });
    }
    Ok([x as u32, y as u32, 1])
}

/// Workgroups on a CPU adapter for a kernel that strides over its elements: enough to keep many cores busy to the end,
/// few enough that starting one costs little compared with its work.
pub(crate) const CPU_WORKGROUPS: u32 = 64;

/// Most iterations, of all its loops together, that a kernel may ask of one invocation on a CPU adapter.
///
/// llvmpipe leaves every loop of an invocation after 65535 iterations (`LP_MAX_TGSI_LOOP_ITERATIONS` in Mesa's
/// `gallivm`) without a message, so results would be wrong. The rest of the 65535 is a reserve for short loops, which
/// are not counted.
pub(crate) const MOST_ITERATIONS: u32 = 60_000;

/// Refuses a launch for a CPU adapter whose invocations would exceed [`MOST_ITERATIONS`].
pub(crate) fn check_iterations(op: &'static str, iterations: u64, facts: &Facts) -> Result<(), KernelError> {
    if prefers_cpu(facts) && iterations > u64::from(MOST_ITERATIONS) {
        return Err(KernelError::Iterations { op, iterations, limit: MOST_ITERATIONS });
    }
    Ok(())
}

/// Workgroups of a kernel whose invocations stride over `items` by the grid, with `inner` iterations of loops for each:
/// `most`, or more if that keeps an invocation of a CPU adapter below [`MOST_ITERATIONS`].
pub(crate) fn workgroups(
    op: &'static str,
    items: u32,
    inner: u64,
    (workgroup, most): (u32, u32),
    facts: &Facts,
) -> Result<u32, KernelError> {
    check_iterations(op, inner + 1, facts)?;
    let full = items.div_ceil(workgroup);
    let each = if prefers_cpu(facts) { u64::from(MOST_ITERATIONS) / (inner + 1) } else { u64::MAX };
    // Never more than `full`, because `each` is at least 1.
    let needed = u64::from(full).div_ceil(each) as u32;
    Ok(full.min(most).max(needed))
}

/// Workgroup size and grid for a kernel that strides over `items` by its grid (so any grid is right) and makes `inner`
/// loop iterations for each item.
///
/// A GPU gets an invocation per item, a CPU adapter a few fat workgroups, because there each workgroup costs time and
/// many of them hide no latency. The kernels ship workgroups of 64 and 256.
pub(crate) fn striding(
    op: &'static str,
    items: u32,
    inner: u64,
    facts: &Facts,
) -> Result<(u32, [u32; 3]), KernelError> {
    let (workgroup, most) = if prefers_cpu(facts) { (64, CPU_WORKGROUPS) } else { (256, u32::MAX) };
    let workgroups = workgroups(op, items, inner, (workgroup, most), facts)?;
    Ok((workgroup, flat_grid(op, workgroups, workgroup, facts)?))
}

/// A grid in three dimensions, refused if an axis exceeds the device's limit: for kernels of few workgroups.
pub(crate) fn grid(op: &'static str, grid: [u32; 3], facts: &Facts) -> Result<[u32; 3], KernelError> {
    for (axis, workgroups) in ['x', 'y', 'z'].into_iter().zip(grid) {
        if workgroups > facts.max_grid {
            let limit = u64::from(facts.max_grid);
            return Err(KernelError::Grid { op, axis, workgroups: u64::from(workgroups), limit });
        }
    }
    Ok(grid)
}

/// A grid for a kernel whose parts have positions in three dimensions: one workgroup per part along each axis. If an
/// axis would exceed the device's limit, the grid is flat and the kernel's `tile_of_workgroup`
/// (`lib/grid.wgsl`) recomputes the position.
pub(crate) fn parts_grid(op: &'static str, parts: [u32; 3], facts: &Facts) -> Result<[u32; 3], KernelError> {
    if parts.iter().all(|&along| along <= facts.max_grid) {
        return Ok(parts);
    }
    let all: u64 = parts.iter().map(|&along| u64::from(along)).fold(1, u64::saturating_mul);
    let limit = u64::from(facts.max_grid);
    let refused = KernelError::Grid { op, axis: 'x', workgroups: all, limit: limit * limit };
    flat_grid(op, u32::try_from(all).map_err(|_| refused)?, 1, facts)
}

/// A grid of x and y for a kernel whose position along y is y + z·(workgroups along y), because one axis may be too
/// short.
pub(crate) fn stacked_grid(
    op: &'static str,
    [x, y]: [u32; 2],
    facts: &Facts,
) -> Result<[u32; 3], KernelError> {
    let layers = y.div_ceil(facts.max_grid.max(1)).max(1);
    grid(op, [x, y.div_ceil(layers), layers], facts)
}

/// The smallest subgroup for kernels that broadcast within one.
pub(crate) const FEWEST_LANES: u32 = 4;

/// The subgroup size, if it is known and the kernels can use it.
fn usable_lanes(facts: &Facts) -> Option<u32> {
    facts.lanes().filter(|lanes| (FEWEST_LANES..=facts.max_workgroup_invocations).contains(lanes))
}

/// The subgroup size for a variant that needs to know it.
pub(crate) fn lanes(op: &'static str, variant: &'static str, facts: &Facts) -> Result<u32, KernelError> {
    usable_lanes(facts).ok_or_else(|| KernelError::Subgroups { op, variant, adapter: facts.name.clone() })
}

/// Whether this device uses the variants for CPU adapters.
pub(crate) fn prefers_cpu(facts: &Facts) -> bool {
    facts.is_cpu() && usable_lanes(facts).is_some()
}
