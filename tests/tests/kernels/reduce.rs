//! Reductions over any axis, in one launch and in two, with a head that broadcasts.

use seqloom_kernels::Fusion;
use seqloom_kernels::reduce::{self, Cut, Problem, ReduceOp, Variant};
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::executor::{Executor, Feed, narrow, random};
use seqloom_tests::oracle::reduce as oracle;

use crate::{LOOSE, fusion, with_fours};

const SIZES: [(usize, usize, usize); 14] = [
    (1, 1, 1),
    (1, 7, 1),
    (7, 1, 33),
    (33, 7, 1),
    (3, 33, 5),
    (1, 257, 1),
    (100, 257, 1),
    (1, 257, 100),
    (1, 2048, 33),
    (5, 1000, 7),
    (1, 100_003, 1),
    (2, 9001, 1),
    (257, 3, 1),
    (1, 63, 4097),
];

#[test]
fn sums_and_extremes_with_a_head() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (outer, len, inner) in SIZES {
            let x = random(1, outer * len * inner);
            let shift = random(2, inner);
            // Head: (x + shift[i])², shift broadcast over outer and len.
            let dims = [1, outer as u32, len as u32, inner as u32];
            let strides = [[0, (len * inner) as u32, inner as u32, 1], [0, 0, 0, 1]];
            let body = "square(add(leaf0[strided(index, view.dims, view.s0)], leaf1[strided(index, view.dims, \
                        view.s1)]))";
            let fusion = with_fours(fusion(body, 2, dims, &strides));
            let head: Vec<f64> =
                (0..x.len()).map(|i| (f64::from(x[i]) + f64::from(shift[i % inner])).powi(2)).collect();
            let feed = Feed {
                leaves: vec![(&x).into(), (&shift).into()],
                outs: vec![outer * inner],
                ..Feed::default()
            };
            for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min] {
                let want = match op {
                    ReduceOp::Max => oracle::max(outer, len, inner, &head),
                    ReduceOp::Min => oracle::min(outer, len, inner, &head),
                    _ => oracle::sum(outer, len, inner, &head),
                };
                let problem = Problem { outer, len, inner, op };
                let check = |how: &str, lowered| {
                    let name = format!("{op:?} [{outer}, {len}, {inner}] {kind} {how}");
                    let got = executor.run(&lowered, &feed).out(0);
                    assert_close(&name, &got, &narrow(&want), LOOSE);
                };
                check("chosen", reduce::lower(&problem, &facts, &fusion).unwrap());
                check(
                    "columns",
                    reduce::lower_as(Cut::of(Variant::Columns, &problem), &problem, &facts, &fusion).unwrap(),
                );
                if inner == 1 {
                    check(
                        "rows",
                        reduce::lower_as(Cut::of(Variant::Rows, &problem), &problem, &facts, &fusion)
                            .unwrap(),
                    );
                }
            }
        }
    }
}

/// Factors near 1, so that no product leaves what f32 holds: each multiplication is off by 6e-8 of it, together by a few times √len.
#[test]
fn products() {
    let executor = Executor::shared();
    let fusion = Fusion::identity();
    for (kind, facts) in executor.kinds() {
        for (outer, len, inner) in SIZES {
            let spread = 1.0 / (len as f32).sqrt();
            let x: Vec<f32> = random(7, outer * len * inner).iter().map(|x| 1.0 + spread * x).collect();
            let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let want = narrow(&oracle::prod(outer, len, inner, &wide));
            let problem = Problem { outer, len, inner, op: ReduceOp::Prod };
            let feed = Feed { leaves: vec![(&x).into()], outs: vec![outer * inner], ..Feed::default() };
            let variants = [Some(Variant::Columns), (inner == 1).then_some(Variant::Rows)];
            for variant in variants.into_iter().flatten() {
                let lowered =
                    reduce::lower_as(Cut::of(variant, &problem), &problem, &facts, &fusion).unwrap();
                let name = format!("[{outer}, {len}, {inner}] {kind} {variant:?}");
                let tolerance = Tolerance { abs: 0.0, rel: 5e-5 };
                assert_close(&name, &executor.run(&lowered, &feed).out(0), &want, tolerance);
            }
        }
    }
}

#[test]
fn maximum_of_negative_and_infinite_values() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for len in [1, 7, 100, 257] {
            let mut x: Vec<f32> = random(3, 2 * len).iter().map(|x| x - 5.0).collect();
            x[..len].fill(f32::NEG_INFINITY);
            let fusion = Fusion::identity();
            let problem = Problem { outer: 2, len, inner: 1, op: ReduceOp::Max };
            let feed = Feed { leaves: vec![(&x).into()], outs: vec![2], ..Feed::default() };
            let want = [f32::NEG_INFINITY, x[len..].iter().copied().fold(f32::NEG_INFINITY, f32::max)];
            for variant in [Variant::Columns, Variant::Rows] {
                let lowered =
                    reduce::lower_as(Cut::of(variant, &problem), &problem, &facts, &fusion).unwrap();
                let got = executor.run(&lowered, &feed).out(0);
                assert_same_bits(&format!("{kind} {variant:?} {len}"), &got, &want);
            }
        }
    }
}

#[test]
fn same_bits_whatever_the_grid() {
    let executor = Executor::shared();
    let [(_, gpu), (_, cpu)] = executor.kinds();
    let problem = Problem { outer: 1, len: 5000, inner: 3, op: ReduceOp::Sum };
    let x = random(4, 15_000);
    let fusion = Fusion::identity();
    let feed = Feed { leaves: vec![(&x).into()], outs: vec![3], ..Feed::default() };
    let run = |facts: &_| {
        let lowered =
            reduce::lower_as(Cut::of(Variant::Columns, &problem), &problem, facts, &fusion).unwrap();
        assert_eq!(lowered.launches.len(), 2, "few results over a long axis take two launches");
        executor.run(&lowered, &feed).out(0)
    };
    assert_same_bits("sum", &run(&gpu), &run(&cpu));
}
