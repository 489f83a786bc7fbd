//! Products in every layout, batched every way, with and without fused work, in both variants.

use seqloom_device::Facts;
use seqloom_kernels::matmul::{self, Problem, Tile, row};
use seqloom_kernels::{Fusion, Lowered};
use seqloom_tests::compare::assert_close;
use seqloom_tests::executor::{Data, Executor, Feed, narrow, random};
use seqloom_tests::oracle::{matmul as oracle, norm, widen};
use seqloom_tests::skip::{skip, skip_part};

use crate::{LOOSE, fusion, with_fours};

pub(crate) const LAYOUTS: [(bool, bool); 3] = [(false, false), (false, true), (true, false)];

/// M, N, K.
const SIZES: [(usize, usize, usize); 19] = [
    (1, 1, 1),
    (1, 7, 33),
    (7, 1, 100),
    (7, 33, 1),
    (33, 7, 7),
    (8, 32, 8),
    (64, 64, 64),
    (33, 65, 100),
    (100, 257, 33),
    (257, 100, 7),
    (1, 257, 257),
    (130, 140, 150),
    (40, 24, 1000),
    // What the kernel for a single row takes, where the right operand lies as [N, K].
    (1, 100, 256),
    (1, 9, 4),
    // Multiples of 4 along what a kernel loads four values of.
    (4, 4, 4),
    (5, 12, 20),
    (36, 100, 44),
    (68, 36, 31),
];

/// The tiles of both kinds of device.
pub(crate) fn tiles(executor: &Executor) -> Vec<Tile> {
    // Without a subgroup size those of CPU adapters must refuse, which `limits` checks.
    let usable = |(kind, facts): (_, Facts)| {
        if kind == "as a CPU" && facts.lanes().is_none() {
            skip_part("the tiles of CPU adapters: subgroups have no one size");
            return Vec::new();
        }
        Tile::all(&facts)
    };
    executor.kinds().into_iter().flat_map(usable).collect()
}

pub(crate) fn operands(problem: &Problem) -> (Vec<f32>, Vec<f32>) {
    let Problem { batch, m, n, k, a_batched, b_batched, .. } = *problem;
    let times = |batched: bool| if batched { batch } else { 1 };
    (random(1, times(a_batched) * m * k), random(2, times(b_batched) * k * n))
}

fn of(problem: &Problem) -> oracle::Matmul {
    let Problem { batch, m, n, k, trans_a, trans_b, a_batched, b_batched } = *problem;
    oracle::Matmul { batch, m, n, k, trans_a, trans_b, a_batched, b_batched }
}

pub(crate) fn expected(problem: &Problem, a: &[f32], b: &[f32]) -> Vec<f64> {
    oracle::matmul(&of(problem), &widen(a), &widen(b))
}

fn check(problem: &Problem, fusion: Option<&Fusion>, leaves: &[Data], want: &[f64], a: &[f32], b: &[f32]) {
    let executor = Executor::shared();
    let feed = Feed { ins: vec![a.into(), b.into()], outs: vec![want.len()], leaves: leaves.to_vec() };
    let run = |how: &str, lowered: Lowered| {
        let name = format!("{problem:?} {how}");
        assert_close(&name, &executor.run(&lowered, &feed).out(0), &narrow(want), LOOSE);
    };
    for (kind, facts) in executor.kinds() {
        if fusion.is_none() || matmul::takes_epilogue(problem, &facts) {
            run(kind, matmul::lower(problem, &facts, fusion).unwrap());
        }
    }
    // What is fused stands behind the sums, whatever the tile.
    let all = if fusion.is_none() { tiles(&executor) } else { Vec::new() };
    for tile in all {
        let lowered = matmul::lower_as(tile, problem, executor.facts(), None).unwrap();
        run(&tile.to_string(), lowered);
    }
}

#[test]
fn single_products() {
    for (trans_a, trans_b) in LAYOUTS {
        for (m, n, k) in SIZES {
            let problem = Problem { batch: 1, m, n, k, trans_a, trans_b, a_batched: false, b_batched: false };
            let (a, b) = operands(&problem);
            check(&problem, None, &[], &expected(&problem, &a, &b), &a, &b);
        }
    }
}

#[test]
fn batched_products() {
    for (trans_a, trans_b) in LAYOUTS {
        for (a_batched, b_batched) in [(true, true), (true, false), (false, true)] {
            for (batch, m, n, k) in [(2, 1, 1, 7), (3, 33, 7, 100), (7, 7, 33, 1), (2, 70, 65, 33)] {
                let problem = Problem { batch, m, n, k, trans_a, trans_b, a_batched, b_batched };
                let (a, b) = operands(&problem);
                check(&problem, None, &[], &expected(&problem, &a, &b), &a, &b);
            }
        }
    }
}

#[test]
fn sums_that_start_with_a_bias() {
    let executor = Executor::shared();
    let Some((_, facts)) =
        executor.kinds().into_iter().find(|(_, facts)| Tile::all(facts).contains(&Tile::Rows(8)))
    else {
        return skip(
            "no kernel for CPU adapters without subgroups of one size; others take a bias as any tail",
        );
    };
    for (trans_a, trans_b) in LAYOUTS {
        // The last is cut into several launches, and only one of them may add the bias.
        for (batch, m, n, k) in
            [(1, 1, 7, 33), (1, 33, 100, 7), (3, 7, 33, 100), (1, 2, 3, 0), (1, 3, 2, 250_001)]
        {
            let problem = Problem { batch, m, n, k, trans_a, trans_b, a_batched: true, b_batched: true };
            let (mut a, b) = operands(&problem);
            if k > 1000 {
                a.fill(0.0); // So long a sum rounds too much to see the bias in it.
            }
            let bias = random(3, n);
            let want: Vec<f64> = expected(&problem, &a, &b)
                .iter()
                .enumerate()
                .map(|(i, value)| value + f64::from(bias[i % n]))
                .collect();
            let lowered = matmul::lower_biased(&problem, &facts).unwrap();
            let ins = vec![(&a).into(), (&b).into(), (&bias).into()];
            let feed = Feed { ins, outs: vec![want.len()], leaves: Vec::new() };
            let name = format!("{problem:?} biased");
            assert_close(&name, &executor.run(&lowered, &feed).out(0), &narrow(&want), LOOSE);
        }
    }
}

#[test]
fn bias_and_relu_on_the_way_out() {
    for (trans_a, trans_b) in LAYOUTS {
        let row = [(1, 1, 7, 36), (1, 1, 33, 100)];
        let tiled = [
            (1, 1, 7, 33),
            (1, 33, 100, 7),
            (1, 257, 65, 33),
            (3, 7, 33, 100),
            (3, 36, 100, 44),
            (1, 132, 68, 36),
        ];
        for (batch, m, n, k) in tiled.into_iter().chain(row) {
            let problem = Problem { batch, m, n, k, trans_a, trans_b, a_batched: true, b_batched: true };
            let (a, b) = operands(&problem);
            let (bias, residual) = (random(3, n), random(4, batch * m * n));
            let dims = [1, batch as u32, m as u32, n as u32];
            // The residual is read linearly by a view, the bias by one that repeats for every row.
            let strides = [[0, 0, 0, 1], [0, (m * n) as u32, n as u32, 1]];
            let body = "relu(add(add(value, leaf0[strided(index, view.dims, view.s0)]), \
                        leaf1[strided(index, view.dims, view.s1)]))";
            let plain = fusion(body, 2, dims, &strides);
            let fusion = if n % 4 == 0 { with_fours(plain) } else { plain };
            let want: Vec<f64> = expected(&problem, &a, &b)
                .iter()
                .enumerate()
                .map(|(i, value)| (value + f64::from(bias[i % n]) + f64::from(residual[i])).max(0.0))
                .collect();
            check(&problem, Some(&fusion), &[(&bias).into(), (&residual).into()], &want, &a, &b);
        }
    }
}

#[test]
fn a_row_normalised_on_the_way() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for ((n, k), centred) in [(1, 4), (100, 128), (13, 36), (700, 260), (9, 4096)]
            .into_iter()
            .flat_map(|s| [(s, true), (s, false)])
        {
            let problem = Problem {
                batch: 1,
                m: 1,
                n,
                k,
                trans_a: false,
                trans_b: true,
                a_batched: true,
                b_batched: true,
            };
            let norm = row::Normed { centred, eps: 1e-3 };
            let (mut a, b) = operands(&problem);
            // A mean large beside the spread, as a residual stream may have.
            a.iter_mut().for_each(|value| *value += 30.0);
            let (weight, bias, residual) = (random(3, k), random(4, k), random(5, n));
            let normed = norm::forward(
                k,
                &widen(&a),
                &widen(&weight),
                centred.then_some(&widen(&bias)[..]),
                f64::from(norm.eps),
            );
            let want: Vec<f64> = oracle::matmul(&of(&problem), &normed, &widen(&b))
                .iter()
                .zip(&residual)
                .map(|(sum, residual)| sum + f64::from(*residual))
                .collect();
            let fusion = fusion("add(value, leaf0[index])", 1, [1, 1, 1, n as u32], &[]);
            let lowered = row::lower(&problem, Some(norm), &facts, Some(&fusion));
            if !row::suits(&problem, &facts) {
                assert!(lowered.unwrap_err().to_string().contains("does not suit"), "{kind}");
                continue;
            }
            let ins = vec![(&a).into(), (&b).into(), (&weight).into(), (&bias).into()];
            let feed = Feed { ins, outs: vec![n], leaves: vec![(&residual).into()] };
            let name = format!("{problem:?} {norm:?} {kind}");
            assert_close(&name, &executor.run(&lowered.unwrap(), &feed).out(0), &narrow(&want), LOOSE);
        }
    }
}

#[test]
fn what_the_kernel_for_a_row_leaves_to_tiles() {
    let executor = Executor::shared();
    let one = Problem {
        batch: 1,
        m: 1,
        n: 9,
        k: 8,
        trans_a: false,
        trans_b: true,
        a_batched: true,
        b_batched: true,
    };
    for (kind, facts) in executor.kinds() {
        assert_eq!(row::suits(&one, &facts), Tile::all(&facts).contains(&Tile::Rows(8)), "{kind}");
        for other in [
            Problem { m: 2, ..one },
            Problem { k: 10, ..one },
            Problem { k: 0, ..one },
            Problem { k: 1 << 20, ..one },
            Problem { batch: 2, ..one },
            Problem { trans_b: false, ..one },
            Problem { trans_a: true, ..one },
        ] {
            assert!(!row::suits(&other, &facts), "{kind} {other:?}");
        }
        let deep = Problem { k: 4100, ..one };
        assert_eq!(row::suits(&deep, &facts), row::takes_norm(&one, &facts), "{kind}");
        assert!(!row::takes_norm(&deep, &facts), "{kind}: more than the workgroup's memory holds");
    }
}
