//! Gradients of attention: operations of its kernel family, because the weights are recomputed from the saved sums.

use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::{Binary, Op};
use crate::ir::payload::{Attending, GradientOf};
use crate::ir::shape::Shape;
use crate::record::tensor::Tensor;

/// Gradients of an attention's operands from that of its result. The weights are recomputed from the saved sums. No
/// kernel sums both over queries and over keys, so queries, keys with values, and the bias have separate operations;
/// those that nobody needs are dropped as dead code.
pub(super) fn backward<'g>(
    attending: Attending,
    x: &[Tensor<'g>],
    outputs: &[Tensor<'g>],
    dy: Tensor<'g>,
    learned: impl Fn(Tensor<'g>) -> bool,
    at: Location,
) -> Vec<Option<Tensor<'g>>> {
    let [y, log_sums] = [outputs[0], outputs[1]];
    let graph = y.graph;
    let delta = dy.binary("gradient of attention", Binary::Mul, y).sum(-1);
    let mut operands = vec![x[0], x[1], x[2], dy, log_sums, delta];
    operands.extend_from_slice(&x[3..]);
    let record = |of: GradientOf, shapes: &[Shape]| {
        let outputs: Vec<_> = shapes.iter().map(|&shape| (shape, DType::F32)).collect();
        graph.push_outputs(Op::AttentionGrad(attending, of), &operands, &outputs, at)
    };
    let table = if attending.slopes || attending.relative { x.last().copied() } else { None };
    let learned = table.filter(|&table| learned(table));
    let mut of_query = vec![x[0].shape()];
    of_query.extend(learned.map(Tensor::shape));
    let query = record(GradientOf::Query { learned: learned.is_some() }, &of_query);
    let key = record(GradientOf::Key, &[x[1].shape(), x[2].shape()]);
    let mut gradients = vec![Some(query[0]), Some(key[0]), Some(key[1])];
    if attending.lengths {
        gradients.push(None);
    }
    if attending.bias {
        let bias = x[gradients.len()];
        gradients.push(Some(record(GradientOf::Bias, &[bias.shape()])[0]));
    }
    if table.is_some() {
        gradients.push(query.get(1).copied());
    }
    gradients
}
