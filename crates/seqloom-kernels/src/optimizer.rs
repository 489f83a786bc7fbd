//! AdamW over whole arenas, with the global-norm clip and the skip of steps that are not finite decided on the device.
//!
//! Three kernels: partial sums of squares of every chunk, one workgroup that makes the norm and the factor of them,
//! and the update of every chunk. An arena comes in chunks because a device limits how much one binding may cover;
//! all of them share one norm, since clipping by anything less would not be PyTorch's. No number of a step is in a
//! launch: they all come from the `Control` buffer, so a program can be replayed.

use seqloom_device::Facts;
use seqloom_shaders::optimizer::{
    AdamW, AdamWParams, NormFinish, NormFinishParams, NormPartial, NormPartialParams,
};

use crate::error::KernelError;
use crate::launch::{Job, Lowered, Operand, count, flat_grid, prefers_cpu, striding, width, workgroups};

const OP: &str = "optimizer";

/// Bytes of a `Control` and of the four statistics.
const SMALL_BYTES: u64 = 48 + 16;

/// Values whose squares an invocation adds one by one: so few that their sum is right to 2048·2⁻²⁴ of itself at worst.
const LONGEST_SUM: u32 = 2048;

/// Buffers of one chunk: gradients, parameters and both moments.
const PER_CHUNK: usize = 4;

/// One step of AdamW over chunks of those lengths.
///
/// Bindings: `In(0)` the `Control`; of chunk i `In(1 + 4i)` gradients, `In(2 + 4i)` parameters, `In(3 + 4i)` and
/// `In(4 + 4i)` first and second moment, the last three written in place; `Out(0)` `[4]`: norm of the unscaled
/// gradients, factor applied to them, 1 where the step was skipped, 0. `Scratch(0)` holds the partial sums.
///
/// # Errors
/// A chunk beyond what a kernel can number.
pub fn lower(chunks: &[usize], facts: &Facts) -> Result<Lowered, KernelError> {
    let mut lowered = Lowered::default();
    // As many partial sums as fill a device; a function of facts and lengths, so the same in every run.
    let (workgroup, most) = if prefers_cpu(facts) { (64, 16) } else { (256, 256) };
    let chunk_lens =
        chunks.iter().map(|len| count(OP, "chunk", &[*len])).collect::<Result<Vec<u32>, KernelError>>()?;
    let full = || chunk_lens.iter().copied().enumerate().filter(|(_, len)| *len > 0);

    let mut partials = 0;
    for (i, len) in full() {
        let width = width(len, None, facts);
        let (items, parts) = (len / width.elements(), width.elements() as f32);
        let most = most.max(items.div_ceil(workgroup * LONGEST_SUM));
        let groups = workgroups(OP, items, 0, (workgroup, most), facts)?;
        let job = Job {
            op: OP,
            shape: len.to_string(),
            spec: NormPartial { workgroup, width },
            params: NormPartialParams { len: items, offset: partials, parts },
            bindings: vec![Operand::In(1 + PER_CHUNK * i), Operand::Scratch(0)],
            grid: flat_grid(OP, groups, workgroup, facts)?,
            flops: 2 * u64::from(len),
            bytes: 4 * (u64::from(len) + u64::from(groups)),
        };
        // The kernel writes a sum per workgroup of its grid, which may be rounded up.
        partials += job.grid[0] * job.grid[1];
        lowered.launches.push(job.plain(facts)?);
    }
    if partials == 0 {
        return Ok(lowered);
    }
    lowered.scratch.push(4 * u64::from(partials));
    let finish = Job {
        op: OP,
        shape: partials.to_string(),
        spec: NormFinish { workgroup },
        params: NormFinishParams { count: partials },
        bindings: vec![Operand::In(0), Operand::Scratch(0), Operand::Out(0)],
        grid: [1, 1, 1],
        flops: u64::from(partials),
        bytes: SMALL_BYTES + 4 * u64::from(partials),
    };
    lowered.launches.push(finish.plain(facts)?);
    for (i, len) in full() {
        let width = width(len, None, facts);
        let items = len / width.elements();
        let (workgroup, grid) = striding(OP, items, 0, facts)?;
        let mut bindings = vec![Operand::In(0), Operand::Out(0)];
        bindings.extend((0..PER_CHUNK).map(|buffer| Operand::In(1 + PER_CHUNK * i + buffer)));
        let update = Job {
            op: OP,
            shape: len.to_string(),
            spec: AdamW { workgroup, width },
            params: AdamWParams { len: items },
            bindings,
            grid,
            flops: 16 * u64::from(len),
            bytes: SMALL_BYTES + 28 * u64::from(len),
        };
        lowered.launches.push(update.plain(facts)?);
    }
    Ok(lowered)
}
