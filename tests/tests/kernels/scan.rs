//! Running sums over any axis, both ways, in one launch and in two, with a head; and long ones.

use seqloom_kernels::Fusion;
use seqloom_kernels::scan::{self, Problem};
use seqloom_tests::compare::assert_close;
use seqloom_tests::executor::{Executor, Feed, narrow, random};
use seqloom_tests::oracle::reduce as oracle;

use crate::{LOOSE, fusion, with_fours};

/// Running sums of lines, in the layout of the tensor.
fn sums(problem: &Problem, x: &[f64]) -> Vec<f64> {
    let Problem { outer, len, inner, reverse } = *problem;
    let lines: Vec<_> =
        oracle::lines(outer, len, inner, x).iter().map(|line| oracle::scan(reverse, line)).collect();
    let at = |at: usize| lines[at / (len * inner) * inner + at % inner][at / inner % len];
    (0..x.len()).map(at).collect()
}

#[test]
fn running_sums_with_a_head() {
    let executor = Executor::shared();
    let head = with_fours(fusion("square(leaf0[index])", 1, [1; 4], &[]));
    for (kind, facts) in executor.kinds() {
        for (outer, len, inner) in [
            (1, 1, 1),
            (33, 7, 1),
            (3, 33, 5),
            (2, 5, 8),
            (1, 257, 1),
            (1, 300, 12),
            (5, 1000, 7),
            (1, 63, 4097),
        ] {
            let x = random(1, outer * len * inner);
            let squares: Vec<f64> = x.iter().map(|&x| f64::from(x).powi(2)).collect();
            for reverse in [false, true] {
                let problem = Problem { outer, len, inner, reverse };
                let lowered = scan::lower(&problem, &facts, &head).unwrap();
                let feed = Feed { leaves: vec![(&x).into()], outs: vec![x.len()], ..Feed::default() };
                let want = narrow(&sums(&problem, &squares));
                let name = format!("{problem:?} {kind}");
                assert_close(&name, &executor.run(&lowered, &feed).out(0), &want, LOOSE);
            }
        }
    }
}

/// Equal terms, so that every addition rounds the same way: one by one they are off by 1e-3.
#[test]
fn a_long_running_sum_is_as_exact_as_a_sum() {
    let executor = Executor::shared();
    let head = Fusion::identity();
    for (kind, facts) in executor.kinds() {
        for (len, inner) in [(100_000, 1), (100_000, 4), (9001, 3)] {
            let x = vec![0.1f32; len * inner];
            for reverse in [false, true] {
                let problem = Problem { outer: 1, len, inner, reverse };
                let lowered = scan::lower(&problem, &facts, &head).unwrap();
                let feed = Feed { leaves: vec![(&x).into()], outs: vec![x.len()], ..Feed::default() };
                for (at, got) in executor.run(&lowered, &feed).out(0).into_iter().enumerate() {
                    let row = at / inner;
                    let terms = if reverse { len - row } else { row + 1 };
                    let want = f64::from(0.1f32) * terms as f64;
                    let off = (f64::from(got) - want).abs() / want;
                    assert!(off < 6.3e-5, "{problem:?} {kind}: element {at} is off by {off:e}");
                }
            }
        }
    }
}
