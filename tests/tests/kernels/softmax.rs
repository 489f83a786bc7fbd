//! Softmax, log-softmax and cross-entropy, a workgroup per row and an invocation per row.

use seqloom_kernels::softmax::{self, Variant};
use seqloom_kernels::{Lowered, cross_entropy};
use seqloom_tests::compare::{assert_close, assert_same_bits};
use seqloom_tests::executor::{Executor, Feed, narrow, random, random_ids};
use seqloom_tests::oracle::{cross_entropy as cross_entropy_oracle, softmax as oracle, widen};

use crate::TIGHT;

const SIZES: [(usize, usize); 8] =
    [(1, 1), (1, 7), (7, 1), (33, 33), (100, 65), (3, 257), (257, 100), (70, 1000)];

const VARIANTS: [Variant; 2] = [Variant::Workgroup, Variant::Invocation];

/// Logits of some spread, one row far from 0.
fn logits(rows: usize, cols: usize) -> Vec<f32> {
    let mut x: Vec<f32> = random(1, rows * cols).iter().map(|x| 6.0 * x).collect();
    x[..cols].iter_mut().for_each(|x| *x += 500.0);
    x
}

#[test]
fn rows_of_every_size() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (rows, cols) in SIZES {
            let x = logits(rows, cols);
            let feed = Feed { ins: vec![(&x).into()], outs: vec![rows * cols], ..Feed::default() };
            for log in [false, true] {
                let problem = softmax::Problem { rows, cols, log };
                let want = match log {
                    false => oracle::softmax(cols, &widen(&x)),
                    true => oracle::log_softmax(cols, &widen(&x)),
                };
                let check = |how: &str, lowered: Lowered| {
                    let name = format!("softmax [{rows}, {cols}] log {log} {kind} {how}");
                    assert_close(&name, &executor.run(&lowered, &feed).out(0), &narrow(&want), TIGHT);
                };
                check("chosen", softmax::lower(&problem, &facts).unwrap());
                for variant in VARIANTS {
                    let lowered = softmax::lower_as(variant, &problem, &facts).unwrap();
                    check(&format!("{variant:?}"), lowered);
                }
            }
        }
    }
}

/// What a row has in common does not show, to the bit: x − max is exact here, and all else follows from it. A kernel that
/// made max + ln Σ first would lose the last digits of ln Σ to the size of max.
#[test]
fn a_common_shift_changes_nothing() {
    let executor = Executor::shared();
    let (rows, cols) = (3, 300);
    // Multiples of 1/8, which floats of the size of the shift still hold.
    let x: Vec<f32> = random(5, rows * cols).iter().map(|x| (32.0 * x).round() / 8.0).collect();
    let shifted: Vec<f32> = x.iter().map(|x| x + 65_536.0).collect();
    let targets = random_ids(6, rows, cols);
    for variant in VARIANTS {
        let same = |how: &str, lowered: Lowered, outs: &[usize]| {
            let run = |x: &Vec<f32>| {
                let ins = vec![x.into(), (&targets).into()];
                executor.run(&lowered, &Feed { ins, outs: outs.to_vec(), ..Feed::default() })
            };
            let (before, after) = (run(&x), run(&shifted));
            for i in 0..outs.len() {
                assert_same_bits(&format!("{variant:?} {how} {i}"), &after.out(i), &before.out(i));
            }
        };
        for log in [false, true] {
            let problem = softmax::Problem { rows, cols, log };
            let lowered = softmax::lower_as(variant, &problem, executor.facts()).unwrap();
            same(&format!("log {log}"), lowered, &[rows * cols]);
        }
        let problem = cross_entropy::Problem { rows, cols, ignore_index: None };
        let lowered = cross_entropy::lower_as(variant, &problem, executor.facts()).unwrap();
        same("cross-entropy", lowered, &[rows, rows * cols]);
    }
}

#[test]
fn cross_entropy_with_ignored_rows() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (rows, cols) in SIZES {
            let x = logits(rows, cols);
            let targets = random_ids(2, rows, cols);
            let some = (cols as u32).saturating_sub(1).min(3);
            for ignore_index in [None, Some(some), Some(targets[0])] {
                let want = cross_entropy_oracle::cross_entropy(cols, &widen(&x), &targets, ignore_index);
                let problem = cross_entropy::Problem { rows, cols, ignore_index };
                let feed = Feed {
                    ins: vec![(&x).into(), (&targets).into()],
                    outs: vec![rows, rows * cols],
                    ..Feed::default()
                };
                let check = |how: &str, lowered: Lowered| {
                    let name = format!("[{rows}, {cols}] ignoring {ignore_index:?} {kind} {how}");
                    let ran = executor.run(&lowered, &feed);
                    let (losses, dlogits) = (ran.out(0), ran.out(1));
                    assert_close(&format!("losses {name}"), &losses, &narrow(&want.losses), TIGHT);
                    assert_close(&format!("dlogits {name}"), &dlogits, &narrow(&want.dlogits), TIGHT);
                };
                check("chosen", cross_entropy::lower(&problem, &facts).unwrap());
                for variant in VARIANTS {
                    let lowered = cross_entropy::lower_as(variant, &problem, &facts).unwrap();
                    check(&format!("{variant:?}"), lowered);
                }
            }
        }
    }
}
