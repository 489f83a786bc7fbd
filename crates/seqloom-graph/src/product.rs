//! Matrix products on their way to kernels: what rides along with them, and their launches.
//!
//! Behind a product comes its tail, a group of pointwise operations that takes the product as `value` ([`crate::fuse`]): any
//! on a GPU, a bias alone where tiles of a CPU adapter multiply. The kernel for a single row takes any tail too, and the
//! norm before it: its launch costs more than its arithmetic, so a launch saved is what counts, and normalising a row
//! again for each product that reads it is cheap.

use seqloom_device::Facts;
use seqloom_kernels::matmul::{self, cooperative, row};
use seqloom_kernels::{Fusion, Lowered};

use crate::codegen::generate;
use crate::fuse::{Fused, Group, base};
use crate::ir::error::GraphError;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;
use crate::lower::{Step, Target, operands, outputs};
use crate::part::memory;

/// The product that a node records.
pub(crate) fn product_of(nodes: &[Node], id: NodeId) -> matmul::Problem {
    let node = &nodes[id];
    let (trans_a, trans_b) = match node.op {
        Op::MatMul { trans_a, trans_b } => (trans_a, trans_b),
        _ => (false, false),
    };
    let a = nodes[node.inputs[0]].shape;
    let rank = <[usize]>::len(&a);
    matmul::Problem {
        batch: a[..rank - 2].iter().product(),
        m: node.shape[rank - 2],
        n: node.shape[rank - 1],
        k: if trans_a { a[rank - 2] } else { a[rank - 1] },
        trans_a,
        trans_b,
        a_batched: true,
        b_batched: true,
    }
}

/// Whether a product takes any tail, or else a bias alone.
pub(crate) fn takes_any_tail(nodes: &[Node], id: NodeId, facts: &Facts) -> bool {
    matmul::takes_epilogue(&product_of(nodes, id), facts)
}

/// Bindings of a product's kernel besides leaves: operands and result, and those of a norm where it takes one.
pub(crate) fn bindings(nodes: &[Node], id: NodeId, facts: &Facts) -> usize {
    if row::suits(&product_of(nodes, id), facts) { 5 } else { 3 }
}

/// Hands norms to the products that read them, where nothing else does and all of them can take it.
pub(crate) fn take_norms(nodes: &[Node], users: &[Vec<NodeId>], facts: &Facts, fused: &mut Fused) {
    for (norm, _) in nodes.iter().enumerate().filter(|(_, n)| matches!(n.op, Op::Norm { .. })) {
        let [y, mean, rstd] = outputs(nodes, norm)[..] else { continue };
        let takes = |&user: &NodeId| {
            let Some(node) = nodes.get(user).filter(|n| matches!(n.op, Op::MatMul { .. })) else {
                return false;
            };
            let [a, b] = [0, 1].map(|operand| base(nodes, node.inputs[operand]));
            a == y && b != y && row::takes_norm(&product_of(nodes, user), facts)
        };
        let kept = !users[mean].is_empty() || !users[rstd].is_empty();
        // A state may be written in place behind whoever reads it, judged by where they stand; this norm moves.
        let operand = memory(nodes, nodes[norm].inputs[0]);
        let moves = !matches!(nodes[operand].op, Op::State(_));
        if kept || !moves || users[y].is_empty() || !users[y].iter().all(takes) {
            continue;
        }
        users[y].iter().for_each(|&product| fused.norms[product] = Some(norm));
        fused.absorbed[norm] = true;
        [y, mean, rstd].into_iter().for_each(|output| fused.in_memory[output] = false);
    }
}

/// The nodes in memory that a product's kernel reads, leaves aside: A and B, of which A is a norm's operand with weight and
/// The nodes in memory that a node's kernel reads, leaves aside; of a product that takes a norm along, the norm's operand, B, and
/// then the norm's weight and bias.
pub(crate) fn read_by(nodes: &[Node], id: NodeId, fused: &Fused) -> Vec<NodeId> {
    let mut ins = operands(nodes, id);
    if let Some(norm) = fused.norms[id] {
        let normed = operands(nodes, norm);
        ins[0] = normed[0];
        ins.extend(&normed[1..]);
    }
    ins
}

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
