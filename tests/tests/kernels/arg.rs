//! Indices of extreme elements over any axis, in one launch and in two: ties, NaN, infinities, and a head.

use seqloom_device::Facts;
use seqloom_kernels::Fusion;
use seqloom_kernels::arg::{self, Problem};
use seqloom_kernels::reduce::{self, Cut, ReduceOp, Variant};
use seqloom_tests::executor::{Executor, Feed, random};
use seqloom_tests::oracle::{reduce as oracle, widen};

use crate::fusion;

const SIZES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (33, 7, 1),
    (3, 33, 5),
    (1, 257, 1),
    (1, 257, 100),
    (5, 1000, 7),
    (1, 100_003, 1),
    (2, 9001, 1),
    (1, 63, 4097),
];

/// The indices by every variant that takes the problem.
fn found(executor: &Executor, facts: &Facts, problem: &Problem, x: &[f32], head: &Fusion) -> Vec<Vec<u32>> {
    let Problem { outer, len, inner, .. } = *problem;
    let of = reduce::Problem { outer, len, inner, op: ReduceOp::Max };
    let feed = Feed { leaves: vec![x.into()], outs: vec![outer * inner], ..Feed::default() };
    let mut cuts = vec![Cut::suited(&of, facts), Cut::of(Variant::Columns, &of)];
    cuts.extend((inner == 1).then(|| Cut::of(Variant::Rows, &of)));
    cuts.into_iter()
        .map(|cut| {
            let lowered = arg::lower_as(cut, problem, facts, head).unwrap();
            executor.run(&lowered, &feed).out(0).into_iter().map(f32::to_bits).collect()
        })
        .collect()
}

#[test]
fn the_first_extreme_element() {
    let executor = Executor::shared();
    // Head: x², so that equal elements have other signs.
    let head = fusion("square(leaf0[index])", 1, [1; 4], &[]);
    for (kind, facts) in executor.kinds() {
        for (outer, len, inner) in SIZES {
            // Few values, so that ties are many.
            let x: Vec<f32> =
                random(1, outer * len * inner).iter().map(|x| (x * 40.0).round() / 8.0).collect();
            let squares: Vec<f64> = x.iter().map(|&x| f64::from(x).powi(2)).collect();
            for least in [false, true] {
                let problem = Problem { outer, len, inner, least };
                let lines = oracle::lines(outer, len, inner, &squares);
                let want: Vec<u32> = lines.iter().map(|line| oracle::arg(least, line) as u32).collect();
                for got in found(&executor, &facts, &problem, &x, &head) {
                    assert!(got == want, "{problem:?} {kind}");
                }
            }
        }
    }
}

#[test]
fn the_first_nan_wins_and_infinities_are_numbers() {
    let executor = Executor::shared();
    let head = Fusion::identity();
    for (kind, facts) in executor.kinds() {
        for len in [1, 7, 300, 5000] {
            let mut rows = vec![vec![f32::NEG_INFINITY; len], vec![f32::INFINITY; len], random(2, len)];
            let special = |values: &[(usize, f32)]| {
                let mut row = random(3, len);
                values.iter().for_each(|(at, value)| row[at % len] = *value);
                row
            };
            rows.push(special(&[(5, f32::NAN), (2, f32::INFINITY), (4500, f32::NAN)]));
            rows.push(special(&[(5, f32::NEG_INFINITY), (2, f32::INFINITY)]));
            rows.push(vec![f32::NAN; len]);
            let x = rows.concat();
            for least in [false, true] {
                let problem = Problem { outer: rows.len(), len, inner: 1, least };
                let want: Vec<u32> = rows.iter().map(|row| oracle::arg(least, &widen(row)) as u32).collect();
                for got in found(&executor, &facts, &problem, &x, &head) {
                    assert_eq!(got, want, "{problem:?} {kind}");
                }
            }
        }
    }
}
