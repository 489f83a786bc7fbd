//! Pointwise passes: broadcasting reads, every function that fused code may call, dropout.

use std::f64::consts::PI;

use seqloom_kernels::{Control, Elem, FusedCode, Fusion, pointwise};
use seqloom_tests::compare::assert_close;
use seqloom_tests::executor::{Data, Executor, Feed, narrow, random};
use seqloom_tests::oracle::pointwise as oracle;

use crate::{TIGHT, fusion};

#[test]
fn broadcast_operands() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (rows, cols) in [(1, 1), (1, 7), (7, 33), (100, 257), (257, 300)] {
            let (x, bias, scale) = (random(1, rows * cols), random(2, cols), random(3, rows));
            let dims = [1, 1, rows as u32, cols as u32];
            let strides = [[0, 0, cols as u32, 1], [0, 0, 0, 1], [0, 0, 1, 0]];
            let body = "mul(add(leaf0[strided(index, view.dims, view.s0)], leaf1[strided(index, view.dims, \
                        view.s1)]), leaf2[strided(index, view.dims, view.s2)])";
            let lowered =
                pointwise::lower(rows * cols, false, &facts, &fusion(body, 3, dims, &strides)).unwrap();
            let feed = Feed {
                leaves: vec![(&x).into(), (&bias).into(), (&scale).into()],
                outs: vec![rows * cols],
                ..Feed::default()
            };
            let want: Vec<f32> =
                (0..rows * cols).map(|i| (x[i] + bias[i % cols]) * scale[i / cols]).collect();
            let got = executor.run(&lowered, &feed).out(0);
            assert_close(&format!("{kind} {rows}x{cols}"), &got, &want, TIGHT);
        }
    }
}

/// A function of fused code and what it means.
type Case = (&'static str, fn(f64) -> f64);

/// The derivative by a central difference, exact to 1e-9 in f64 for functions whose third derivative is of size 1.
fn slope(of: fn(f64) -> f64, x: f64) -> f64 {
    (of(x + 3e-5) - of(x - 3e-5)) / 6e-5
}

/// Code by one element and by four, over a leaf of f32 and others.
fn in_both_widths(one: &str, four: &str, others: &[Elem]) -> Fusion {
    let of =
        |body: &str, elem| FusedCode { body: body.to_owned(), leaves: [&[elem], others].concat(), states: 0 };
    let wide = Fusion { code: of(four, Elem::F32x4), ..Fusion::default() };
    Fusion { code: of(one, Elem::F32), four: Some(Box::new(wide)), ..Fusion::default() }
}

#[test]
fn functions_of_one_operand() {
    let cases: [Case; 32] = [
        ("neg(x)", |x| -x),
        ("abs_(x)", f64::abs),
        ("sign_(x)", |x| if x == 0.0 { 0.0 } else { x.signum() }),
        ("square(x)", |x| x * x),
        ("exp_(min_(x, Value(20.0f)))", |x| x.min(20.0).exp()),
        ("log_(add(abs_(x), Value(0.5f)))", |x| (x.abs() + 0.5).ln()),
        ("sqrt_(abs_(x))", |x| x.abs().sqrt()),
        ("rsqrt_(add(abs_(x), Value(0.5f)))", |x| (x.abs() + 0.5).sqrt().recip()),
        ("recip(add(abs_(x), Value(0.5f)))", |x| (x.abs() + 0.5).recip()),
        ("tanh_(x)", f64::tanh),
        ("sigmoid(x)", oracle::sigmoid),
        ("relu(x)", oracle::relu),
        ("silu(x)", oracle::silu),
        ("gelu_erf(x)", oracle::gelu_erf),
        ("gelu_tanh(x)", oracle::gelu_tanh),
        ("gelu_tanh_grad(x)", |x| slope(oracle::gelu_tanh, x)),
        ("gelu_erf_grad(x)", |x| slope(oracle::gelu_erf, x)),
        ("silu_grad(x)", |x| slope(oracle::silu, x)),
        ("pow_(x, Value(3.0f))", |x| x.powi(3)),
        ("sin_(x)", f64::sin),
        ("cos_(x)", f64::cos),
        ("clamp_(x, Value(-3.0f), Value(2.0f))", |x| x.clamp(-3.0, 2.0)),
        ("round_(mul(x, Value(0.25f)))", |x| (x * 0.25).round_ties_even()),
        ("erf(x)", oracle::erf),
        ("leaky_relu(x, Value(0.25f))", |x| if x > 0.0 { x } else { 0.25 * x }),
        ("elu(x, Value(1.5f))", |x| oracle::elu(x, 1.5)),
        ("softplus(x)", oracle::softplus),
        ("mish(x)", oracle::mish),
        ("mish_grad(x)", |x| slope(oracle::mish, x)),
        ("hard_swish(x)", oracle::hard_swish),
        ("select_(greater(x, Value(0.5f)), max_(x, Value(1.0f)), div(x, Value(3.0f)))", |x| {
            if x > 0.5 { x.max(1.0) } else { x / 3.0 }
        }),
        ("mul(less_equal(x, Value(0.0f)), greater_equal(x, Value(-5.0f)))", |x| {
            if (-5.0..=0.0).contains(&x) { 1.0 } else { 0.0 }
        }),
    ];
    let executor = Executor::shared();
    // A grid of moderate arguments, and those at which a careless formula overflows.
    let mut x: Vec<f32> = (-80..=80).map(|i| i as f32 * 0.11).collect();
    x.extend([-100.0, 100.0, -0.0, 1e-4, -1e-4, 30.0, -30.0]);
    assert_eq!(x.len() % 4, 0, "an adapter of CPU kind takes four at a time");
    let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for (body, meaning) in cases {
        let code = format!("    let x = leaf0[index];\n    return {body};\n");
        let fusion = in_both_widths(&code, &code, &[]);
        let want: Vec<f64> = wide.iter().map(|&x| meaning(x)).collect();
        for (kind, facts) in executor.kinds() {
            let lowered = pointwise::lower(x.len(), false, &facts, &fusion).unwrap();
            let feed = Feed { leaves: vec![(&x).into()], outs: vec![x.len()], ..Feed::default() };
            assert_close(
                &format!("{body} {kind}"),
                &executor.run(&lowered, &feed).out(0),
                &narrow(&want),
                TIGHT,
            );
        }
    }
}

#[test]
fn erf_of_the_oracle_is_the_integral() {
    for x in [0.0, 0.1, 0.7, 1.5, 2.9, 2.999, 3.0, 3.2, 5.0] {
        // Simpson's rule on 2/√π·e^(-t²), which knows nothing of either series.
        let steps = 2000;
        let h = x / f64::from(steps);
        let term = |i: i32| {
            let weight = if i == 0 || i == steps { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
            weight * (-(f64::from(i) * h).powi(2)).exp()
        };
        let integral = (0..=steps).map(term).sum::<f64>() * h / 3.0 * 2.0 / PI.sqrt();
        assert!((oracle::erf(x) - integral).abs() < 1e-11, "erf({x}): {} and {integral}", oracle::erf(x));
        assert_eq!(oracle::erf(-x), -oracle::erf(x));
    }
}

#[test]
fn dropout_keeps_its_share_and_its_mask() {
    let executor = Executor::shared();
    let (len, keep) = (20_000, 0.8f32);
    let x = vec![3.0f32; len];
    let by = |function| format!("    return {function}(leaf0[index], 0.8f, leaf1.seed, 5u, index);\n");
    let fusion = in_both_widths(&by("dropout"), &by("dropout_four"), &[Elem::Control]);
    let run = |facts: &_, seed| {
        let lowered = pointwise::lower(len, false, facts, &fusion).unwrap();
        let control = Control { seed, ..Control::default() };
        let leaves = vec![(&x).into(), Data::Control(control)];
        executor.run(&lowered, &Feed { leaves, outs: vec![len], ..Feed::default() }).out(0)
    };
    let [(_, gpu), (_, cpu)] = executor.kinds();
    let mask = run(&gpu, 9);
    assert!(mask.iter().all(|&y| y == 0.0 || y == 3.0 / keep), "a value is neither 0 nor x / keep");
    let kept = mask.iter().filter(|y| **y != 0.0).count() as f32 / len as f32;
    // Four standard deviations.
    assert!((kept - keep).abs() < 4.0 * (keep * (1.0 - keep) / len as f32).sqrt(), "kept {kept} of all");
    assert_eq!(mask, run(&cpu, 9), "the mask depends on the grid or the width");
    assert_ne!(mask, run(&gpu, 10), "the mask does not depend on the seed");
}
