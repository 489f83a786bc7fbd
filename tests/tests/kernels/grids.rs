//! Problems with more workgroups than an axis of a grid holds: they are folded, and each part of the result is still
//! computed once.

use seqloom_device::Facts;
use seqloom_kernels::attention::{self, Bias, Pass};
use seqloom_kernels::matmul::{self, Problem};
use seqloom_tests::compare::assert_close;
use seqloom_tests::executor::{Executor, Feed, narrow};
use seqloom_tests::oracle::attention as oracle;

use crate::LOOSE;
use crate::attention::case;
use crate::matmul::{LAYOUTS, expected, operands, tiles};

/// More matrices, rows or columns of tiles than an axis of a grid holds, by lowering the device's limit.
#[test]
fn products_beyond_an_axis() {
    let executor = Executor::shared();
    // In each direction, by kernels of four values and of one, with workgroups past the last tile.
    for (batch, m, n, k) in [(13, 4, 4, 8), (17, 3, 5, 7), (1, 700, 4, 4), (1, 3, 701, 5), (2, 130, 40, 12)] {
        for (trans_a, trans_b) in LAYOUTS {
            let problem = Problem { batch, m, n, k, trans_a, trans_b, a_batched: true, b_batched: true };
            let (a, b) = operands(&problem);
            let want = narrow(&expected(&problem, &a, &b));
            let feed =
                Feed { ins: vec![(&a).into(), (&b).into()], outs: vec![want.len()], ..Feed::default() };
            for tile in tiles(&executor) {
                let few = Facts { max_grid: 10, ..executor.facts().clone() };
                let lowered = matmul::lower_as(tile, &problem, &few, None).unwrap();
                assert!(lowered.launches.iter().all(|launch| launch.grid.iter().all(|&axis| axis <= 10)));
                let name = format!("{problem:?} {tile}");
                assert_close(&name, &executor.run(&lowered, &feed).out(0), &want, LOOSE);
            }
        }
    }
}

#[test]
fn more_products_than_any_axis_holds() {
    let executor = Executor::shared();
    let batch = 70_000;
    for (kind, facts) in executor.kinds() {
        for (m, n, k) in [(1, 1, 3), (4, 4, 4)] {
            let problem =
                Problem { batch, m, n, k, trans_a: false, trans_b: false, a_batched: true, b_batched: true };
            let (a, b) = operands(&problem);
            let want = narrow(&expected(&problem, &a, &b));
            let feed =
                Feed { ins: vec![(&a).into(), (&b).into()], outs: vec![want.len()], ..Feed::default() };
            let lowered = matmul::lower(&problem, &facts, None).unwrap();
            assert_close(&format!("{problem:?} {kind}"), &executor.run(&lowered, &feed).out(0), &want, LOOSE);
        }
    }
}

/// More batch rows, heads or tiles than an axis of a grid holds, by lowering the device's limit.
#[test]
fn attention_beyond_an_axis() {
    let executor = Executor::shared();
    let few = Facts { max_grid: 7, ..executor.facts().clone() };
    let learned =
        attention::Problem { radius: Some(9), ..attention::Problem::plain([9, 2, 1, 21, 40, 4, 4]) };
    let biased = attention::Problem {
        bias: Some(Bias { batched: true, per_head: true }),
        lengths: true,
        ..attention::Problem::plain([5, 2, 2, 9, 12, 8, 4])
    };
    for case in [
        case(
            "many rows",
            attention::Problem { lengths: true, ..attention::Problem::plain([23, 1, 1, 7, 9, 4, 4]) },
        ),
        case("many heads", attention::Problem::plain([1, 22, 11, 7, 9, 4, 4])),
        case(
            "many tiles",
            attention::Problem { after: Some(0), ..attention::Problem::plain([1, 1, 1, 290, 290, 4, 4]) },
        ),
        case("many biases", biased),
        case("many parts of a gradient", learned),
    ] {
        let out = narrow(&oracle::forward(&case.sizes, &case.inputs));
        case.check_on(&executor, &few, Pass::Forward, &[("out", out), ("lse", case.log_sums())]);
        let want = oracle::backward(&case.sizes, &case.inputs, &case.dout);
        let dq = ("dq", narrow(&want.q));
        case.check_on(&executor, &few, Pass::Query { learned: false }, std::slice::from_ref(&dq));
        let both = [("dk", narrow(&want.k)), ("dv", narrow(&want.v))];
        case.check_on(&executor, &few, Pass::Key, &both);
        if case.problem.columns() > 0 {
            let relative = case.problem.radius.is_some().then_some(&want.relative);
            let table = ("ddistance", case.distances(None, relative));
            case.check_on(&executor, &few, Pass::Query { learned: true }, &[dq, table]);
        }
        if case.problem.bias.is_some() {
            case.check_on(&executor, &few, Pass::Bias, &[("dbias", narrow(&want.bias))]);
        }
    }
}
