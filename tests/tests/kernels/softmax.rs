//! Softmax, log-softmax and cross-entropy, by a workgroup per row and by an invocation per row.

use seqloom_kernels::softmax::{self, Variant};
use seqloom_kernels::{Lowered, cross_entropy};
use seqloom_tests::compare::{assert_close, assert_same_bits};
use seqloom_tests::executor::{Executor, Feed, narrow, random, random_ids};
use seqloom_tests::oracle::cross_entropy::{Options, cross_entropy as cross_entropy_oracle};
use seqloom_tests::oracle::{softmax as oracle, widen};

use crate::{LOOSE, TIGHT};

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

/// A constant added to a row does not change a bit of the result: x − max is exact here, and everything else follows
/// from it. A kernel that made max + ln Σ first would lose the last digits of ln Σ to the size of max.
#[test]
fn a_common_shift_changes_nothing() {
    let executor = Executor::shared();
    let (rows, cols) = (3, 300);
    // Multiples of 1/8, which floats of the size of the shift still hold.
    let x: Vec<f32> = random(5, rows * cols).iter().map(|x| (32.0 * x).round() / 8.0).collect();
    let shifted: Vec<f32> = x.iter().map(|x| x + 65_536.0).collect();
    let targets = random_ids(6, rows, cols);
    for variant in VARIANTS {
        let same = |how: &str, lowered: Lowered, outs: &[usize], compared: &[usize]| {
            let run = |x: &Vec<f32>| {
                let ins = vec![x.into(), (&targets).into()];
                executor.run(&lowered, &Feed { ins, outs: outs.to_vec(), ..Feed::default() })
            };
            let (before, after) = (run(&x), run(&shifted));
            for &i in compared {
                assert_same_bits(&format!("{variant:?} {how} {i}"), &after.out(i), &before.out(i));
            }
        };
        for log in [false, true] {
            let problem = softmax::Problem { rows, cols, log };
            let lowered = softmax::lower_as(variant, &problem, executor.facts()).unwrap();
            same(&format!("log {log}"), lowered, &[rows * cols], &[0]);
        }
        let problem = cross_entropy::Problem { rows, cols, ignore_index: None, smoothing: 0.1 };
        let lowered = cross_entropy::lower_forward_as(variant, &problem, executor.facts()).unwrap();
        // The greatest logits are shifted themselves.
        same("cross-entropy", lowered, &[rows; 3], &[0, 2]);
    }
}

/// The forward kernel, and the backward one over what it kept, on a copy of the logits.
#[test]
fn cross_entropy_with_ignored_rows() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (rows, cols) in SIZES {
            let x = logits(rows, cols);
            let targets = random_ids(2, rows, cols);
            let some = (cols as u32).saturating_sub(1).min(3);
            let dlosses = random(3, rows);
            let each = [None, Some(some), Some(targets[0])];
            for (ignore_index, smoothing) in each.into_iter().flat_map(|i| [(i, 0.0), (i, 0.25)]) {
                let options = Options { cols, ignore: ignore_index, smoothing: f64::from(smoothing) };
                let want = cross_entropy_oracle(options, &widen(&x), &targets);
                let wanted = want.dlogits.iter().enumerate().map(|(i, d)| d * f64::from(dlosses[i / cols]));
                let wanted: Vec<f64> = wanted.collect();
                let problem = cross_entropy::Problem { rows, cols, ignore_index, smoothing };
                let check = |how: &str, lowered: Lowered| {
                    let name = format!("[{rows}, {cols}] {ignore_index:?} {smoothing} {kind} {how}");
                    let ins = vec![(&x).into(), (&targets).into()];
                    let feed = Feed { ins, outs: vec![rows; 3], ..Feed::default() };
                    let ran = executor.run(&lowered, &feed);
                    // Smoothed, a loss is the mean of distances of up to 12 from the greatest logit.
                    assert_close(&format!("losses {name}"), &ran.out(0), &narrow(&want.losses), LOOSE);
                    let (tops, totals) = (ran.out(1), ran.out(2));
                    let ins = vec![
                        (&x).into(),
                        (&targets).into(),
                        (&tops).into(),
                        (&totals).into(),
                        (&dlosses).into(),
                    ];
                    let feed = Feed { ins, outs: vec![rows * cols], ..Feed::default() };
                    let backward = cross_entropy::lower_backward(&problem, false, &facts).unwrap();
                    let ran = executor.run(&backward, &feed);
                    assert_close(&format!("dlogits {name}"), &ran.out(0), &narrow(&wanted), TIGHT);
                };
                check("chosen", cross_entropy::lower_forward(&problem, &facts).unwrap());
                for variant in VARIANTS {
                    let lowered = cross_entropy::lower_forward_as(variant, &problem, &facts).unwrap();
                    check(&format!("{variant:?}"), lowered);
                }
            }
        }
    }
}
