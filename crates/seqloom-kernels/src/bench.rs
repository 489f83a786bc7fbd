//! The two kernels that measure a device's ceilings. No operation of a graph lowers to them.

use seqloom_device::Facts;
use seqloom_shaders::bench::{Arithmetic, ArithmeticParams, Triad, TriadParams};

use crate::error::KernelError;
use crate::launch::{Job, Lowered, Operand, check_iterations, count, grid, prefers_cpu, striding};

const OP: &str = "bench";

/// Operations of one round of an invocation: 12 chains, 4 links, 2 each.
const ROUND_FLOPS: u64 = 96;

/// Rounds of an invocation: long compared with its start, and far below [`crate::launch::MOST_ITERATIONS`].
const ROUNDS: u32 = 4096;

/// Invocations of a workgroup; [`arithmetic`]'s output has that many elements per workgroup.
#[must_use]
pub fn workgroup(facts: &Facts) -> u32 {
    if prefers_cpu(facts) { 64 } else { 256 }
}

/// Multiply-adds in registers by this many workgroups.
///
/// Bindings: `Out(0)`, an element an invocation.
///
/// # Errors
/// More workgroups than the device takes in one dimension.
pub fn arithmetic(workgroups: u32, facts: &Facts) -> Result<Lowered, KernelError> {
    let workgroup = workgroup(facts);
    check_iterations(OP, u64::from(ROUNDS), facts)?;
    let invocations = u64::from(workgroups) * u64::from(workgroup);
    let job = Job {
        op: OP,
        shape: format!("{invocations}×{ROUNDS}"),
        spec: Arithmetic { workgroup },
        params: ArithmeticParams { rounds: ROUNDS },
        bindings: vec![Operand::Out(0)],
        grid: grid(OP, [workgroups, 1, 1], facts)?,
        flops: invocations * u64::from(ROUNDS) * ROUND_FLOPS,
        bytes: 4 * invocations,
    };
    Ok(Lowered::single(job.plain(facts)?))
}

/// out = a + 3·b over `len` elements, rounded down to a multiple of 4.
///
/// Bindings: `In(0)` a, `In(1)` b, `Out(0)`.
///
/// # Errors
/// More elements than a kernel can number.
pub fn triad(len: usize, facts: &Facts) -> Result<Lowered, KernelError> {
    let quads = count(OP, "out", &[len])? / 4;
    if quads == 0 {
        return Ok(Lowered::default());
    }
    let (workgroup, grid) = striding(OP, quads, 0, facts)?;
    let job = Job {
        op: OP,
        shape: (4 * quads).to_string(),
        spec: Triad { workgroup },
        params: TriadParams { quads },
        bindings: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
        grid,
        flops: 8 * u64::from(quads),
        bytes: 3 * 16 * u64::from(quads),
    };
    Ok(Lowered::single(job.plain(facts)?))
}
