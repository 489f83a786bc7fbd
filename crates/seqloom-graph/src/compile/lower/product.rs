//! Turns matrix products into launches, with what is fused into them.
//!
//! The epilogue of a product is its tail, a group of pointwise operations that takes the product as `value`
//! (`compile/fuse.rs`). A GPU takes any tail; a CPU adapter that multiplies by tiles takes only a bias. The kernel for
//! a single row takes any tail too, and the norm before it: its launch costs more than its arithmetic, so saving a
//! launch is what counts, and normalising a row again for each product is cheap.

use seqloom_kernels::matmul::{self, cooperative, row};
use seqloom_kernels::{Fusion, Lowered};

use crate::compile::problem::product_of;
use crate::compile::target::{Target, takes_any_tail};
use crate::compile::unit::Kernel;
use crate::ir::error::Result;
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;

/// A product with its tail, and the norm of its left operand. If the device's product takes no tail, the tail is a
/// bias, which the kernel reads as its third operand.
pub(super) fn product(
    nodes: &Nodes,
    kernel: &Kernel,
    tail: Option<&Fusion>,
    Target { facts, tuned, half }: Target<'_>,
) -> Result<Lowered> {
    let problem = product_of(nodes, kernel.of);
    if tail.is_some() && !takes_any_tail(nodes, kernel.of, facts) {
        let lowered = matmul::lower_biased_as(tuned.tile(&problem, facts), &problem, facts);
        return Ok(lowered.or_else(|_| matmul::lower_biased(&problem, facts))?);
    }
    if row::suits(&problem, facts) {
        let norm = kernel.norm.and_then(|norm| match nodes[norm].op {
            Op::Norm { centred, eps } => Some(row::Normed { centred, eps: f32::from_bits(eps) }),
            _ => None,
        });
        return Ok(row::lower(&problem, norm, facts, tail)?);
    }
    if half && cooperative::suits(&problem, facts) {
        return Ok(cooperative::lower(&problem, facts, tail)?);
    }
    let lowered = matmul::lower_as(tuned.tile(&problem, facts), &problem, facts, tail);
    Ok(lowered.or_else(|_| matmul::lower(&problem, facts, tail))?)
}
