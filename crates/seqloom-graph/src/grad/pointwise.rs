//! Gradients of pointwise functions, as pointwise expressions that the fuser joins into one pass.

use crate::ir::error::Location;
use crate::ir::op::{Binary, Op, Unary};
use crate::record::tensor::Tensor;

/// Of a function of one operand; `None` where no gradient flows.
pub(super) fn unary<'g>(function: Unary, x: Tensor<'g>, y: Tensor<'g>, dy: Tensor<'g>) -> Option<Tensor<'g>> {
    let zero = || x.graph.constant(0.0, x.node().at);
    Some(match function {
        Unary::Copy => dy,
        Unary::Detach | Unary::Sign | Unary::GeluGrad | Unary::GeluTanhGrad | Unary::SiluGrad => return None,
        Unary::Neg => -dy,
        Unary::Exp => dy * y,
        Unary::Ln => dy / x,
        Unary::Sqrt => dy * 0.5 / y,
        Unary::Recip => -(dy * y.square()),
        Unary::Tanh => dy * (1.0 - y.square()),
        Unary::Sigmoid => dy * (y * (1.0 - y)),
        Unary::Relu => dy * x.greater(zero()),
        Unary::Gelu => dy * x.unary("gelu", Unary::GeluGrad),
        Unary::GeluTanh => dy * x.unary("gelu_tanh", Unary::GeluTanhGrad),
        Unary::Silu => dy * x.unary("silu", Unary::SiluGrad),
        Unary::Abs => dy * x.unary("abs", Unary::Sign),
        Unary::Square => dy * x * 2.0,
    })
}

/// Of a function of two operands.
pub(super) fn binary<'g>(
    function: Binary,
    a: Tensor<'g>,
    b: Tensor<'g>,
    y: Tensor<'g>,
    dy: Tensor<'g>,
) -> Vec<Option<Tensor<'g>>> {
    match function {
        Binary::Add => vec![Some(dy), Some(dy)],
        Binary::Sub => vec![Some(dy), Some(-dy)],
        Binary::Mul => vec![Some(dy * b), Some(dy * a)],
        Binary::Div => vec![Some(dy / b), Some(-(dy * y / b))],
        Binary::Max => vec![Some(dy * winner(a, b)), Some(dy * winner(b, a))],
        Binary::Min => vec![Some(dy * winner(b, a)), Some(dy * winner(a, b))],
        Binary::Greater | Binary::Less | Binary::Equal => vec![None, None],
    }
}

/// The same mask again: it depends only on the seed, the stream and the index.
pub(super) fn dropout<'g>(op: &Op, dy: Tensor<'g>, at: Location) -> Tensor<'g> {
    dy.unary_node(op.clone(), dy.shape(), at)
}

/// 1 where `a` is greater, ½ where equal, else 0.
fn winner<'g>(a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    a.greater(b) + a.equal(b) * 0.5
}
