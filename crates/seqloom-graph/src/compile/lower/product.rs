//! Matrix products on their way to kernels: what rides along with them, and their launches.
//!
//! Behind a product comes its tail, a group of pointwise operations that takes the product as `value` ([`crate::compile::fuse`]): any
//! on a GPU, a bias alone where tiles of a CPU adapter multiply. The kernel for a single row takes any tail too, and the
//! norm before it: its launch costs more than its arithmetic, so a launch saved is what counts, and normalising a row
//! again for each product that reads it is cheap.

use seqloom_kernels::matmul::{self, cooperative, row};
use seqloom_kernels::{Fusion, Lowered};

use crate::compile::along::read_by;
use crate::compile::fuse::Fused;
use crate::compile::group::Group;
use crate::compile::lower::code::generate;
use crate::compile::problem::product_of;
use crate::compile::target::{Target, takes_any_tail};
use crate::compile::unit::Step;
use crate::ir::error::{GraphError, Result};
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;

/// A product without a tail.
pub(crate) fn product(
    nodes: &[Node],
    id: NodeId,
    fused: &Fused,
    target: Target<'_>,
) -> Result<Step, GraphError> {
    let lowered = launches(nodes, id, fused, target, None)?;
    let ins = read_by(nodes, id, fused);
    Ok(Step { lowered, ins, outs: vec![id], leaves: Vec::new(), reads_control: false, over: None })
}

/// A product and the group of `root` that is its tail.
pub(crate) fn product_with_tail(
    nodes: &[Node],
    root: NodeId,
    product: NodeId,
    group: &Group,
    fused: &Fused,
    target: Target<'_>,
) -> Result<Step, GraphError> {
    let leaves: Vec<_> = group.leaves.iter().map(|leaf| leaf.node).collect();
    let mut ins = read_by(nodes, product, fused);
    if takes_any_tail(nodes, product, target.facts) {
        let tail = generate(nodes, root, group, None);
        let lowered = launches(nodes, product, fused, target, Some(&tail))?;
        return Ok(Step {
            lowered,
            ins,
            outs: vec![root],
            leaves,
            reads_control: group.reads_control,
            over: None,
        });
    }
    let (problem, facts) = (product_of(nodes, product), target.facts);
    let lowered = matmul::lower_biased_as(target.tuned.tile(&problem, facts), &problem, facts)
        .or_else(|_| matmul::lower_biased(&problem, facts))?;
    ins.extend(leaves);
    Ok(Step { lowered, ins, outs: vec![root], leaves: Vec::new(), reads_control: false, over: None })
}

fn launches(
    nodes: &[Node],
    id: NodeId,
    fused: &Fused,
    Target { facts, tuned, half }: Target<'_>,
    tail: Option<&Fusion>,
) -> Result<Lowered, GraphError> {
    let problem = product_of(nodes, id);
    if row::suits(&problem, facts) {
        let norm = fused.norms[id].and_then(|norm| match nodes[norm].op {
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
