//! Nodes as kernel problems: sizes and switches, read from a node, its operands' shapes and its payload.
//!
//! Only this file turns a node's shape into a kernel family's terms, so fusion and lowering see one problem.

use seqloom_kernels::attention::{Bias, Dropout, Layout, Pass};
use seqloom_kernels::{attention, cross_entropy, ctc, embedding, gather, matmul, norm, recurrent, reduce};

use crate::ir::nodes::Nodes;
use crate::ir::op::{Op, ReduceOp};
use crate::ir::payload::{Alignment, Attending, GradientOf, Recurrence};
use crate::ir::shape::Shape;
use crate::ir::specs::NodeId;

/// The product that a node records.
pub(crate) fn product_of(nodes: &Nodes, id: NodeId) -> matmul::Problem {
    let node = &nodes[id];
    let (trans_a, trans_b) = match node.op {
        Op::MatMul { trans_a, trans_b } => (trans_a, trans_b),
        _ => (false, false),
    };
    let a = nodes[node.inputs[0]].shape;
    let rank = a.rank();
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

/// Elements before, along and behind an axis.
pub(crate) fn sizes(shape: Shape, axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}

/// The reduction of an axis.
pub(crate) fn around(shape: Shape, axis: usize, op: ReduceOp) -> reduce::Problem {
    let [outer, len, inner] = sizes(shape, axis);
    reduce::Problem { outer, len, inner, op }
}

/// Picks along the middle axis of x, by the shape of their indices.
pub(crate) fn picks(x: Shape, index: Shape) -> gather::Problem {
    gather::Problem { outer: x[0], len: x[1], inner: x[2], count: index[1] }
}

/// Rows of a table.
pub(crate) fn table(table: Shape, ids: Shape) -> embedding::Problem {
    embedding::Problem { tokens: ids[0], vocab: table[0], channels: table[1] }
}

/// Rows of logits.
pub(crate) fn classes(logits: Shape, ignore_index: Option<u32>, smoothing: u32) -> cross_entropy::Problem {
    let smoothing = f32::from_bits(smoothing);
    cross_entropy::Problem { rows: logits[0], cols: logits[1], ignore_index, smoothing }
}

/// Chances [B, T, V] and targets [B, S].
pub(crate) fn alignments(how: Alignment, log_probs: Shape, targets: Shape) -> ctc::Problem {
    let Alignment { blank, zero_infinity, .. } = how;
    let [batch, time, classes] = [log_probs[0], log_probs[1], log_probs[2]];
    ctc::Problem { batch, time, labels: targets[1], classes, blank, zero_infinity }
}

/// Rows to normalise.
pub(crate) fn rows_of(x: Shape, centred: bool, eps: f32) -> norm::Problem {
    norm::Problem { rows: x[0], cols: x[1], centred, eps }
}

/// The kernels' name for the gradients of an attention.
pub(crate) fn pass(of: GradientOf) -> Pass {
    match of {
        GradientOf::Query { learned } => Pass::Query { learned },
        GradientOf::Key => Pass::Key,
        GradientOf::Bias => Pass::Bias,
    }
}

impl Attending {
    /// The kernels' problem; `shapes` are those of q, k, v, then the operands that are there, in the order of the fields.
    pub(crate) fn problem(self, shapes: &[Shape]) -> attention::Problem {
        let [q, k, v] = [shapes[0], shapes[1], shapes[2]];
        let bias_at = 3 + usize::from(self.lengths);
        let bias = shapes.get(bias_at).filter(|_| self.bias);
        let table = shapes.get(bias_at + usize::from(self.bias));
        // Of 2R+1 columns behind the slopes, R.
        let radius = table.map_or(0, |table| (table[1] - usize::from(self.slopes)) / 2);
        attention::Problem {
            batch: q[0],
            heads: q[2],
            key_heads: k[2],
            queries: q[1],
            keys: k[1],
            width: q[3],
            value_width: v[3],
            layout: Layout::TimeFirst,
            scale: f32::from_bits(self.scale),
            start: self.start,
            before: self.window,
            after: if self.causal { Some(0) } else { self.window },
            lengths: self.lengths,
            bias: bias.map(|bias| Bias { batched: bias[0] > 1, per_head: bias[1] > 1 }),
            slopes: self.slopes,
            radius: self.relative.then_some(radius),
            dropout: self.dropout.map(|(keep, stream)| Dropout { keep: f32::from_bits(keep), stream }),
        }
    }
}

impl Recurrence {
    /// The kernels' problem: N rows, a state [B, H], steps [T, 2].
    pub(crate) fn problem(self, rows: usize, state: Shape, steps: Shape) -> recurrent::Problem {
        let Self { cell, packed, reverse } = self;
        recurrent::Problem { cell, rows, batch: state[0], time: steps[0], hidden: state[1], packed, reverse }
    }
}
