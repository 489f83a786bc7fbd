//! Groups and nodes to launches: each step is what one node in memory needs to be computed.

use seqloom_device::{Device, Facts, Tuning};
use seqloom_kernels::tune::{Limits, Tuned, trusts_half, tune};
use seqloom_kernels::{
    Fusion, Lowered, attention, cross_entropy, embedding, norm, pointwise, recurrent, reduce, softmax, view,
};

use crate::codegen::generate;
use crate::following::pairs;
use crate::fuse::{Fused, Group, around, base};
use crate::ir::error::GraphError;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::shape::Shape;
use crate::ir::specs::NodeId;
use crate::part::part;
use crate::product::{product, product_with_tail};

/// One node's computation: launches, and the nodes whose memory they bind.
#[derive(Debug)]
pub(crate) struct Step {
    pub lowered: Lowered,
    /// Nodes read, in the kernel family's order.
    pub ins: Vec<NodeId>,
    /// Nodes written.
    pub outs: Vec<NodeId>,
    /// Nodes read by fused code; where `reads_control`, the control buffer follows them.
    pub leaves: Vec<NodeId>,
    pub reads_control: bool,
    /// The node, read by nothing later, whose memory the output takes.
    pub over: Option<NodeId>,
}

/// What kernels are chosen by.
///
/// Tuning speaks of buckets, and what it found for one problem may be more than another of the bucket can take (a longer
/// walk, a larger grid): whatever is refused is lowered by the rules.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub facts: &'a Facts,
    pub tuned: &'a Tuned,
    /// Whether products may be taken in half precision.
    pub half: bool,
}

/// The steps that compute every node in memory, in order, by what tuning has found. What it has not found yet is measured
/// first, if the device was opened so. `half` allows products in half precision, where the device has them.
pub(crate) fn lower(
    nodes: &[Node],
    fused: &Fused,
    device: &Device,
    half: bool,
) -> Result<Vec<Step>, GraphError> {
    let half = half && trusts_half(device)?;
    let tuned = Tuned::of(device);
    let first = steps(nodes, fused, Target { facts: device.facts(), tuned: &tuned, half })?;
    let unknown = tuned.unknown();
    if device.tuning() != Tuning::Full || unknown.is_empty() {
        return Ok(first);
    }
    tune(device, &unknown, &Limits::default())?;
    steps(nodes, fused, Target { facts: device.facts(), tuned: &Tuned::of(device), half })
}

fn steps(nodes: &[Node], fused: &Fused, target: Target<'_>) -> Result<Vec<Step>, GraphError> {
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
            None if has_outputs(&node.op) && !fused.absorbed[id] => lower_node(nodes, id, None, target)?,
            None => None,
        };
        steps.extend(step.filter(|s| !s.lowered.launches.is_empty()));
    }
    Ok(steps)
}

/// Whether the operation writes the output nodes that follow it.
pub(crate) fn has_outputs(op: &Op) -> bool {
    matches!(
        op,
        Op::CrossEntropy { .. }
            | Op::Norm { .. }
            | Op::Recurrent(_)
            | Op::RecurrentGrad(_)
            | Op::Attention(_)
            | Op::AttentionGrad(..)
            | Op::Host(_)
    )
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

/// An attention or one of its gradients.
fn attend(
    pass: attention::Pass,
    problem: &attention::Problem,
    Target { facts, tuned, .. }: Target<'_>,
) -> Result<Lowered, GraphError> {
    let lowered = attention::lower_as(tuned.attention(pass, problem, facts), pass, problem, facts);
    Ok(lowered.or_else(|_| attention::lower(pass, problem, facts))?)
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

/// Rows of a table.
fn gather(nodes: &[Node], id: NodeId, facts: &Facts, tail: Option<&Fusion>) -> Result<Lowered, GraphError> {
    let shape = |operand: usize| nodes[nodes[id].inputs[operand]].shape;
    Ok(embedding::lower_forward(&table(shape(0), shape(1)), facts, tail)?)
}

/// The gradient of a norm's operand.
fn norm_backward(
    nodes: &[Node],
    id: NodeId,
    facts: &Facts,
    tail: Option<&Fusion>,
) -> Result<Lowered, GraphError> {
    let centred = matches!(nodes[id].op, Op::NormGrad { centred: true });
    Ok(norm::lower_backward(&rows_of(nodes[id].shape, centred, 0.0), facts, tail)?)
}

/// The launches of a node that no group computes; none for what lies in memory from the start.
fn lower_node(
    nodes: &[Node],
    id: NodeId,
    over: Option<NodeId>,
    target: Target<'_>,
) -> Result<Option<Step>, GraphError> {
    let facts = target.facts;
    let node = &nodes[id];
    let shape = |operand: usize| nodes[node.inputs[operand]].shape;
    let lowered = match &node.op {
        Op::Window { .. } if part(nodes, id).is_some() => return Ok(None),
        Op::Window { axis, start, take, before } => {
            let along = |value: usize| {
                let mut all = [0; 4];
                all[*axis] = value;
                node.shape.pad_front(&all, 0)
            };
            let problem = view::Problem {
                dims: node.shape.padded(),
                strides: shape(0).pad_front(&shape(0).strides(), 0),
                lo: along(*before),
                extent: node.shape.with(*axis, *take).padded(),
                offset: u32::try_from(start * shape(0).strides()[*axis]).unwrap_or(u32::MAX),
            };
            view::lower(&problem, facts)?
        }
        Op::Softmax { log } => {
            softmax::lower(&softmax::Problem { rows: node.shape[0], cols: node.shape[1], log: *log }, facts)?
        }
        Op::Norm { centred, eps } => {
            norm::lower_forward(&rows_of(shape(0), *centred, f32::from_bits(*eps)), facts)?
        }
        Op::NormGrad { .. } => norm_backward(nodes, id, facts, None)?,
        Op::CrossEntropy { ignore_index, smoothing } => {
            cross_entropy::lower_forward(&classes(shape(0), *ignore_index, *smoothing), facts)?
        }
        Op::CrossEntropyGrad { ignore_index, smoothing } => {
            let problem = classes(shape(0), *ignore_index, *smoothing);
            cross_entropy::lower_backward(&problem, over.is_some(), facts)?
        }
        Op::Gather | Op::Rearrange => gather(nodes, id, facts, None)?,
        Op::Append { in_place: false } => append(nodes, id, view::AppendTarget::Copy, facts)?,
        Op::Append { in_place: true } => append(nodes, id, view::AppendTarget::InPlace, facts)?,
        Op::GatherGrad => embedding::lower_backward(&table(node.shape, shape(1)), facts)?,
        Op::Recurrent(recurrence) => {
            let steps = shape(node.inputs.len() - 1);
            let problem = recurrence.problem(shape(0)[0], shape(2), steps);
            recurrent::lower_forward_as(target.tuned.form(&problem, facts), &problem, facts)
                .or_else(|_| recurrent::lower_forward(&problem, facts))?
        }
        Op::RecurrentGrad(recurrence) => {
            let problem = recurrence.problem(shape(0)[0], shape(3), shape(2));
            recurrent::lower_backward_as(target.tuned.form_backward(&problem, facts), &problem, facts)
                .or_else(|_| recurrent::lower_backward(&problem, facts))?
        }
        Op::Attention(attending) => {
            let shapes: Vec<_> = node.inputs.iter().map(|&input| nodes[input].shape).collect();
            attend(attention::Pass::Forward, &attending.problem(&shapes), target)?
        }
        Op::AttentionGrad(attending, part) => {
            let shapes: Vec<_> = node.inputs.iter().map(|&input| nodes[input].shape).collect();
            // dy, lse and delta stand between the operands that the problem is made of.
            let shapes = [&shapes[..3], &shapes[6..]].concat();
            attend(part.pass(), &attending.problem(&shapes), target)?
        }
        _ => return Ok(None),
    };
    let reads_control = matches!(node.op, Op::Attention(_) | Op::AttentionGrad(..));
    let outs = if has_outputs(&node.op) { outputs(nodes, id) } else { vec![id] };
    Ok(Some(Step { lowered, ins: operands(nodes, id), outs, leaves: Vec::new(), reads_control, over }))
}

/// Rows appended to a cache, or to two.
fn append(
    nodes: &[Node],
    id: NodeId,
    target: view::AppendTarget,
    facts: &Facts,
) -> Result<Lowered, GraphError> {
    let [cache, rows] = [0, 1].map(|operand| nodes[nodes[id].inputs[operand]].shape);
    let [batch, keys, time] = [cache[0], cache[1], rows[1]];
    let channels = cache[2..].iter().product();
    Ok(view::lower_append(&view::AppendProblem { batch, keys, time, channels, target }, facts)?)
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

/// Output nodes of an operation that has several; they follow it directly.
pub(crate) fn outputs(nodes: &[Node], id: NodeId) -> Vec<NodeId> {
    (id + 1..nodes.len())
        .take_while(|&o| matches!(nodes[o].op, Op::Output(_)) && nodes[o].inputs[0] == id)
        .collect()
}

fn table(table: Shape, ids: Shape) -> embedding::Problem {
    embedding::Problem { tokens: ids[0], vocab: table[0], channels: table[1] }
}

fn classes(logits: Shape, ignore_index: Option<u32>, smoothing: u32) -> cross_entropy::Problem {
    let smoothing = f32::from_bits(smoothing);
    cross_entropy::Problem { rows: logits[0], cols: logits[1], ignore_index, smoothing }
}

fn rows_of(x: Shape, centred: bool, eps: f32) -> norm::Problem {
    norm::Problem { rows: x[0], cols: x[1], centred, eps }
}

pub(crate) fn operands(nodes: &[Node], id: NodeId) -> Vec<NodeId> {
    nodes[id].inputs.iter().map(|&input| base(nodes, input)).collect()
}
