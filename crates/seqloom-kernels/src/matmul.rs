//! Matrix products, plain, batched and with either operand stored transposed, with pointwise work on the results.
//!
//! On a CPU adapter one subgroup per workgroup keeps everything in registers, because such an adapter pays for loads
//! and barriers and hardly for arithmetic. If sizes are multiples of 4, it loads four values at once, with a kernel for
//! each layout, otherwise single values through strides. It fuses a bias and no other epilogue ([`takes_epilogue`]), so
//! a few pipelines serve all models.
//!
//! On a GPU tiles of both operands are staged in workgroup memory, four values at once if sizes are multiples of 4. The
//! kernel knows the layouts, because neighbouring invocations should load neighbouring values.
//!
//! [`row`] computes a single row on CPU adapters, and [`cooperative`] half precision on GPUs.

pub mod cooperative;
pub mod row;

use std::fmt;

use seqloom_device::Facts;
use seqloom_shaders::matmul::{
    MatmulCpu, MatmulCpuParams, MatmulCpuWide, MatmulParams, MatmulTiled, MatmulTiledWide, TILES,
};
use seqloom_shaders::{Spec, Width};

use crate::error::KernelError;
use crate::launch::{
    FEWEST_LANES, Fusion, Job, Launch, Lowered, Operand, count, lanes, parts_grid, prefers_cpu, view, view_at,
};
use crate::sums::block;

const OP: &str = "matmul";

/// Number of 64×64 tiles that fill a GPU.
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
    /// Every product has its own `A`; otherwise all share one.
    pub a_batched: bool,
    /// Every product has its own `B`; otherwise all share one.
    pub b_batched: bool,
}

/// The kernel and its tile size. Results have the same bits for all: every sum is taken in the order of p, and a long
/// one by the same blocks (`sums`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// One subgroup per workgroup with this many rows, 8, 16 or 32, without workgroup memory and fusion; needs a known
    /// subgroup size.
    Rows(u32),
    /// A tile in workgroup memory.
    Shared {
        /// Rows and columns of a workgroup's results.
        size: [u32; 2],
        /// Values of the summed axis that the workgroup holds at a time.
        depth: u32,
        /// Rows and columns of an invocation's results.
        thread: [u32; 2],
    },
}

/// The tiles that the kernel for CPU adapters is specialised to.
const ROWS: [u32; 3] = [8, 16, 32];

/// The tiles that the kernels for GPUs are specialised to, large to small, and those that the rules choose from.
const SHARED: [Tile; TILES.len()] = {
    let (mut tiles, mut at) = ([shared(TILES[0]); TILES.len()], 0);
    while at < TILES.len() {
        tiles[at] = shared(TILES[at]);
        at += 1;
    }
    tiles
};
const HUGE: Tile = SHARED[0];
const LARGE: Tile = SHARED[3];
const SMALL: Tile = SHARED[4];

const fn shared([tile_m, tile_n, depth, thread_m, thread_n]: [u32; 5]) -> Tile {
    Tile::Shared { size: [tile_m, tile_n], depth, thread: [thread_m, thread_n] }
}

impl Tile {
    /// The tile that suits problem and device, as far as rules can tell.
    #[must_use]
    pub fn suited(problem: &Problem, facts: &Facts) -> Self {
        let Problem { batch, m, n, .. } = problem.folded();
        if prefers_cpu(facts) {
            // The rows of a tile share loads, so it is as tall as the matrix allows.
            return Tile::Rows(match m {
                0..=8 => 8,
                9..=16 => 16,
                _ => 32,
            });
        }
        let enough = |side: usize, tiles: u64| {
            m.div_ceil(side).saturating_mul(n.div_ceil(side)).saturating_mul(batch) as u64 >= tiles
        };
        // Large tiles read less, small ones fill more of the device; a tile at an edge wastes its rest.
        match m.min(n) {
            65.. if enough(128, 2 * ENOUGH_TILES) => HUGE,
            33.. if enough(64, ENOUGH_TILES) => LARGE,
            _ => SMALL,
        }
    }

    /// Every tile that this kind of device can use.
    #[must_use]
    pub fn all(facts: &Facts) -> Vec<Self> {
        if prefers_cpu(facts) { ROWS.map(Tile::Rows).to_vec() } else { SHARED.to_vec() }
    }

    /// An estimate of a product's time, without a unit; it only serves to rule out slow tiles.
    pub(crate) fn cost(self, problem: &Problem, facts: &Facts) -> f64 {
        let Problem { batch, m, n, k, .. } = problem.folded();
        let (batch, k) = (batch as f64, k.max(1) as f64);
        let tiles = |rows: u32, columns: u32| {
            batch * m.div_ceil(rows as usize) as f64 * n.div_ceil(columns as usize) as f64
        };
        match self {
            Tile::Rows(rows) => {
                let lanes = facts.lanes().unwrap_or(FEWEST_LANES);
                // For each p: the loads of four values of B per lane, those of A, and the multiplications.
                let step = 4 * lanes + rows + 4 * rows;
                tiles(rows, 4 * lanes) * k * f64::from(step)
            }
            Tile::Shared { size: [rows, columns], thread: [of_rows, of_columns], .. } => {
                let workgroups = tiles(rows, columns);
                let [near, far] = [(of_rows, of_columns), (rows, columns)]
                    .map(|(a, b)| 1.0 / f64::from(a) + 1.0 / f64::from(b));
                let invocations = f64::from(rows / of_rows * (columns / of_columns));
                let busy = (workgroups * invocations / (ENOUGH_TILES as f64 * 256.0)).min(1.0);
                let each = f64::from(rows * columns) * k;
                workgroups * each * (1.0 + 2.0 * near + 8.0 * far) / busy.max(f64::MIN_POSITIVE)
            }
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tile::Rows(rows) => write!(f, "rows {rows}"),
            Tile::Shared { size: [rows, columns], depth, thread: [of_rows, of_columns] } => {
                write!(f, "tile {rows}x{columns}x{depth} by {of_rows}x{of_columns}")
            }
        }
    }
}

/// Whether [`lower`] accepts a fusion of this product on this device.
///
/// Not if a CPU adapter multiplies by tiles: their kernel takes a good part of a second to compile, once per epilogue,
/// and a separate pass over the result compiles in 15 ms. In the training step of an LSTM (W2) the pass is also faster.
#[must_use]
pub fn takes_epilogue(problem: &Problem, facts: &Facts) -> bool {
    !prefers_cpu(facts) || row::suits(problem, facts)
}

/// `out[z,i,j] = fused(Σ_p A[z,i,p]·B[z,p,j], (z·M + i)·N + j)`, by the variant that suits the device.
///
/// A sum of K terms is off by at most (b + ⌈K / b⌉)·2⁻²⁴ of Σ|A·B|, where b is 2048, or the power of two beyond √K if
/// that is larger.
///
/// Bindings: `In(0)` A, `In(1)` B, `Out(0)` `[batch, M, N]`, `Leaf(i)` as the fusion says.
///
/// # Errors
/// Sizes that no kernel can number or that exceed the device's grid, or a fusion that does not fit; any fusion
/// if [`takes_epilogue`] says no.
pub fn lower(problem: &Problem, facts: &Facts, fusion: Option<&Fusion>) -> Result<Lowered, KernelError> {
    if row::suits(problem, facts) {
        return row::lower(problem, None, facts, fusion);
    }
    lower_as(Tile::suited(problem, facts), problem, facts, fusion)
}

/// `out[z,i,j] = bias[j] + Σ_p A[z,i,p]·B[z,p,j]` by the tiles of CPU adapters. Their sums start with the bias, which
/// needs no pass over the result and no extra pipeline.
///
/// Bindings: `In(0)` A, `In(1)` B, `In(2)` bias `[N]`, `Out(0)` `[batch, M, N]`.
///
/// # Errors
/// As [`lower`], and if the tile that suits the device is not one of [`Tile::Rows`].
pub fn lower_biased(problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    lower_biased_as(Tile::suited(problem, facts), problem, facts)
}

/// [`lower_biased`] by a given tile.
///
/// # Errors
/// As [`lower_biased`].
pub fn lower_biased_as(tile: Tile, problem: &Problem, facts: &Facts) -> Result<Lowered, KernelError> {
    let Tile::Rows(rows) = tile else {
        return Err(KernelError::Problem { op: OP, detail: format!("{tile} takes no bias") });
    };
    launches(problem, None, |plan| plan.cpu(rows, facts, true, None))
}

/// [`lower`] by a given tile.
///
/// # Errors
/// As [`lower`]; [`Tile::Rows`] if the subgroup size is not known or with a fusion; a tile that the kernels
/// are not specialised to.
pub fn lower_as(
    tile: Tile,
    problem: &Problem,
    facts: &Facts,
    fusion: Option<&Fusion>,
) -> Result<Lowered, KernelError> {
    if !SHARED.contains(&tile) && !ROWS.map(Tile::Rows).contains(&tile) {
        return Err(KernelError::Problem { op: OP, detail: format!("there is no kernel with {tile}") });
    }
    launches(problem, fusion, |plan| plan.by(tile, facts, fusion))
}

/// [`lower_as`] with sums cut after `block` terms, a multiple of 32, instead of the family's own blocks: to test the
/// cut with short sums.
///
/// # Errors
/// As [`lower_as`].
pub fn lower_by_blocks(
    block: u32,
    tile: Tile,
    problem: &Problem,
    facts: &Facts,
) -> Result<Lowered, KernelError> {
    launches(problem, None, |plan| {
        let params = MatmulParams { block, ..plan.params };
        Plan { params, long: block < params.k, ..*plan }.by(tile, facts, None)
    })
}

/// The launches that `make` makes of a checked problem; none for an empty one.
fn launches(
    problem: &Problem,
    fusion: Option<&Fusion>,
    make: impl FnOnce(&Plan) -> Result<Vec<Launch>, KernelError>,
) -> Result<Lowered, KernelError> {
    let plan = Plan::new(&problem.folded(), fusion)?;
    let launches = if plan.results == 0 { Vec::new() } else { make(&plan)? };
    Ok(Lowered { launches, scratch: Vec::new() })
}

impl Problem {
    /// The same product with the batch folded into the rows, if all share one `B`: one tall product fills tiles better
    /// than many short ones, and its results have the same order.
    pub(crate) fn folded(&self) -> Self {
        let foldable = self.a_batched && !self.b_batched && !self.trans_a;
        match self.batch.checked_mul(self.m) {
            Some(m) if foldable => Problem { batch: 1, m, ..*self },
            _ => *self,
        }
    }

    /// Whether the sizes are those of the kernels that load four values at once.
    fn is_wide(&self) -> bool {
        let Problem { m, n, k, trans_a, trans_b, .. } = *self;
        let [a, b] = [if trans_a { m } else { k }, if trans_b { k } else { n }];
        k > 0 && [n, a, b].iter().all(|size| size.is_multiple_of(4))
    }
}

/// A problem whose sizes have been checked.
struct Plan {
    /// Whether four values can be loaded at once.
    wide: bool,
    batch: u32,
    trans_a: bool,
    trans_b: bool,
    params: MatmulParams,
    /// Whether the sums are long enough to be cut into blocks.
    long: bool,
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
        let block = block(k);
        let long = block < k;
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
            batch,
            block: block as u32,
            view: view(OP, fusion)?,
            ..MatmulParams::default()
        };
        let flops = 2 * u64::from(results) * u64::from(k);
        let bytes = 4 * (u64::from(a) + u64::from(b) + u64::from(results));
        Ok(Plan { wide: problem.is_wide(), batch, trans_a, trans_b, params, long, results, flops, bytes })
    }

    fn by(&self, tile: Tile, facts: &Facts, fusion: Option<&Fusion>) -> Result<Vec<Launch>, KernelError> {
        match tile {
            Tile::Rows(rows) => self.cpu(rows, facts, false, fusion),
            Tile::Shared { size, depth, thread } => Ok(vec![self.tiled(size, depth, thread, facts, fusion)?]),
        }
    }

    /// One launch, or one for each block of long sums; all except the first add to the result.
    fn cpu(
        &self,
        rows: u32,
        facts: &Facts,
        biased: bool,
        fusion: Option<&Fusion>,
    ) -> Result<Vec<Launch>, KernelError> {
        let lanes = lanes(OP, "cpu", facts)?;
        let grid = self.grid(rows, 4 * lanes, facts)?;
        // No block has more steps, each of at least two values, than the iterations allowed to an invocation.
        let MatmulParams { m, n, k, a_row, a_col, a_batch, b_row, b_col, b_batch, batch, block, .. } =
            self.params;
        let part = |first: u32| {
            let end = k.min(first.saturating_add(block));
            // Once, if the sum is cut.
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
                batch,
            };
            let add = first > 0;
            let flops = 2 * u64::from(self.results) * u64::from(end - first);
            if self.wide {
                let spec = MatmulCpuWide { lanes, rows, a_rows: self.trans_a, b_columns: !self.trans_b, add };
                self.cpu_job(spec, params, grid, flops, biased).fused(facts, fusion, u64::from(self.results))
            } else {
                let spec = MatmulCpu { lanes, rows, add };
                self.cpu_job(spec, params, grid, flops, biased).fused(facts, fusion, u64::from(self.results))
            }
        };
        // Without anything to sum there is still a launch, to write zeros.
        (0..k.max(1)).step_by(block as usize).map(part).collect()
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

    fn tiled(
        &self,
        [tile_m, tile_n]: [u32; 2],
        tile_k: u32,
        [thread_m, thread_n]: [u32; 2],
        facts: &Facts,
        fusion: Option<&Fusion>,
    ) -> Result<Launch, KernelError> {
        let (trans_a, trans_b, long) = (self.trans_a, self.trans_b, self.long);
        let grid = self.grid(tile_m, tile_n, facts)?;
        let results = u64::from(self.results);
        if self.wide && fusion.is_none_or(|fusion| fusion.four.is_some()) {
            let width = Width::Four;
            let spec =
                MatmulTiledWide { tile_m, tile_n, tile_k, thread_m, thread_n, trans_a, trans_b, long, width };
            let params = MatmulParams { view: view_at(OP, fusion, width)?, ..self.params };
            return self.job(spec, params, grid).fused(facts, fusion, results);
        }
        let spec = MatmulTiled { tile_m, tile_n, tile_k, thread_m, thread_n, trans_a, trans_b, long };
        self.job(spec, self.params, grid).fused(facts, fusion, results)
    }

    fn grid(&self, tile_m: u32, tile_n: u32, facts: &Facts) -> Result<[u32; 3], KernelError> {
        let MatmulParams { m, n, .. } = self.params;
        parts_grid(OP, [n.div_ceil(tile_n), m.div_ceil(tile_m), self.batch], facts)
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
