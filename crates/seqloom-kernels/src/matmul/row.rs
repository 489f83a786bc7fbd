//! The product of a single row with a linear layer's weight, as in generation, on CPU adapters.
//!
//! A launch costs such an adapter more than the product, because it wakes threads. So this variant fuses what would
//! otherwise be launches: a norm before the product and any pointwise code after it. Its loops are rolled, and each
//! such pipeline compiles in a fraction of a tile's compile time.

use seqloom_device::Facts;
use seqloom_shaders::matmul::{MatmulRow, MatmulRowParams};

use super::{OP, Problem};
use crate::error::KernelError;
use crate::launch::{
    FEWEST_LANES, Fusion, Job, Lowered, Operand, count, grid, lanes, prefers_cpu, view, workgroups,
};
use crate::sums::BLOCK;

/// The depth, K, at which each of the fewest lanes adds as many quads one by one as a block has.
const MOST_DEPTH: usize = (FEWEST_LANES * 4) as usize * BLOCK;

/// Columns that a workgroup sums at a time.
const COLUMNS: u32 = 8;

/// Largest depth of a row that is normalised: what the kernel's workgroup memory holds.
const MOST_NORMED: usize = 4096;

/// Most workgroups: enough for many cores, few enough that the norm, which each recomputes, stays the smaller part. And
/// the least work of one, in quads of K by groups of columns.
const MOST_WORKGROUPS: u32 = 16;
const WORK: u64 = 64;

/// How the row is normalised before it is multiplied ([`crate::norm`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normed {
    /// Subtract the mean first and add a bias (layer normalisation), or not (root mean square).
    pub centred: bool,
    /// Added to the variance.
    pub eps: f32,
}

/// Whether [`lower`] accepts the problem on this device. If so, it is also the fastest variant.
#[must_use]
pub fn suits(problem: &Problem, facts: &Facts) -> bool {
    let Problem { batch, m, k, trans_a, trans_b, .. } = problem.folded();
    let walkable = (1..=MOST_DEPTH).contains(&k) && k.is_multiple_of(4);
    prefers_cpu(facts) && batch == 1 && m == 1 && !trans_a && trans_b && walkable
}

/// Whether [`lower`] can also fuse a norm before the product.
#[must_use]
pub fn takes_norm(problem: &Problem, facts: &Facts) -> bool {
    suits(problem, facts) && problem.k <= MOST_NORMED
}

/// `out[j] = fused(Σ_p X[p]·B[j,p], j)` with `X` the row of `A`, normalised if `norm` says so.
///
/// Bindings: `In(0)` A `[1, K]`, `In(1)` B `[N, K]`, `In(2)` the norm's weight `[K]` and, if centred, `In(3)` its bias `[K]`,
/// `Out(0)` `[1, N]`, `Leaf(i)` as the fusion says.
///
/// # Errors
/// A problem that does not suit ([`suits`], with a norm [`takes_norm`]), sizes that no kernel can number or
/// walk, or a fusion that does not fit.
pub fn lower(
    problem: &Problem,
    norm: Option<Normed>,
    facts: &Facts,
    fusion: Option<&Fusion>,
) -> Result<Lowered, KernelError> {
    let Problem { n, k, .. } = *problem;
    let fits = if norm.is_some() { takes_norm } else { suits };
    if !fits(problem, facts) {
        let detail = format!("{problem:?} does not suit the kernel for a single row");
        return Err(KernelError::Problem { op: OP, detail });
    }
    let b = u64::from(count(OP, "B", &[n, k])?);
    if n == 0 {
        return Ok(Lowered::default());
    }
    let [n, quads] = [n, k / 4].map(|size| size as u32);
    let lanes = lanes(OP, "row", facts)?;
    // The walk over K for each group of columns. The norm's walks happen once but are counted with each group.
    let walk = 4 * u64::from(quads.div_ceil(lanes)) + u64::from(COLUMNS);
    let groups = n.div_ceil(COLUMNS);
    let worthwhile = (u64::from(groups) * u64::from(quads)).div_ceil(WORK).min(MOST_WORKGROUPS.into()) as u32;
    let across = workgroups(OP, groups, walk, (1, worthwhile), facts)?;
    let (normed, centred) = (norm.is_some(), norm.is_some_and(|norm| norm.centred));
    let eps = norm.map_or(0.0, |norm| norm.eps);
    // A binding that is not read still needs a buffer.
    let weight = if normed { Operand::In(2) } else { Operand::In(0) };
    let bias = if centred { Operand::In(3) } else { weight };
    let kind = match norm {
        None => "",
        Some(Normed { centred: true, .. }) => "layer norm, ",
        Some(Normed { centred: false, .. }) => "rms norm, ",
    };
    let job = Job {
        op: OP,
        shape: format!("{kind}NT 1x[1x{k}x{n}]"),
        spec: MatmulRow { lanes, normed, centred },
        params: MatmulRowParams { n, quads, eps, view: view(OP, fusion)?, ..MatmulRowParams::default() },
        bindings: vec![Operand::In(0), Operand::In(1), weight, bias, Operand::Out(0)],
        grid: grid(OP, [across, 1, 1], facts)?,
        flops: 2 * b,
        bytes: 4 * (b + k as u64 + u64::from(n)),
    };
    Ok(Lowered::single(job.fused(facts, fusion, u64::from(n))?))
}
