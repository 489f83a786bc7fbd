//! Sums of 100,000 terms, in every kernel that sums: term by term they would be off by 1e-3, by blocks they are not.
//!
//! All terms are equal, which is the worst case, because every addition rounds the same way.

use seqloom_kernels::matmul::{self, Problem, Tile};
use seqloom_kernels::reduce::{self, Cut, ReduceOp, Variant};
use seqloom_kernels::{Lowered, embedding};
use seqloom_tests::compare::assert_same_bits;
use seqloom_tests::executor::{Executor, Feed, random};

use crate::matmul::tiles;

/// Terms of each sum, and what may be off.
pub(crate) const TERMS: usize = 100_000;
const MOST: f64 = 5e-5;

#[track_caller]
pub(crate) fn near(name: &str, got: &[f32], want: f64) {
    for (i, got) in got.iter().enumerate() {
        let off = (f64::from(*got) / want - 1.0).abs();
        assert!(off <= MOST, "{name}: element {i} is {got}, expected {want}: off by {off:e} of it");
    }
}

/// The sum of `terms` products of 0.1 and 0.1, by their values in f32.
pub(crate) fn of_products(terms: usize) -> f64 {
    f64::from(0.1f32) * f64::from(0.1f32) * terms as f64
}

fn product(m: usize, n: usize, k: usize, batch: usize) -> Problem {
    Problem { batch, m, n, k, trans_a: true, trans_b: false, a_batched: true, b_batched: true }
}

#[track_caller]
fn multiply(name: &str, problem: &Problem, lowered: &Lowered) {
    let Problem { batch, m, n, k, .. } = *problem;
    let (a, b) = (vec![0.1f32; batch * m * k], vec![0.1f32; batch * k * n]);
    let feed = Feed { ins: vec![(&a).into(), (&b).into()], outs: vec![batch * m * n], ..Feed::default() };
    near(&format!("{problem:?} {name}"), &Executor::shared().run(lowered, &feed).out(0), of_products(k));
}

/// Terms that a kernel of that kind can sum here: llvmpipe leaves the loops of an invocation after 65,535 iterations, which those
/// of GPUs, not made for it, pass soon.
fn terms(kind: &str) -> usize {
    if kind == "as a GPU" && Executor::shared().facts().is_cpu() { 2100 } else { TERMS }
}

/// Every tile by its own limit: those of CPU adapters everywhere, those of GPUs on one.
#[test]
fn products_by_every_tile() {
    let executor = Executor::shared();
    let on_gpu = !executor.facts().is_cpu();
    for tile in tiles(&executor).into_iter().filter(|tile| on_gpu || matches!(tile, Tile::Rows(_))) {
        // By four values at once, and one by one.
        for (m, n) in [(4, 8), (3, 5)] {
            let problem = product(m, n, TERMS, 1);
            let lowered = matmul::lower_as(tile, &problem, executor.facts(), None).unwrap();
            multiply(&tile.to_string(), &problem, &lowered);
        }
    }
}

/// The very bits of blocks that are summed first and added in their order, by every tile of both kinds.
#[test]
fn every_tile_adds_blocks_in_their_order() {
    let executor = Executor::shared();
    const BLOCK: usize = 64;
    for k in [63, 64, 65, 128, 300] {
        for (m, n) in [(4, 8), (3, 5), (36, 68)] {
            for (trans_a, trans_b) in [(true, false), (false, true)] {
                let problem = Problem { trans_a, trans_b, ..product(m, n, k, 1) };
                // Factors of few digits and of one: products are exact, so only additions round.
                let a: Vec<f32> = random(1, m * k).iter().map(|x| (4096.0 * x).round() / 3.0).collect();
                let a: Vec<f32> = a.iter().map(|x| f32::from_bits(x.to_bits() & 0xffff_f000)).collect();
                let b = vec![2.0f32; k * n];
                let term = |i: usize, p: usize| 2.0 * if trans_a { a[p * m + i] } else { a[i * k + p] };
                let sum = |i: usize| {
                    let blocks = (0..k)
                        .step_by(BLOCK)
                        .map(|first| (first..k.min(first + BLOCK)).fold(0.0f32, |sum, p| sum + term(i, p)));
                    blocks.reduce(|sum, block| sum + block).unwrap()
                };
                let want: Vec<f32> = (0..m).flat_map(|i| vec![sum(i); n]).collect();
                let feed = Feed { ins: vec![(&a).into(), (&b).into()], outs: vec![m * n], ..Feed::default() };
                for tile in tiles(&executor) {
                    let lowered =
                        matmul::lower_by_blocks(BLOCK as u32, tile, &problem, executor.facts()).unwrap();
                    let name = format!("{problem:?} {tile}");
                    assert_same_bits(&name, &executor.run(&lowered, &feed).out(0), &want);
                }
            }
        }
    }
}

#[test]
fn products_of_every_layout() {
    for (kind, facts) in Executor::shared().kinds() {
        for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
            for (batch, m, n) in [(1, 4, 8), (1, 3, 5), (2, 4, 4), (2, 1, 3)] {
                let problem = Problem { trans_a, trans_b, ..product(m, n, terms(kind), batch) };
                multiply(kind, &problem, &matmul::lower(&problem, &facts, None).unwrap());
            }
        }
        // A single row, which has a kernel of its own up to some depth.
        for k in [2048, 32_768, 32_772, 65_536].map(|k: usize| k.min(terms(kind))) {
            let problem = Problem { trans_a: false, trans_b: true, ..product(1, 9, k, 1) };
            multiply(kind, &problem, &matmul::lower(&problem, &facts, None).unwrap());
        }
    }
}

#[test]
fn a_product_and_what_follows_it() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (m, n) in [(4, 8), (3, 5)] {
            let k = terms(kind);
            let problem = product(m, n, k, 1);
            if !matmul::takes_epilogue(&problem, &facts) {
                continue; // Then the pass that follows is another kernel's.
            }
            let double = crate::with_fours(crate::fusion("add(value, value)", 0, [1; 4], &[]));
            let lowered = matmul::lower(&problem, &facts, Some(&double)).unwrap();
            let (a, b) = (vec![0.1f32; m * k], vec![0.1f32; k * n]);
            let feed = Feed { ins: vec![(&a).into(), (&b).into()], outs: vec![m * n], ..Feed::default() };
            let got = executor.run(&lowered, &feed).out(0);
            near(&format!("twice {problem:?} {kind}"), &got, 2.0 * of_products(k));
        }
    }
}

#[test]
fn every_tile_gives_the_same_bits() {
    let executor = Executor::shared();
    let problem = product(4, 8, 5000, 1);
    let (a, b) = (random(1, 4 * 5000), random(2, 8 * 5000));
    let feed = Feed { ins: vec![(&a).into(), (&b).into()], outs: vec![32], ..Feed::default() };
    let mut first: Option<(String, Vec<f32>)> = None;
    for tile in tiles(&executor) {
        let lowered = matmul::lower_as(tile, &problem, executor.facts(), None).unwrap();
        let got = executor.run(&lowered, &feed).out(0);
        let (name, want) = first.get_or_insert_with(|| (tile.to_string(), got.clone()));
        assert_same_bits(&format!("{tile} beside {name}"), &got, want);
    }
}

#[test]
fn reductions() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        // Few results, which are cut anyway, and enough results that only the length asks for a cut.
        for (outer, inner) in [(1, 1), (2, 1), (1, 6), (1, 4100)] {
            let problem = reduce::Problem { outer, len: TERMS, inner, op: ReduceOp::Sum };
            // A head that needs no memory.
            let tenth = crate::with_fours(crate::fusion("Value(0.1f)", 0, [1; 4], &[]));
            let feed = Feed { outs: vec![outer * inner], ..Feed::default() };
            let variants =
                if inner == 1 { &[Variant::Columns, Variant::Rows][..] } else { &[Variant::Columns] };
            for &variant in variants {
                for cut in [Cut { variant, chunks: 1 }, Cut::of(variant, &problem)] {
                    let lowered = reduce::lower_as(cut, &problem, &facts, &tenth).unwrap();
                    let got = executor.run(&lowered, &feed).out(0);
                    near(&format!("{problem:?} {cut} {kind}"), &got, f64::from(0.1f32) * TERMS as f64);
                }
            }
        }
    }
}

#[test]
fn the_gradient_of_one_token_many_times() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        // One invocation walks them all.
        let tokens = if terms(kind) < TERMS { TERMS / 2 } else { TERMS };
        for channels in [3, 4] {
            let problem = embedding::Problem { tokens, vocab: 2, channels };
            let lowered = embedding::lower_backward(&problem, &facts).unwrap();
            let dy = vec![0.1f32; tokens * channels];
            let order: Vec<u32> = (0..tokens as u32).collect();
            let ins = vec![(&dy).into(), (&order).into(), (&vec![0, 0, tokens as u32]).into()];
            let feed = Feed { ins, outs: vec![2 * channels], ..Feed::default() };
            let got = executor.run(&lowered, &feed).out(0);
            near(&format!("{problem:?} {kind}"), &got[channels..], f64::from(0.1f32) * tokens as f64);
            assert_eq!(got[..channels], vec![0.0; channels], "{kind}");
        }
    }
}
