//! Turns units into launches.
//!
//! A unit's kernel family lowers its problem, with the group's code; tuning notes decide if the family has a choice.
//! Units with empty results launch nothing and are dropped, so nothing is planned for them.

mod code;
mod kernels;
mod product;
mod update;

pub(crate) use update::update_code;

use seqloom_kernels::{Lowered, arg, norm, pointwise, reduce, scan};

use crate::compile::group::Group;
use crate::compile::lower::code::generate;
use crate::compile::lower::kernels::{append, gather_rows, keep, lower_node, norm_backward};
use crate::compile::lower::product::product;
use crate::compile::problem::{around, rows_of, sizes};
use crate::compile::target::Target;
use crate::compile::unit::{Kernel, Schedule, Unit, Work};
use crate::ir::error::Result;
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::roots::Roots;

/// The launches of each unit, and the schedule of those that have any.
pub(crate) fn lower(
    nodes: &Nodes,
    schedule: Schedule,
    roots: &Roots,
    target: Target<'_>,
) -> Result<(Schedule, Vec<Lowered>)> {
    let (mut units, mut launches) = (Vec::new(), Vec::new());
    for unit in schedule.units {
        // What has elements and is made of nothing is 0, and simplification has said so.
        if unit.writes.iter().all(|&node| nodes[node].shape.elements() == 0) {
            continue;
        }
        // A kernel is that of the operation whose result its tail takes along.
        let (lowered, called) = match &unit.work {
            Work::Group(group) => (lower_group(nodes, &unit, group, target), unit.at),
            Work::Kernel(kernel) if nodes[kernel.of].op == Op::Keep => {
                (keep(nodes, kernel.of, roots.update, target.facts), kernel.of)
            }
            Work::Kernel(kernel) => (lower_kernel(nodes, &unit, kernel, target), kernel.of),
        };
        let lowered = lowered.map_err(|error| error.called(nodes[called].at))?;
        if !lowered.launches.is_empty() {
            units.push(unit);
            launches.push(lowered);
        }
    }
    Ok((Schedule::of(nodes, units), launches))
}

/// A group alone.
fn lower_group(nodes: &Nodes, unit: &Unit, group: &Group, target: Target<'_>) -> Result<Lowered> {
    let over = unit.over.first().map(|(_, operand)| *operand);
    let (node, facts) = (&nodes[unit.at], target.facts);
    let code = generate(nodes, unit.at, group, over)?;
    Ok(match &node.op {
        Op::Reduce { op, axis } => {
            let problem = around(nodes[node.inputs[0]].shape, *axis, *op);
            let cut = target.tuned.cut(&problem, facts);
            let lowered = reduce::lower_as(cut, &problem, facts, &code);
            lowered.or_else(|_| reduce::lower(&problem, facts, &code))?
        }
        Op::Arg { least, axis } => {
            let [outer, len, inner] = sizes(nodes[node.inputs[0]].shape, *axis);
            arg::lower(&arg::Problem { outer, len, inner, least: *least }, facts, &code)?
        }
        Op::Scan { axis, reverse } => {
            let [outer, len, inner] = sizes(node.shape, *axis);
            scan::lower(&scan::Problem { outer, len, inner, reverse: *reverse }, facts, &code)?
        }
        _ => pointwise::lower(node.shape.elements(), over.is_some(), facts, &code)?,
    })
}

/// A node's kernel with what runs along.
fn lower_kernel(nodes: &Nodes, unit: &Unit, kernel: &Kernel, target: Target<'_>) -> Result<Lowered> {
    let (of, facts) = (kernel.of, target.facts);
    let tail = kernel.tail.as_ref().map(|tail| generate(nodes, unit.at, tail, None)).transpose()?;
    match (&nodes[of].op, &kernel.head) {
        (Op::Norm { centred, eps }, Some((operand, head))) => {
            let head = generate(nodes, *operand, head, None)?;
            let problem = rows_of(nodes[nodes[of].inputs[0]].shape, *centred, f32::from_bits(*eps));
            Ok(norm::lower_residual(&problem, &head, facts)?)
        }
        (Op::MatMul { .. }, _) => product(nodes, kernel, tail.as_ref(), target),
        (Op::NormGrad { .. }, _) => norm_backward(nodes, of, facts, tail.as_ref()),
        (Op::Gather | Op::Rearrange, _) => gather_rows(nodes, of, facts, tail.as_ref()),
        (Op::Append, _) => append(nodes, of, unit.over.len(), facts),
        _ => lower_node(nodes, of, !unit.over.is_empty(), target),
    }
}
