//! Products in half precision by cooperative matrices, for GPUs that have them and callers who asked for that
//! (`DeviceOptions::half_products`).
//!
//! This variant is separate from [`super::Tile`], because its results differ from those of the others.
//! [`crate::tune::trusts_half`] decides whether a driver's matrices can be trusted.

use seqloom_device::Facts;
use seqloom_shaders::COOPERATIVE_WORKGROUP_BYTES;
use seqloom_shaders::matmul::{MatmulCooperative, MatmulParams};

use super::{ENOUGH_TILES, OP, Plan, Problem, launches};
use crate::error::KernelError;
use crate::launch::{Fusion, Launch, Lowered, lanes, prefers_cpu};
use crate::sums::block;

/// Subgroups of a workgroup and matrices of a subgroup, from top to bottom and from left to right.
#[derive(Clone, Copy, Debug)]
struct Shape {
    subgroups: [u32; 2],
    fragments: [u32; 2],
}

/// 128×128 results per workgroup with matrices of 16×16, and 64×64.
const LARGE: Shape = Shape { subgroups: [2, 4], fragments: [4, 2] };
const SMALL: Shape = Shape { subgroups: [2, 2], fragments: [2, 2] };

impl Shape {
    /// Rows and columns of a workgroup's results.
    fn size(self, side: u32) -> [u32; 2] {
        [0, 1].map(|axis| side * self.subgroups[axis] * self.fragments[axis])
    }

    fn invocations(self, lanes: u32) -> u32 {
        lanes * self.subgroups[0] * self.subgroups[1]
    }

    /// Large tiles read less, small ones fill more of the device.
    fn suited(problem: &Problem, side: u32, facts: &Facts) -> Self {
        let [height, width] = LARGE.size(side).map(|size| size as usize);
        let tiles = problem.m.div_ceil(height).saturating_mul(problem.n.div_ceil(width));
        let fits =
            facts.lanes().is_some_and(|lanes| LARGE.invocations(lanes) <= facts.max_workgroup_invocations);
        let enough = tiles.saturating_mul(problem.batch) as u64 >= ENOUGH_TILES;
        if fits && enough { LARGE } else { SMALL }
    }
}

/// Whether [`lower`] accepts the problem on this device: a GPU with cooperative matrices and a fixed subgroup size, and a
/// product that fills at least one matrix and whose sizes are multiples of 4 wherever memory is read along them.
#[must_use]
pub fn suits(problem: &Problem, facts: &Facts) -> bool {
    let problem = problem.folded();
    let Problem { m, n, k, .. } = problem;
    let (Some(side), Some(lanes)) = (facts.cooperative, facts.lanes()) else { return false };
    !prefers_cpu(facts)
        && problem.is_wide()
        && m.min(n).min(k) >= side as usize
        && SMALL.invocations(lanes) <= facts.max_workgroup_invocations
        // Each invocation loads as many vectors of a tile as the others, whichever the shape.
        && (side * side / 2).is_multiple_of(lanes)
        && COOPERATIVE_WORKGROUP_BYTES <= facts.max_workgroup_bytes
}

/// `out[z,i,j] = fused(Σ_p half(A[z,i,p])·half(B[z,p,j]), (z·M + i)·N + j)` with operands rounded to 16-bit floats and f32 sums.
///
/// Bindings: as [`super::lower`].
///
/// # Errors
/// A problem that does not suit ([`suits`]), sizes that no kernel can number or that exceed the device's grid,
/// or a fusion that does not fit.
pub fn lower(problem: &Problem, facts: &Facts, fusion: Option<&Fusion>) -> Result<Lowered, KernelError> {
    let (Some(side), true) = (facts.cooperative, suits(problem, facts)) else {
        let detail = format!("{problem:?} does not suit cooperative matrices");
        return Err(KernelError::Problem { op: OP, detail });
    };
    let shape = Shape::suited(&problem.folded(), side, facts);
    launches(problem, fusion, |plan| Ok(vec![plan.cooperative(side, shape, facts, fusion)?]))
}

impl Plan {
    fn cooperative(
        &self,
        side: u32,
        shape: Shape,
        facts: &Facts,
        fusion: Option<&Fusion>,
    ) -> Result<Launch, KernelError> {
        let lanes = lanes(OP, "cooperative", facts)?;
        let ([subgroups_m, subgroups_n], [fragments_m, fragments_n]) = (shape.subgroups, shape.fragments);
        let (trans_a, trans_b) = (self.trans_a, self.trans_b);
        // The products of one matrix are one addition.
        let block = side.saturating_mul(block(self.params.k.div_ceil(side) as usize) as u32);
        let long = block < self.params.k;
        let spec = MatmulCooperative {
            lanes,
            side,
            subgroups_m,
            subgroups_n,
            fragments_m,
            fragments_n,
            trans_a,
            trans_b,
            long,
        };
        let [height, width] = shape.size(side);
        let grid = self.grid(height, width, facts)?;
        let params = MatmulParams { block, ..self.params };
        self.job(spec, params, grid).fused(facts, fusion, u64::from(self.results))
    }
}
