//! Gradients of rows taken from a table, of elements picked along an axis, and of rows put in another order. No atomics: orders
//! are fixed by the host.

use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::Derivation;
use crate::ir::shape::Shape;
use crate::record::tensor::Tensor;

/// For each id, the sum of the rows that took it; the host sorts the positions.
pub(super) fn gather<'g>(x: &[Tensor<'g>], dy: Tensor<'g>, at: Location) -> Vec<Option<Tensor<'g>>> {
    let (graph, vocab) = (dy.graph, x[0].dim(0));
    let order = (x[1].shape(), DType::U32);
    let starts = (Shape::new(&[vocab + 1]).unwrap_or_default(), DType::U32);
    let what = Op::Host(Derivation::Segments { vocab });
    let sorted = graph.push_outputs(what, &[x[1]], &[order, starts], at);
    let table = graph.push(Op::GatherGrad, &[dy, sorted[0], sorted[1]], x[0].shape(), DType::F32, at);
    vec![Some(table), None]
}

/// For each element that was picked, the sum over its picks; the host sorts them.
pub(super) fn pick<'g>(x: &[Tensor<'g>], dy: Tensor<'g>, at: Location) -> Vec<Option<Tensor<'g>>> {
    let (graph, [count, len, inner]) = (dy.graph, [x[1].dim(1), x[0].dim(1), x[0].dim(2)]);
    let picks = x[1].shape().elements();
    let of = |len: usize| (Shape::new(&[len]).unwrap_or_default(), DType::U32);
    let what = Op::Host(Derivation::Picks { count, len, inner });
    let sorted = graph.push_outputs(what, &[x[1]], &[of(picks), of(picks + 1), of(picks)], at);
    let operands = [dy, sorted[0], sorted[1], sorted[2]];
    vec![Some(graph.push(Op::PickGrad, &operands, x[0].shape(), DType::F32, at)), None]
}

/// The inverse order.
pub(super) fn rearrange<'g>(x: &[Tensor<'g>], dy: Tensor<'g>, at: Location) -> Vec<Option<Tensor<'g>>> {
    vec![Some(dy.rearranged(x[2], x[1], at)), None, None]
}
