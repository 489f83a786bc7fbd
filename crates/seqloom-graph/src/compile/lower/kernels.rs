//! Turns nodes with their own kernel into launches, one arm per family.
//!
//! A note made for one problem may name a variant that another problem of its bucket cannot take. A refused variant is
//! replaced by the choice of the family's rules.

use seqloom_device::Facts;
use seqloom_kernels::{
    Fusion, Lowered, attention, concat, cross_entropy, ctc, embedding, gather, norm, optimizer, recurrent,
    softmax, view,
};

use crate::compile::lower::code::uncountable;
use crate::compile::problem::{alignments, classes, pass, picks, rows_of, table};
use crate::compile::target::Target;
use crate::ir::error::Result;
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::specs::NodeId;
use crate::ir::view::copy;

/// An attention or one of its gradients.
pub(super) fn attend(
    pass: attention::Pass,
    problem: &attention::Problem,
    Target { facts, tuned, .. }: Target<'_>,
) -> Result<Lowered> {
    let lowered = attention::lower_as(tuned.attention(pass, problem, facts), pass, problem, facts);
    Ok(lowered.or_else(|_| attention::lower(pass, problem, facts))?)
}

/// Rows of a table.
pub(super) fn gather_rows(
    nodes: &Nodes,
    id: NodeId,
    facts: &Facts,
    tail: Option<&Fusion>,
) -> Result<Lowered> {
    let shape = |operand: usize| nodes[nodes[id].inputs[operand]].shape;
    Ok(embedding::lower_forward(&table(shape(0), shape(1)), facts, tail)?)
}

/// The gradient of a norm's operand.
pub(super) fn norm_backward(
    nodes: &Nodes,
    id: NodeId,
    facts: &Facts,
    tail: Option<&Fusion>,
) -> Result<Lowered> {
    let centred = matches!(nodes[id].op, Op::NormGrad { centred: true });
    Ok(norm::lower_backward(&rows_of(nodes[id].shape, centred, 0.0), facts, tail)?)
}

/// The launches of a node that nothing runs along with; `over` tells that its result takes an operand's memory. None for what
/// has no kernel.
pub(super) fn lower_node(nodes: &Nodes, id: NodeId, over: bool, target: Target<'_>) -> Result<Lowered> {
    let facts = target.facts;
    let node = &nodes[id];
    let shape = |operand: usize| nodes[node.inputs[operand]].shape;
    Ok(match &node.op {
        Op::Slice(_) | Op::Window { .. } => match copy(&node.op, shape(0), node.shape) {
            Some(problem) => view::lower(&problem, facts)?,
            None => return Err(uncountable(node.shape).into()),
        },
        Op::Concat(joined) => match joined.problem() {
            Some(problem) => concat::lower(&problem, facts)?,
            None => Lowered::default(),
        },
        Op::Softmax { log } => {
            softmax::lower(&softmax::Problem { rows: node.shape[0], cols: node.shape[1], log: *log }, facts)?
        }
        Op::Norm { centred, eps } => {
            norm::lower_forward(&rows_of(shape(0), *centred, f32::from_bits(*eps)), facts)?
        }
        Op::CrossEntropy { ignore_index, smoothing } => {
            cross_entropy::lower_forward(&classes(shape(0), *ignore_index, *smoothing), facts)?
        }
        Op::CrossEntropyGrad { ignore_index, smoothing } => {
            let problem = classes(shape(0), *ignore_index, *smoothing);
            cross_entropy::lower_backward(&problem, over, facts)?
        }
        Op::Ctc(how) => ctc::lower_forward(&alignments(*how, shape(0), shape(1)), facts)?,
        Op::CtcGrad(how) => ctc::lower_backward(&alignments(*how, shape(0), shape(1)), facts)?,
        Op::GatherGrad => embedding::lower_backward(&table(node.shape, shape(1)), facts)?,
        Op::Pick => gather::lower_forward(&picks(shape(0), shape(1)), facts)?,
        Op::PickGrad => gather::lower_backward(&picks(node.shape, shape(0)), facts)?,
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
            attend(pass(*part), &attending.problem(&shapes), target)?
        }
        _ => Lowered::default(),
    })
}

/// Rows appended to a copy of a cache, in place, or in place to two caches: as many as take the memory of what they append to.
pub(super) fn append(nodes: &Nodes, id: NodeId, in_place: usize, facts: &Facts) -> Result<Lowered> {
    let target = match in_place {
        0 => view::AppendTarget::Copy,
        1 => view::AppendTarget::InPlace,
        _ => view::AppendTarget::PairInPlace,
    };
    let [cache, rows] = [0, 1].map(|operand| nodes[nodes[id].inputs[operand]].shape);
    let [batch, keys, time] = [cache[0], cache[1], rows[1]];
    let channels = cache[2..].iter().product();
    Ok(view::lower_append(&view::AppendProblem { batch, keys, time, channels, target }, facts)?)
}

/// What a state keeps, copied into it; behind an update, whose statistics come first, only if the step counts.
pub(super) fn keep(nodes: &Nodes, id: NodeId, update: bool, facts: &Facts) -> Result<Lowered> {
    let len = nodes[id].shape.elements();
    Ok(match update {
        _ if len == 0 => Lowered::default(),
        true => optimizer::keep(len, facts)?,
        false => view::lower(&view::Problem::copy(len), facts)?,
    })
}
