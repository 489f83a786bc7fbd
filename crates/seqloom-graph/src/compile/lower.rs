//! Groups and nodes to launches: each step is what one node in memory needs to be computed.

mod code;
mod kernels;
mod product;

use seqloom_device::Facts;
use seqloom_kernels::{norm, pointwise, reduce, view};

use crate::compile::fuse::Fused;
use crate::compile::group::Group;
use crate::compile::lower::code::generate;
use crate::compile::lower::kernels::{append, gather, lower_node, norm_backward};
use crate::compile::lower::product::{product, product_with_tail};
use crate::compile::pair::pairs;
use crate::compile::place::{operands, outputs};
use crate::compile::problem::{around, rows_of};
use crate::compile::target::Target;
use crate::compile::unit::Step;
use crate::ir::error::{GraphError, Result};
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;

/// The steps that compute every node in memory, in order.
pub(crate) fn lower(nodes: &[Node], fused: &Fused, target: Target<'_>) -> Result<Vec<Step>, GraphError> {
    let mut steps = Vec::new();
    let partners = pairs(nodes);
    for (id, node) in nodes.iter().enumerate() {
        let stored = fused.in_memory[id] && !fused.absorbed[id];
        let step = match &fused.groups[id] {
            _ if fused.heads[id].is_some() => lower_headed(nodes, id, fused, target.facts)?,
            Some(group) => Some(lower_group(nodes, id, group, fused, target)?),
            None if partners[id].is_some() => lower_pair(nodes, id, partners[id], target.facts)?,
            None if stored && matches!(node.op, Op::MatMul { .. }) => {
                Some(product(nodes, id, fused, target)?)
            }
            None if stored => lower_node(nodes, id, fused.over[id], target)?,
            // The main node of an operation with several outputs has no memory of its own.
            None if node.op.has_outputs() && !fused.absorbed[id] => lower_node(nodes, id, None, target)?,
            None => None,
        };
        steps.extend(step.filter(|s| !s.lowered.launches.is_empty()));
    }
    Ok(steps)
}

fn lower_group(
    nodes: &[Node],
    id: NodeId,
    group: &Group,
    fused: &Fused,
    target: Target<'_>,
) -> Result<Step, GraphError> {
    if let Some(value) = group.value.filter(|&value| matches!(nodes[value].op, Op::MatMul { .. })) {
        return product_with_tail(nodes, id, value, group, fused, target);
    }
    let (facts, over) = (target.facts, fused.over[id]);
    let fusion = generate(nodes, id, group, over);
    let node = &nodes[id];
    let (lowered, ins) = match (&node.op, group.value) {
        (_, Some(value)) => {
            let lowered = match &nodes[value].op {
                Op::NormGrad { .. } => norm_backward(nodes, value, facts, Some(&fusion))?,
                _ => gather(nodes, value, facts, Some(&fusion))?,
            };
            (lowered, operands(nodes, value))
        }
        (Op::Reduce { op, axis }, None) => {
            let problem = around(nodes[node.inputs[0]].shape, *axis, *op);
            let cut = target.tuned.cut(&problem, facts);
            let lowered = reduce::lower_as(cut, &problem, facts, &fusion);
            (lowered.or_else(|_| reduce::lower(&problem, facts, &fusion))?, Vec::new())
        }
        _ => (pointwise::lower(node.shape.len(), over.is_some(), facts, &fusion)?, Vec::new()),
    };
    let leaves = group.leaves.iter().map(|leaf| leaf.node).collect();
    Ok(Step { lowered, ins, outs: vec![id], leaves, reads_control: group.reads_control, over })
}

/// A norm that computes its operand too.
fn lower_headed(
    nodes: &[Node],
    id: NodeId,
    fused: &Fused,
    facts: &Facts,
) -> Result<Option<Step>, GraphError> {
    let (Op::Norm { centred, eps }, Some((operand, group))) = (&nodes[id].op, &fused.heads[id]) else {
        return Ok(None);
    };
    let head = generate(nodes, *operand, group, None);
    let problem = rows_of(nodes[nodes[id].inputs[0]].shape, *centred, f32::from_bits(*eps));
    let lowered = norm::lower_residual(&problem, &head, facts)?;
    let mut outs = outputs(nodes, id);
    outs.push(*operand);
    let leaves = group.leaves.iter().map(|leaf| leaf.node).collect();
    let ins = operands(nodes, id);
    Ok(Some(Step { lowered, ins, outs, leaves, reads_control: group.reads_control, over: None }))
}

/// Two appendings in place, by the second one's step.
fn lower_pair(
    nodes: &[Node],
    id: NodeId,
    partner: Option<NodeId>,
    facts: &Facts,
) -> Result<Option<Step>, GraphError> {
    let Some(first) = partner.filter(|&first| first < id) else { return Ok(None) };
    let lowered = append(nodes, first, view::AppendTarget::PairInPlace, facts)?;
    let ins = [first, id].map(|append| operands(nodes, append)).concat();
    let outs = vec![first, id];
    Ok(Some(Step { lowered, ins, outs, leaves: Vec::new(), reads_control: false, over: None }))
}
