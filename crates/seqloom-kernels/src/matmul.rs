//! Matrix products, plain, batched and with either operand stored transposed, with pointwise work on the results.
//!
//! Two kernels. The CPU variant is one subgroup per workgroup with everything in registers, because such an adapter
//! pays for loads and barriers and hardly for arithmetic; it reads through strides, so one shader serves all layouts,
//! and it takes no epilogue ([`takes_epilogue`]), so one serves all models too. The tiled variant stages both operands in
//! workgroup memory and is told the layouts, because a GPU wants neighbours to load neighbours.

use seqloom_device::Facts;
use seqloom_shaders::Spec;
use seqloom_shaders::matmul::{MatmulCpu, MatmulCpuParams, MatmulCpuWide, MatmulParams, MatmulTiled};

use crate::error::KernelError;
use crate::launch::{
    Fusion, Job, Launch, Lowered, MOST_ITERATIONS, Operand, count, grid, lanes, prefers_cpu, view,
};

const OP: &str = "matmul";

/// Tiles of 64×64 that are enough to fill a GPU.
const ENOUGH_TILES: u64 = 64;

/// `out[z] = A[z]·B[z]` with `A` M×K and `B` K×N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Number of products.
    pub batch: usize,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the summed axis.
    pub k: usize,
    /// `A` is stored `[K, M]`.
    pub trans_a: bool,
    /// `B` is stored `[N, K]`.
    pub trans_b: bool,
    /// Every product has an `A` of its own; otherwise one serves all.
    pub a_batched: bool,
    /// Every product has a `B` of its own; otherwise one serves all.
    pub b_batched: bool,
}

/// Which kernel multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// One subgroup per workgroup, no workgroup memory, no fusion; needs a known subgroup size.
    Cpu,
    /// Tiles in workgroup memory.
    Tiled,
}

/// Whether [`lower`] accepts a fusion on this device.
///
/// Not where the CPU variant multiplies. It is compiled for a third of a second, once for each epilogue, while a pass of
/// its own over the result takes 15 ms to compile; and in the training step of an LSTM (W2) the pass is also the faster.
#[must_use]
pub fn takes_epilogue(facts: &Facts) -> bool {
    !prefers_cpu(facts)
}

/// `out[z,i,j] = fused(Σ_p A[z,i,p]·B[z,p,j], (z·M + i)·N + j)`, by the variant that suits the device.
///
/// Bindings: `In(0)` A, `In(1)` B, `Out(0)` `[batch, M, N]`, `Leaf(i)` as the fusion says.
///
/// # Errors
/// Sizes beyond what a kernel can number or the device's grid can hold, or a fusion that does not fit; any fusion where
/// [`takes_epilogue`] says no.
pub fn lower(problem: &Problem, facts: &Facts, fusion: Option<&Fusion>) -> Result<Lowered, KernelError> {
    let variant = if prefers_cpu(facts) { Variant::Cpu } else { Variant::Tiled };
    lower_as(variant, problem, facts, fusion)
}

/// `out[z,i,j] = bias[j] + Σ_p A[z,i,p]·B[z,p,j]` where [`takes_epilogue`] says no, by the CPU variant: its sums start with the
/// bias, which costs no pass over the result and no pipeline of its own.
///
/// Bindings: `In(0)` A, `In(1)` B, `In(2)` bias `[N]`, `Out(0)` `[batch, M, N]`.
///
/// # Errors
/// As [`lower`].
pub fn lower_biased(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let plan = Plan::new(&problem.folded(), None)?;
    let launches = if plan.results == 0 { Vec::new() } else { plan.cpu(facts, true, None)? };
    Ok(Lowered { launches, scratch: Vec::new() })
}

/// [`lower`] by a given variant.
///
/// # Errors
/// As [`lower`], and [`Variant::Cpu`] where the subgroup size is not known or with a fusion.
pub fn lower_as(
    variant: Variant,
    problem: &Problem,
    facts: &Facts,
    fusion: Option<&Fusion>,
) -> Result<Lowered, KernelError> {
    let plan = Plan::new(&problem.folded(), fusion)?;
    if plan.results == 0 {
        return Ok(Lowered::default());
    }
    let launches = match variant {
        Variant::Cpu => plan.cpu(facts, false, fusion)?,
        Variant::Tiled => vec![plan.tiled(facts, fusion)?],
    };
    Ok(Lowered { launches, scratch: Vec::new() })
}

impl Problem {
    /// The same product with the batch in the rows where one `B` serves all: one tall product fills tiles better than
    /// many short ones, and its results lie in the same order.
    fn folded(&self) -> Self {
        let foldable = self.a_batched && !self.b_batched && !self.trans_a;
        match self.batch.checked_mul(self.m) {
            Some(m) if foldable => Problem { batch: 1, m, ..*self },
            _ => *self,
        }
    }
}

/// A problem whose sizes have been checked.
struct Plan {
    batch: u32,
    trans_a: bool,
    trans_b: bool,
    params: MatmulParams,
    results: u32,
    flops: u64,
    bytes: u64,
}

impl Plan {
    fn new(problem: &Problem, fusion: Option<&Fusion>) -> Result<Self, KernelError> {
        let Problem { batch, m, n, k, trans_a, trans_b, a_batched, b_batched } = *problem;
        let times = |batched: bool| if batched { batch } else { 1 };
        let a = count(OP, "A", &[times(a_batched), m, k])?;
        let b = count(OP, "B", &[times(b_batched), k, n])?;
        let results = count(OP, "out", &[batch, m, n])?;
        let [batch, m, n, k] = [batch, m, n, k].map(|size| size as u32);
        let (a_row, a_col) = if trans_a { (1, m) } else { (k, 1) };
        let (b_row, b_col) = if trans_b { (1, k) } else { (n, 1) };
        let params = MatmulParams {
            m,
            n,
            k,
            a_row,
            a_col,
            a_batch: if a_batched { m * k } else { 0 },
            b_row,
            b_col,
            b_batch: if b_batched { k * n } else { 0 },
            view: view(OP, fusion)?,
            ..MatmulParams::default()
        };
        let flops = 2 * u64::from(results) * u64::from(k);
        let bytes = 4 * (u64::from(a) + u64::from(b) + u64::from(results));
        Ok(Plan { batch, trans_a, trans_b, params, results, flops, bytes })
    }

    /// One launch, or as many as the iterations of a long sum take; all but the first add to the result.
    fn cpu(&self, facts: &Facts, biased: bool, fusion: Option<&Fusion>) -> Result<Vec<Launch>, KernelError> {
        let lanes = lanes(OP, "cpu", facts)?;
        // Loads are shared by the rows of a tile, so it is as tall as the matrix gives work for.
        let rows = match self.params.m {
            0..=8 => 8,
            9..=16 => 16,
            _ => 32,
        };
        let grid = self.grid(rows, 4 * lanes, facts)?;
        let wide = self.is_wide();
        // A step of the kernel takes four values, or half as many as a subgroup has lanes; the rest, one by one, are fewer
        // than that.
        let longest = (MOST_ITERATIONS - lanes) * (lanes / 2);
        let MatmulParams { m, n, k, a_row, a_col, a_batch, b_row, b_col, b_batch, .. } = self.params;
        let part = |first: u32| {
            let end = k.min(first.saturating_add(longest));
            // Once, where the sum is cut.
            let biased_here = u32::from(biased && first == 0);
            let params = MatmulCpuParams {
                m,
                n,
                first,
                end,
                a_row,
                a_col,
                a_batch,
                b_row,
                b_col,
                b_batch,
                biased: biased_here,
            };
            let add = first > 0;
            let flops = 2 * u64::from(self.results) * u64::from(end - first);
            if wide {
                let spec = MatmulCpuWide { lanes, rows, a_rows: self.trans_a, b_columns: !self.trans_b, add };
                self.cpu_job(spec, params, grid, flops, biased).fused(facts, fusion, u64::from(self.results))
            } else {
                let spec = MatmulCpu { lanes, rows, add };
                self.cpu_job(spec, params, grid, flops, biased).fused(facts, fusion, u64::from(self.results))
            }
        };
        // Without anything to sum there is still a launch, to write zeros.
        (0..k.max(1)).step_by(longest as usize).map(part).collect()
    }

    /// Whether the sizes are those of the kernel that loads four values at once.
    fn is_wide(&self) -> bool {
        let MatmulParams { m, n, k, .. } = self.params;
        let whole = |size: u32| size.is_multiple_of(4);
        let a = whole(if self.trans_a { m } else { k });
        let b = whole(if self.trans_b { k } else { n });
        k > 0 && whole(n) && a && b
    }

    fn cpu_job<S: Spec>(
        &self,
        spec: S,
        params: S::Params,
        grid: [u32; 3],
        flops: u64,
        biased: bool,
    ) -> Job<S> {
        let mut job = self.job(spec, params, grid);
        job.flops = flops;
        // B stands in for a bias that is not read.
        job.bindings.insert(2, Operand::In(if biased { 2 } else { 1 }));
        job
    }

    fn tiled(&self, facts: &Facts, fusion: Option<&Fusion>) -> Result<Launch, KernelError> {
        let MatmulParams { m, n, .. } = self.params;
        let large = u64::from(m.div_ceil(64)) * u64::from(n.div_ceil(64)) * u64::from(self.batch);
        // Large tiles read less, small ones occupy more of the device; an edge wastes the rest of its tile.
        let tile = if large >= ENOUGH_TILES && m > 32 && n > 32 { 64 } else { 32 };
        let spec = MatmulTiled {
            tile_m: tile,
            tile_n: tile,
            tile_k: 16,
            thread_m: 4,
            thread_n: 4,
            trans_a: self.trans_a,
            trans_b: self.trans_b,
        };
        let grid = self.grid(tile, tile, facts)?;
        self.job(spec, self.params, grid).fused(facts, fusion, u64::from(self.results))
    }

    fn grid(&self, tile_m: u32, tile_n: u32, facts: &Facts) -> Result<[u32; 3], KernelError> {
        let MatmulParams { m, n, .. } = self.params;
        grid(OP, [n.div_ceil(tile_n), m.div_ceil(tile_m), self.batch], facts)
    }

    fn job<S: Spec>(&self, spec: S, params: S::Params, grid: [u32; 3]) -> Job<S> {
        let MatmulParams { m, n, k, .. } = self.params;
        let layout = match (self.trans_a, self.trans_b) {
            (false, false) => "NN",
            (false, true) => "NT",
            (true, false) => "TN",
            (true, true) => "TT",
        };
        Job {
            op: OP,
            shape: format!("{layout} {}x[{m}x{k}x{n}]", self.batch),
            spec,
            params,
            bindings: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
            grid,
            flops: self.flops,
            bytes: self.bytes,
        }
    }
}
