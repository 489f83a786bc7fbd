//! Gradients of pointwise functions, as pointwise expressions that the fuser joins into one pass.
//!
//! What a condition hides is left out by `select` and not multiplied by 0, which would be NaN where it is infinite.

use std::f32::consts::FRAC_2_SQRT_PI;

use crate::ir::error::Location;
use crate::ir::op::{Binary, Op, Ternary, Unary};
use crate::record::tensor::Tensor;

/// Of a function of one operand; `None` where no gradient flows.
pub(super) fn unary<'g>(function: Unary, x: Tensor<'g>, y: Tensor<'g>, dy: Tensor<'g>) -> Option<Tensor<'g>> {
    let number = |value: f32| number(x, value);
    Some(match function {
        Unary::Copy => dy,
        Unary::Detach | Unary::GeluGrad | Unary::GeluTanhGrad | Unary::SiluGrad | Unary::MishGrad => {
            return None;
        }
        // A gradient of 0, and not none: as in PyTorch, a parameter whose only way to the loss is a step is not forgotten.
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => number(0.0).broadcast_to(&x.shape()),
        Unary::Neg => -dy,
        Unary::Exp => dy * y,
        Unary::Ln => dy / x,
        Unary::Sqrt => dy * 0.5 / y,
        Unary::Recip => -(dy * y.square()),
        Unary::Sin => dy * x.cos(),
        Unary::Cos => -(dy * x.sin()),
        Unary::Tanh => dy * (1.0 - y.square()),
        Unary::Erf => dy * (-x.square()).exp() * FRAC_2_SQRT_PI,
        Unary::Sigmoid => dy * (y * (1.0 - y)),
        Unary::Relu => x.greater(number(0.0)).select(dy, number(0.0)),
        Unary::Gelu => dy * x.unary("gelu", Unary::GeluGrad),
        Unary::GeluTanh => dy * x.unary("gelu_tanh", Unary::GeluTanhGrad),
        Unary::Silu => dy * x.unary("silu", Unary::SiluGrad),
        Unary::Softplus => dy * x.sigmoid(),
        Unary::Mish => dy * x.unary("mish", Unary::MishGrad),
        Unary::HardSwish => {
            let between = x.less(number(3.0)).select(dy * (x * (1.0 / 3.0) + 0.5), dy);
            x.less_equal(number(-3.0)).select(number(0.0), between)
        }
        Unary::Abs => dy * x.sign(),
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
    let zero = number(a, 0.0);
    match function {
        Binary::Add => vec![Some(dy), Some(dy)],
        Binary::Sub => vec![Some(dy), Some(-dy)],
        Binary::Mul => vec![Some(dy * b), Some(dy * a)],
        Binary::Div => vec![Some(dy / b), Some(-(dy * y / b))],
        // As PyTorch: x⁰ does not depend on x even at 0, nor 0ᵇ on b for b >= 0.
        Binary::Pow => {
            let of_base = dy * (b * a.pow(b - 1.0));
            let constant = a.equal(zero) * b.greater_equal(zero);
            vec![Some(b.equal(zero).select(zero, of_base)), Some(constant.select(zero, dy * (y * a.ln())))]
        }
        Binary::Max => vec![Some(won(a, b, dy)), Some(won(b, a, dy))],
        Binary::Min => vec![Some(won(b, a, dy)), Some(won(a, b, dy))],
        Binary::LeakyRelu => vec![Some(a.greater(zero).select(dy, dy * b)), None],
        Binary::Elu => vec![Some(a.greater(zero).select(dy, dy * b * a.exp())), None],
        Binary::Greater | Binary::GreaterEqual | Binary::Less | Binary::LessEqual | Binary::Equal => {
            vec![None, None]
        }
    }
}

/// Of a function of three operands.
pub(super) fn ternary<'g>(
    function: Ternary,
    [a, b, c]: [Tensor<'g>; 3],
    dy: Tensor<'g>,
) -> Vec<Option<Tensor<'g>>> {
    let zero = number(a, 0.0);
    match function {
        Ternary::Select => vec![None, Some(a.select(dy, zero)), Some(a.select(zero, dy))],
        Ternary::Clamp => {
            let inside = a.greater(b) * a.less(c);
            vec![Some(inside.select(dy, zero)), None, None]
        }
    }
}

/// The same mask again: it depends only on the seed, the stream and the index.
pub(super) fn dropout<'g>(op: &Op, dy: Tensor<'g>, at: Location) -> Tensor<'g> {
    dy.unary_node(op.clone(), dy.shape(), at)
}

/// dy where `a` is greater, half of it where they are equal, else 0.
fn won<'g>(a: Tensor<'g>, b: Tensor<'g>, dy: Tensor<'g>) -> Tensor<'g> {
    let shared = a.equal(b).select(dy * 0.5, number(a, 0.0));
    a.greater(b).select(dy, shared)
}

/// A number in the graph of `x`.
fn number<'g>(x: Tensor<'g>, value: f32) -> Tensor<'g> {
    x.graph.constant(value, x.node().at)
}
