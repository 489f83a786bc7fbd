//! Gradients of appending to a cache: the cache's where no row was overwritten, the rows' at their new positions.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::record::following::Following;
use crate::record::tensor::Tensor;

/// Gradients of a cache and of the rows appended to it. Overwritten rows do not affect the result.
pub(super) fn backward<'g>(x: &[Tensor<'g>], dy: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
    let (rows, at) = (x[1].shape(), dy.node().at);
    let (graph, following) = (dy.graph, Following::of(x[2], rows[1]));
    let zeros = graph.literal(&rows, vec![0.0; rows.elements()]);
    let cache = graph.push(Op::Append, &[dy, zeros, x[2]], dy.shape(), DType::F32, at);
    // Rows of all sequences one after the other; the new ones are picked.
    let (all, new) = (dy.dim(0) * dy.dim(1), rows[0] * rows[1]);
    let places = following.derived(dy.dim(1)).0.reshape(&[new]);
    let channels = dy.shape().elements() / all.max(1);
    let picked = dy.reshape(&[all, channels]).gather_rows(places).reshape(&rows);
    vec![Some(cache), Some(picked), None]
}
