//! Every pointwise operation of a tensor against its f64 oracle, at shapes that fill no workgroup and shapes that broadcast. Tolerance
//! as for the other operations.

use std::ops::{Add, Div, Mul, Sub};

use seqloom_graph::Tensor;
use seqloom_tests::oracle::array::Array;
use seqloom_tests::oracle::operations_pointwise as oracle;

use crate::oracles::{numbers, one};

/// The shapes that pointwise operations are tried at.
const SHAPES: [&[usize]; 4] = [&[], &[7], &[5, 33], &[2, 3, 4, 9]];

/// The shapes of two operands: equal, and stretched in several ways.
const PAIRS: [[&[usize]; 2]; 4] =
    [[&[5, 33], &[5, 33]], [&[4, 1, 9], &[3, 1]], [&[], &[6]], [&[2, 3, 4, 5], &[4, 5]]];

macro_rules! unary {
    ($($name:ident: $shift:expr;)*) => {$(
        #[test]
        fn $name() {
            for shape in SHAPES {
                // Where an operation is not defined everywhere, operands are moved to where it is.
                let x = single(&numbers(shape, 1).map(|x| x + $shift));
                one(&[&x], |t| t[0].$name(), &oracle::$name(&x));
            }
        }
    )*};
}

unary! {
    exp: 0.0;
    ln: 2.0;
    sqrt: 2.0;
    tanh: 0.0;
    sigmoid: 0.0;
    relu: 0.0;
    gelu: 0.0;
    gelu_tanh: 0.0;
    silu: 0.0;
    square: 0.0;
    abs: 0.0;
    recip: 0.0;
    sin: 0.0;
    cos: 0.0;
    erf: 0.0;
    floor: 0.0;
    ceil: 0.0;
    round: 0.0;
    sign: 0.0;
    selu: 0.0;
    softplus: 0.0;
    mish: 0.0;
    hard_swish: -1.0;
}

#[test]
fn functions_with_numbers() {
    for shape in SHAPES {
        let x = single(&numbers(shape, 1));
        one(&[&x], |t| t[0].clamp(-0.5, 0.75), &oracle::clamp(&x, -0.5, 0.75));
        one(&[&x], |t| t[0].leaky_relu(0.25), &oracle::leaky_relu(&x, 0.25));
        one(&[&x], |t| t[0].elu(1.5), &oracle::elu(&x, 1.5));
        for exponent in [-2.0, -1.0, -0.5, 0.0, 0.5, 2.0, 2.5, 3.0, 4.0, 7.0] {
            let base = if f64::from(exponent).fract() == 0.0 { x.clone() } else { x.map(f64::abs) };
            let wide = Array { shape: vec![], data: vec![f64::from(exponent)] };
            one(&[&base], |t| t[0].powf(exponent), &oracle::pow(&base, &wide));
        }
    }
}

#[test]
fn pow() {
    for [a, b] in PAIRS {
        let (a, b) = (single(&numbers(a, 2)), single(&numbers(b, 3)));
        let positive = a.map(f64::abs);
        one(&[&positive, &b], |t| t[0].pow(t[1]), &oracle::pow(&positive, &b));
        let whole = b.map(|b| (b * 3.0).round());
        one(&[&a, &whole], |t| t[0].pow(t[1]), &oracle::pow(&a, &whole));
    }
}

#[test]
fn select() {
    for [a, b] in PAIRS {
        let (a, b) = (single(&numbers(a, 2)), single(&numbers(b, 3)));
        for shape in [&[][..], &a.shape, &b.shape] {
            let condition = numbers(shape, 4).map(|x| x.round().clamp(0.0, 1.0));
            one(&[&condition, &a, &b], |t| t[0].select(t[1], t[2]), &oracle::select(&condition, &a, &b));
        }
    }
}

/// The nearest numbers of single precision.
fn single(x: &Array) -> Array {
    x.map(|x| f64::from(x as f32))
}

#[test]
fn neg() {
    let x = numbers(&[5, 33], 1);
    one(&[&x], |t| -t[0], &oracle::neg(&x));
}

macro_rules! binary {
    ($($name:ident: $operation:expr;)*) => {$(
        #[test]
        fn $name() {
            for [a, b] in PAIRS {
                let (a, b) = (numbers(a, 2), numbers(b, 3));
                one(&[&a, &b], |t| $operation(t[0], t[1]), &oracle::$name(&a, &b));
            }
        }
    )*};
}

binary! {
    add: Add::add;
    sub: Sub::sub;
    mul: Mul::mul;
    div: Div::div;
    maximum: Tensor::maximum;
    minimum: Tensor::minimum;
    swiglu: Tensor::swiglu;
    greater: Tensor::greater;
    greater_equal: Tensor::greater_equal;
    less: Tensor::less;
    less_equal: Tensor::less_equal;
    equal: Tensor::equal;
}
