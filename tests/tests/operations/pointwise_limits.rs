//! Pointwise operations where a careless formula fails: at infinities, at zeros, far out, and close to 0 where only a relative error
//! tells. By one element and by four neighbours, by the kernels of CPU adapters and by those of GPUs.
//!
//! WGSL lets a driver assume that there is no infinity. So, as with NaN, this is a test of what is so on the drivers that the project
//! tests on.

use seqloom_graph::{Graph, HostTensor, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::compare::{Tolerance, compare};
use seqloom_tests::device;
use seqloom_tests::oracle::pointwise as oracle;

const INF: f32 = f32::INFINITY;

/// What ran, its outputs, its gradients.
type Run = (&'static str, Vec<Vec<f32>>, Vec<Vec<f32>>);

/// One run as the adapter it is and one with a GPU's kernels.
fn run(
    operands: &[HostTensor],
    function: impl for<'g> Fn(&'g Graph, &[Tensor<'g>]) -> Recorded<'g>,
) -> Vec<Run> {
    [("as it is", device::shared()), ("as a GPU", device::shared_as_gpu())]
        .into_iter()
        .map(|(kind, device)| {
            let case = Case::compile(&device, operands, &function);
            let _ = case.loss();
            (kind, case.outputs(), case.gradients())
        })
        .collect()
}

/// One row that is read by fours, and the same with one element more, which is not.
fn both_widths(values: &[f32]) -> [Vec<f32>; 2] {
    let mut four = values.to_vec();
    four.resize(values.len().next_multiple_of(4), 1.0);
    let one = [&four[..], &[1.0]].concat();
    [four, one]
}

fn row(values: &[f32]) -> HostTensor {
    HostTensor::f32(&[values.len()], values.to_vec()).unwrap()
}

/// Equal bits, or both NaN.
#[track_caller]
fn same(name: &str, got: &[f32], want: &[f32]) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let equal = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
        assert!(equal, "{name}, element {i}: {got}, not {want}");
    }
}

#[test]
fn pow_of_special_numbers() {
    let nan = f32::NAN;
    // Base, exponent, power: C's pow, and PyTorch's.
    let table = [
        [1.0, nan, 1.0],
        [nan, 0.0, 1.0],
        [-1.0, INF, 1.0],
        [-1.0, -INF, 1.0],
        [1.0, INF, 1.0],
        [0.0, nan, nan],
        [nan, 2.0, nan],
        [-8.0, 0.3, nan],
        [-1.0, 0.5, nan],
        [0.0, 0.0, 1.0],
        [-0.0, 3.0, -0.0],
        [-0.0, 2.0, 0.0],
        [-0.0, -3.0, -INF],
        [-0.0, -2.0, INF],
        [0.0, -0.5, INF],
        [0.0, 0.5, 0.0],
        [2.0, INF, INF],
        [0.5, INF, 0.0],
        [2.0, -INF, 0.0],
        [0.5, -INF, INF],
        [INF, 2.0, INF],
        [-INF, 0.5, INF],
        [-INF, -2.5, 0.0],
        [INF, -1.0, 0.0],
        [-INF, 3.0, -INF],
        [-INF, 2.0, INF],
        [-1.0, 16_777_217.0, 1.0],
        [-1.0, 16_777_215.0, -1.0],
        [1.0, 5.5, 1.0],
    ];
    let column = |i: usize| table.map(|line| line[i]);
    let [want, _] = both_widths(&column(2));
    for (base, exponent) in both_widths(&column(0)).into_iter().zip(both_widths(&column(1))) {
        for (kind, outputs, _) in run(&[row(&base), row(&exponent)], |_, x| {
            let y = x[0].pow(x[1]);
            Recorded { outputs: vec![y], loss: y.sum_all() }
        }) {
            same(kind, &outputs[0], &want);
        }
    }
}

#[test]
fn the_side_not_taken_has_no_part() {
    let nan = f32::NAN;
    let condition = [1.0, 0.0, -2.0, 0.0, -0.0, nan, INF];
    let yes = [1.0, INF, 2.0, nan, -INF, 3.0, 4.0];
    let no = [nan, 5.0, INF, 6.0, 7.0, nan, INF];
    let [want, _] = both_widths(&[1.0, 5.0, 2.0, 6.0, 7.0, 3.0, 4.0]);
    let [of_yes, _] = both_widths(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    for (i, condition) in both_widths(&condition).into_iter().enumerate() {
        let sides = [&yes, &no].map(|side| row(&both_widths(side)[i]));
        let [yes, no] = sides;
        for (kind, outputs, gradients) in run(&[row(&condition), yes, no], |_, x| {
            let y = x[0].select(x[1], x[2]);
            Recorded { outputs: vec![y], loss: y.sum_all() }
        }) {
            same(kind, &outputs[0], &want);
            same(kind, &gradients[0], &vec![0.0; condition.len()]);
            same(kind, &gradients[1], &of_yes);
            same(kind, &gradients[2], &of_yes.iter().map(|taken| 1.0 - taken).collect::<Vec<_>>());
        }
    }
}

/// 0 where nothing flows, and not 0 times infinity.
#[test]
fn an_infinite_gradient_stops_where_no_gradient_flows() {
    type Function = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
    let functions: [(&str, Function); 6] = [
        ("relu", |x| x.relu()),
        ("clamp", |x| x.clamp(0.0, 9.0)),
        ("hard_swish", |x| x.hard_swish()),
        ("maximum", |x| x.maximum(x.graph().full(&[], 0.0))),
        ("minimum", |x| -(-x).minimum(x.graph().full(&[], 0.0))),
        ("select", |x| x.greater(x.graph().full(&[], 0.0)).select(x, x.graph().full(&[], 0.5))),
    ];
    for x in both_widths(&[-5.0, -4.0, 4.0]) {
        let scale: Vec<f32> = x.iter().map(|x| if *x < 0.0 { INF } else { 2.0 }).collect();
        let want: Vec<f32> = x.iter().map(|x| if *x < 0.0 { 0.0 } else { 2.0 }).collect();
        for (name, function) in functions {
            for (kind, _, gradients) in run(&[row(&x)], |g, t| {
                let y = function(t[0]) * g.literal(&[x.len()], scale.clone());
                Recorded { outputs: vec![], loss: y.sum_all() }
            }) {
                let far: Vec<_> = x.iter().map(|x| x.abs() > 1.0).collect();
                for (i, _) in far.iter().enumerate().filter(|(_, far)| **far) {
                    assert_eq!(gradients[0][i], want[i], "gradient of {name} at {} {kind}", x[i]);
                }
            }
        }
    }
}

#[test]
fn functions_reach_their_limits() {
    type Function = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
    // At −∞ and at ∞, the function and its derivative.
    let functions: [(&str, Function, [f32; 2], [f32; 2]); 17] = [
        ("tanh", |x| x.tanh(), [-1.0, 1.0], [0.0, 0.0]),
        ("erf", |x| x.erf(), [-1.0, 1.0], [0.0, 0.0]),
        ("sigmoid", |x| x.sigmoid(), [0.0, 1.0], [0.0, 0.0]),
        ("relu", |x| x.relu(), [0.0, INF], [0.0, 1.0]),
        ("leaky_relu", |x| x.leaky_relu(0.25), [-INF, INF], [0.25, 1.0]),
        ("elu", |x| x.elu(1.5), [-1.5, INF], [0.0, 1.0]),
        ("gelu", |x| x.gelu(), [0.0, INF], [0.0, 1.0]),
        ("gelu_tanh", |x| x.gelu_tanh(), [0.0, INF], [0.0, 1.0]),
        ("silu", |x| x.silu(), [0.0, INF], [0.0, 1.0]),
        ("softplus", |x| x.softplus(), [0.0, INF], [0.0, 1.0]),
        ("mish", |x| x.mish(), [0.0, INF], [0.0, 1.0]),
        ("hard_swish", |x| x.hard_swish(), [0.0, INF], [0.0, 1.0]),
        ("sign", |x| x.sign(), [-1.0, 1.0], [0.0, 0.0]),
        ("floor", |x| x.floor(), [-INF, INF], [0.0, 0.0]),
        ("ceil", |x| x.ceil(), [-INF, INF], [0.0, 0.0]),
        ("round", |x| x.round(), [-INF, INF], [0.0, 0.0]),
        ("clamp", |x| x.clamp(-2.0, 3.0), [-2.0, 3.0], [0.0, 0.0]),
    ];
    for x in both_widths(&[-INF, INF]) {
        for (name, function, values, slopes) in functions {
            for (kind, outputs, gradients) in run(&[row(&x)], |_, t| {
                let y = function(t[0]);
                Recorded { outputs: vec![y], loss: y.sum_all() }
            }) {
                assert_eq!(outputs[0][..2], values, "{name} {kind}");
                assert_eq!(gradients[0][..2], slopes, "gradient of {name} {kind}");
            }
        }
    }
}

/// By the relative error alone: differences that cancel would show. A few units in the last place, and those that WGSL allows to exp.
#[test]
fn small_results_keep_their_digits() {
    type Case = (&'static str, for<'g> fn(Tensor<'g>) -> Tensor<'g>, fn(f64) -> f64);
    let functions: [Case; 6] = [
        ("erf", |x| x.erf(), oracle::erf),
        ("elu", |x| x.elu(1.0), |x| oracle::elu(x, 1.0)),
        ("softplus", |x| x.softplus(), oracle::softplus),
        ("mish", |x| x.mish(), oracle::mish),
        ("sin", |x| x.sin(), f64::sin),
        ("tanh", |x| x.tanh(), f64::tanh),
    ];
    let x = [-20.0, -10.0, -3.0, -0.6, -0.49, -0.26, -0.24, -1e-2, -1e-4, -1e-7, 1e-7, 1e-4, 1e-2, 0.3, 0.7];
    for x in both_widths(&x) {
        for (name, function, meaning) in functions {
            let want: Vec<f32> = x.iter().map(|&x| meaning(f64::from(x)) as f32).collect();
            for (kind, outputs, _) in run(&[row(&x)], |_, t| {
                let y = function(t[0]);
                Recorded { outputs: vec![y], loss: y.sum_all() }
            }) {
                let tolerance = Tolerance { abs: 0.0, rel: 2e-6 };
                compare(&format!("{name} {kind}"), &outputs[0], &want, tolerance).unwrap();
            }
        }
    }
}

/// What the docs of `sin` promise, over its whole range: near multiples of π/2, where the digits of the argument cancel, and elsewhere.
#[test]
fn sine_and_cosine_hold_up_to_their_limit() {
    let near: Vec<f32> =
        (1..200).map(|k| (f64::from(k * k * 260) * std::f64::consts::FRAC_PI_2) as f32).collect();
    let far = (0..300).map(|i| 1.06f32.powi(i % 286) * if i % 2 == 0 { 0.9 } else { -0.9 });
    let x: Vec<f32> = near.into_iter().chain(far).chain([16_777_216.0, -16_777_215.0]).collect();
    assert!(x.iter().all(|x| x.abs() <= 16_777_216.0));
    for x in both_widths(&x) {
        for (kind, outputs, _) in run(&[row(&x)], |_, t| {
            let outputs = vec![t[0].sin(), t[0].cos()];
            Recorded { loss: outputs[0].sum_all(), outputs }
        }) {
            for (name, got, meaning) in
                [("sin", &outputs[0], f64::sin as fn(f64) -> f64), ("cos", &outputs[1], f64::cos)]
            {
                let want: Vec<f32> = x.iter().map(|&x| meaning(f64::from(x)) as f32).collect();
                compare(&format!("{name} {kind}"), got, &want, Tolerance { abs: 2e-7, rel: 0.0 }).unwrap();
            }
        }
    }
}
