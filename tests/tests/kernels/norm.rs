//! Normalisation of rows, by a workgroup per row and by an invocation per row.

use seqloom_kernels::Lowered;
use seqloom_kernels::norm::{self, Problem};
use seqloom_kernels::softmax::Variant;
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::executor::{Executor, Feed, narrow, random};
use seqloom_tests::oracle::{norm as oracle, widen};

use crate::{fusion, with_fours};

const SIZES: [(usize, usize); 8] =
    [(1, 1), (1, 7), (7, 1), (33, 33), (100, 65), (3, 257), (257, 100), (70, 1000)];

const VARIANTS: [Variant; 2] = [Variant::Workgroup, Variant::Invocation];

const EPS: f32 = 1e-5;

/// Results of size 1 to 10 after two sums of up to a thousand terms in f32.
const TOLERANCE: Tolerance = Tolerance { abs: 2e-5, rel: 2e-5 };

struct Rows {
    x: Vec<f32>,
    dy: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Rows {
    fn new(rows: usize, cols: usize) -> Self {
        let x = random(1, rows * cols).iter().map(|x| 3.0 * x + 1.0).collect();
        let weight = random(3, cols).iter().map(|x| x + 1.5).collect();
        Rows { x, dy: random(2, rows * cols), weight, bias: random(4, cols) }
    }
}

/// The means as kernels keep them: the first element of each row, and the mean less that one; both 0 where not centred.
fn parted(cols: usize, x: &[f64], means: &[f64], centred: bool) -> (Vec<f64>, Vec<f64>) {
    let firsts: Vec<f64> = x.chunks(cols).map(|row| if centred { row[0] } else { 0.0 }).collect();
    let apart = means.iter().zip(&firsts).map(|(mean, first)| mean - first).collect();
    (firsts, apart)
}

#[test]
fn rows_of_every_size() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for ((rows, cols), centred) in SIZES.into_iter().flat_map(|size| [(size, true), (size, false)]) {
            let given = Rows::new(rows, cols);
            let [x, dy, weight, bias] = [&given.x, &given.dy, &given.weight, &given.bias].map(|v| widen(v));
            let eps = f64::from(EPS);
            let (_, means, rstds) = oracle::normalise(cols, &x, centred, eps);
            let (firsts, apart) = parted(cols, &x, &means, centred);
            let y = oracle::forward(cols, &x, &weight, centred.then_some(&bias), eps);
            let dx = oracle::backward(cols, &x, &dy, &weight, centred, eps);

            let problem = Problem { rows, cols, centred, eps: EPS };
            let name = |how: &str| format!("[{rows}, {cols}] centred {centred} {kind} {how}");
            let forward = |how: &str, lowered: Lowered| {
                let mut ins = vec![(&given.x).into(), (&given.weight).into()];
                if centred {
                    ins.push((&given.bias).into());
                }
                let ran = executor.run(
                    &lowered,
                    &Feed { ins, outs: vec![rows * cols, rows, rows, rows], ..Feed::default() },
                );
                for (i, want) in [&y, &firsts, &apart, &rstds].into_iter().enumerate() {
                    // A row of one element has the deviation √eps, whose inverse is some hundreds.
                    let scaled = if cols == 1 { Tolerance { abs: 1e-3, ..TOLERANCE } } else { TOLERANCE };
                    assert_close(&format!("output {i} of {}", name(how)), &ran.out(i), &narrow(want), scaled);
                }
            };
            let backward = |how: &str, lowered: Lowered| {
                let saved = [narrow(&apart), narrow(&rstds)];
                let ins = [&given.x, &given.dy, &given.weight, &saved[0], &saved[1]].map(Into::into).to_vec();
                let ran = executor.run(&lowered, &Feed { ins, outs: vec![rows * cols], ..Feed::default() });
                assert_close(&format!("dx {}", name(how)), &ran.out(0), &narrow(&dx), TOLERANCE);
            };
            forward("chosen", norm::lower_forward(&problem, &facts).unwrap());
            backward("chosen", norm::lower_backward(&problem, &facts, None).unwrap());
            for variant in VARIANTS {
                let how = format!("{variant:?}");
                forward(&how, norm::lower_forward_as(variant, &problem, &facts).unwrap());
                backward(&how, norm::lower_backward_as(variant, &problem, &facts, None).unwrap());
            }
        }
    }
}

/// A head that halves a leaf and adds another, whose sum is kept; and a tail of the gradient that adds a leaf.
#[test]
fn residual_connections_ride_along() {
    let executor = Executor::shared();
    let head = with_fours(fusion("add(mul(leaf0[index], Value(0.5f)), leaf1[index])", 2, [1; 4], &[]));
    let tail = with_fours(fusion("add(value, leaf0[index])", 1, [1; 4], &[]));
    for ((rows, cols), centred) in SIZES.into_iter().flat_map(|size| [(size, true), (size, false)]) {
        let given = Rows::new(rows, cols);
        let other = random(6, rows * cols);
        let sum: Vec<f32> = given.x.iter().zip(&other).map(|(x, z)| x * 0.5 + z).collect();
        let [x, dy, weight, bias] = [&sum, &given.dy, &given.weight, &given.bias].map(|v| widen(v));
        let eps = f64::from(EPS);
        let (_, means, rstds) = oracle::normalise(cols, &x, centred, eps);
        let (firsts, apart) = parted(cols, &x, &means, centred);
        let y = oracle::forward(cols, &x, &weight, centred.then_some(&bias), eps);
        let dx = oracle::backward(cols, &x, &dy, &weight, centred, eps);
        let dx: Vec<f64> = dx.iter().zip(widen(&other)).map(|(dx, z)| dx + z).collect();
        let problem = Problem { rows, cols, centred, eps: EPS };
        // A row of one element has the deviation √eps, whose inverse is some hundreds.
        let tolerance = if cols == 1 { Tolerance { abs: 1e-3, ..TOLERANCE } } else { TOLERANCE };
        for variant in VARIANTS {
            let name = |what: &str| format!("{what} [{rows}, {cols}] centred {centred} {variant:?}");
            let lowered = norm::lower_residual_as(variant, &problem, &head, executor.facts()).unwrap();
            // The operand is computed, so nothing binds the first input.
            let ins = [&given.x, &given.weight, &given.bias].map(Into::into).to_vec();
            let leaves = [&given.x, &other].map(Into::into).to_vec();
            let outs = vec![rows * cols, rows, rows, rows, rows * cols];
            let ran = executor.run(&lowered, &Feed { ins, outs, leaves });
            for (i, want) in [&y, &firsts, &apart, &rstds, &x].into_iter().enumerate() {
                assert_close(&name(&format!("output {i}")), &ran.out(i), &narrow(want), tolerance);
            }
            let lowered = norm::lower_backward_as(variant, &problem, executor.facts(), Some(&tail)).unwrap();
            let saved = [narrow(&apart), narrow(&rstds)];
            let ins = [&sum, &given.dy, &given.weight, &saved[0], &saved[1]].map(Into::into).to_vec();
            let leaves = vec![(&other).into()];
            let ran = executor.run(&lowered, &Feed { ins, outs: vec![rows * cols], leaves });
            assert_close(&name("dx"), &ran.out(0), &narrow(&dx), TOLERANCE);
        }
    }
}

/// A mean of ten thousand times the spread takes nothing from it: what is left of the rows is exact, so a sum of the values
/// themselves, whose rounding is of the size of the mean, would show.
#[test]
fn a_large_mean_costs_no_digits() {
    let executor = Executor::shared();
    let (rows, cols) = (3, 1000);
    // Multiples of 1/128, which floats of the size of the shift still hold.
    let x: Vec<f32> = random(5, rows * cols).iter().map(|x| (128.0 * x).round() / 128.0).collect();
    let shifted: Vec<f32> = x.iter().map(|x| x + 10_000.0).collect();
    let (weight, bias) = (vec![1.0; cols], vec![0.0; cols]);
    let want = oracle::forward(cols, &widen(&x), &widen(&weight), Some(&widen(&bias)), f64::from(EPS));
    for variant in VARIANTS {
        let problem = Problem { rows, cols, centred: true, eps: EPS };
        let lowered = norm::lower_forward_as(variant, &problem, executor.facts()).unwrap();
        let ins = [&shifted, &weight, &bias].map(Into::into).to_vec();
        let ran = executor
            .run(&lowered, &Feed { ins, outs: vec![rows * cols, rows, rows, rows], ..Feed::default() });
        assert_close(&format!("{variant:?}"), &ran.out(0), &narrow(&want), TOLERANCE);

        let dy = random(6, rows * cols);
        let dx = oracle::backward(cols, &widen(&x), &widen(&dy), &widen(&weight), true, f64::from(EPS));
        let ins = [&shifted, &dy, &weight, &ran.out(2), &ran.out(3)].map(Into::into).to_vec();
        let lowered = norm::lower_backward_as(variant, &problem, executor.facts(), None).unwrap();
        let ran = executor.run(&lowered, &Feed { ins, outs: vec![rows * cols], ..Feed::default() });
        assert_close(&format!("dx {variant:?}"), &ran.out(0), &narrow(&dx), TOLERANCE);
    }
}
