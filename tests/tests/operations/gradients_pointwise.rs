//! Gradient of every pointwise operation in the middle of a graph, against finite differences of the loss. Operands keep away from
//! kinks and jumps by more than the stencil moves them.

use seqloom_graph::{HostData, HostTensor, Tensor};
use seqloom_tests::mid_graph::{check, received, tensor, wave};

use crate::gradients::{away, positive, unary};

/// An operation of two operands: of one shape, with a row and with a column that stretch.
fn binary(
    make: impl Fn(&[usize], usize) -> HostTensor,
    operation: impl for<'g> Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>,
) {
    for (a, b) in [(&[3, 4][..], &[3, 4][..]), (&[2, 3, 4], &[4]), (&[3, 1], &[2, 3, 4])] {
        check(&[make(a, 0), make(b, 1)], |x| vec![operation(x[0], x[1])]);
    }
}

#[test]
fn gradient_of_add() {
    binary(wave, |a, b| a + b);
    unary(wave(&[3, 4], 0), |x| 1.5 + (x + 0.5));
}

#[test]
fn gradient_of_sub() {
    binary(wave, |a, b| a - b);
    unary(wave(&[3, 4], 0), |x| 1.5 - (x - 0.5));
}

#[test]
fn gradient_of_mul() {
    binary(wave, |a, b| a * b);
    unary(wave(&[3, 4], 0), |x| 1.5 * (x * -0.5));
}

#[test]
fn gradient_of_div() {
    binary(positive, |a, b| a / b);
    unary(positive(&[3, 4], 0), |x| 1.5 / (x / 0.5));
}

#[test]
fn gradient_of_neg() {
    unary(wave(&[3, 4], 0), |x| -x);
}

#[test]
fn gradient_of_exp() {
    unary(wave(&[3, 4], 0), |x| x.exp());
}

#[test]
fn gradient_of_ln() {
    unary(positive(&[3, 4], 0), |x| x.ln());
}

#[test]
fn gradient_of_sqrt() {
    unary(positive(&[3, 4], 0), |x| x.sqrt());
}

#[test]
fn gradient_of_tanh() {
    unary(wave(&[3, 4], 0), |x| x.tanh());
}

#[test]
fn gradient_of_sigmoid() {
    unary(wave(&[3, 4], 0), |x| x.sigmoid());
}

#[test]
fn gradient_of_relu() {
    unary(away(&[3, 4], 0), |x| x.relu());
}

#[test]
fn gradient_of_gelu() {
    unary(wave(&[3, 4], 0), |x| x.gelu());
}

#[test]
fn gradient_of_gelu_tanh() {
    unary(wave(&[3, 4], 0), |x| x.gelu_tanh());
}

#[test]
fn gradient_of_swiglu() {
    binary(wave, |a, b| a.swiglu(b));
}

#[test]
fn gradient_of_silu() {
    unary(wave(&[3, 4], 0), |x| x.silu());
}

#[test]
fn gradient_of_square() {
    unary(wave(&[3, 4], 0), |x| x.square());
}

#[test]
fn gradient_of_abs() {
    unary(away(&[3, 4], 0), |x| x.abs());
}

/// `away` and its mirror image: nowhere closer than 0.6.
fn apart() -> [HostTensor; 2] {
    let mirrored = away(&[3, 4], 0);
    let HostData::F32(values) = mirrored.data() else { panic!("made as f32") };
    [mirrored.clone(), tensor(&[3, 4], |k| -values[k])]
}

#[test]
fn gradient_of_maximum() {
    check(&apart(), |x| vec![x[0].maximum(x[1])]);
}

#[test]
fn gradient_of_minimum() {
    check(&apart(), |x| vec![x[0].minimum(x[1])]);
}

/// Values from −2.75 to 2.25, each ¼ from the nearest multiples of ½.
fn between_halves(shape: &[usize]) -> HostTensor {
    received(shape, |k| (k * 5 % 11) as f32 * 0.5 - 2.75)
}

/// A function whose own gradient is 0 everywhere: as a factor, so that it shows in the gradient of the other.
fn steps(operation: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>) {
    check(&[between_halves(&[3, 4]), wave(&[3, 4], 1)], |x| vec![(operation(x[0]) + x[0]) * x[1]]);
}

#[test]
fn gradient_of_recip() {
    unary(positive(&[3, 4], 0), |x| x.recip());
}

#[test]
fn gradient_of_sin() {
    unary(wave(&[3, 4], 0), |x| (x * 3.0).sin());
}

#[test]
fn gradient_of_cos() {
    unary(wave(&[3, 4], 0), |x| (x * 3.0).cos());
}

#[test]
fn gradient_of_erf() {
    unary(wave(&[3, 4], 0), |x| (x * 2.0).erf());
}

#[test]
fn gradient_of_floor() {
    steps(|x| x.floor());
}

#[test]
fn gradient_of_ceil() {
    steps(|x| x.ceil());
}

#[test]
fn gradient_of_round() {
    steps(|x| x.round());
}

#[test]
fn gradient_of_sign() {
    steps(|x| x.sign());
}

#[test]
fn gradient_of_pow() {
    binary(positive, |a, b| a.pow(b));
    binary(positive, |a, b| a.pow(b * -0.5));
    for exponent in [-2.0, -1.0, -0.5, 0.5, 2.0, 2.5, 3.0, 4.0] {
        unary(positive(&[3, 4], 0), |x| x.powf(exponent));
    }
    for exponent in [2.0, 3.0, 4.0, 5.0] {
        unary(away(&[3, 4], 0), |x| x.powf(exponent));
    }
}

#[test]
fn gradient_of_greater() {
    check(&apart(), |x| vec![x[0].greater(x[1]) * x[0] + x[1]]);
}

#[test]
fn gradient_of_greater_equal() {
    check(&apart(), |x| vec![x[0].greater_equal(x[1]) * x[0] + x[1]]);
}

#[test]
fn gradient_of_less() {
    check(&apart(), |x| vec![x[0].less(x[1]) * x[0] + x[1]]);
}

#[test]
fn gradient_of_less_equal() {
    check(&apart(), |x| vec![x[0].less_equal(x[1]) * x[0] + x[1]]);
}

#[test]
fn gradient_of_equal() {
    // Equal where the stencil moves both alike.
    check(&apart(), |x| vec![(x[0].equal(x[0]) + x[0].equal(x[1])) * x[0] + x[1]]);
}

#[test]
fn gradient_of_select() {
    let [a, b] = apart();
    check(&[a, b, wave(&[3, 4], 2)], |x| vec![x[0].greater(x[1]).select(x[0] * 2.0, x[2]) + x[1]]);
    // A condition that stretches, and sides that do.
    check(&[away(&[3, 1], 0), wave(&[2, 3, 4], 1), wave(&[4], 2)], |x| {
        vec![x[0].greater(x[0].graph().full(&[], 0.0)).select(x[1], x[2].exp()) + x[0]]
    });
}

#[test]
fn gradient_of_clamp() {
    unary(between_halves(&[3, 4]), |x| x.clamp(-1.0, 1.5) + x * 0.5);
}

#[test]
fn gradient_of_leaky_relu() {
    unary(away(&[3, 4], 0), |x| x.leaky_relu(0.25));
}

#[test]
fn gradient_of_elu() {
    unary(away(&[3, 4], 0), |x| x.elu(1.5));
}

#[test]
fn gradient_of_selu() {
    unary(away(&[3, 4], 0), |x| x.selu());
}

#[test]
fn gradient_of_softplus() {
    unary(wave(&[3, 4], 0), |x| (x * 3.0).softplus());
}

#[test]
fn gradient_of_mish() {
    unary(wave(&[3, 4], 0), |x| (x * 3.0).mish());
}

#[test]
fn gradient_of_hard_swish() {
    // On all three pieces.
    unary(between_halves(&[4, 8]), |x| (x * 2.0).hard_swish());
}
