//! Gradients of recurrent layers: one kernel goes back through time, and products over all steps give the weights'
//! gradients.

use seqloom_kernels::recurrent::Cell;

use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::Recurrence;
use crate::record::tensor::Tensor;

/// One kernel goes back through time and gives the gradient of every pre-activation. The weights' gradient is then one
/// product over all rows with the states before each step, because surplus rows have gradient 0.
pub(super) fn backward<'g>(
    recurrence: Recurrence,
    x: &[Tensor<'g>],
    outputs: &[Tensor<'g>],
    grads: &[Option<Tensor<'g>>],
    at: Location,
) -> Vec<Option<Tensor<'g>>> {
    let (x_proj, w_hh, h0, steps) = (x[0], x[1], x[2], x[x.len() - 1]);
    let (y, before, hidden) = (outputs[0], outputs[2], h0.dim(1));
    let graph = x_proj.graph;
    let or_zeros = |i: usize| grads[i].unwrap_or_else(|| graph.full(&outputs[i].shape(), 0.0));
    let mut operands = vec![or_zeros(0), w_hh, steps, or_zeros(1)];
    let mut shapes = vec![x_proj.shape(), h0.shape()];
    match recurrence.cell {
        Cell::Rnn(_) => operands.push(y),
        Cell::Gru => {
            operands.extend([before, outputs[3]]);
            shapes.push(x_proj.shape());
        }
        Cell::Lstm => {
            operands.extend([outputs[3], outputs[4], x[3], or_zeros(5)]);
            shapes.push(h0.shape());
        }
    }
    let shapes: Vec<_> = shapes.into_iter().map(|shape| (shape, DType::F32)).collect();
    let back = graph.push_outputs(Op::RecurrentGrad(recurrence), &operands, &shapes, at);
    let (dx, dh0) = (back[0], back[1]);
    match recurrence.cell {
        Cell::Rnn(_) => vec![Some(dx), Some(dx.t_matmul(before)), Some(dh0), None],
        Cell::Lstm => vec![Some(dx), Some(dx.t_matmul(before)), Some(dh0), Some(back[2]), None],
        Cell::Gru => {
            let dh_proj = back[2];
            // Summed before it is sliced, because a slice of the sums is small.
            let db_hn = dh_proj.sum(0).slice(0, 2 * hidden, hidden);
            vec![Some(dx), Some(dh_proj.t_matmul(before)), Some(dh0), Some(db_hn), None]
        }
    }
}
