//! Reductions, running sums and picks against their f64 oracles; how: `oracles.rs`. And what is refused.

use seqloom_graph::{Axes, Graph, HostTensor, ParamStore, Params, Program, Request, StoreKind, Tensor};
use seqloom_tests::device;
use seqloom_tests::oracle::array::Array;
use seqloom_tests::oracle::{operations, operations_reductions as oracle};

use crate::oracles::{check, host, numbers, one};

/// A reduction on the device, and its oracle.
type Both = (for<'g> fn(Tensor<'g>, Axes) -> Tensor<'g>, fn(&Array, &[usize]) -> Array);

const REDUCTIONS: [Both; 6] = [
    (|x, axes| x.sum(axes), oracle::sum),
    (|x, axes| x.mean(axes), oracle::mean),
    (|x, axes| x.max(axes), oracle::max),
    (|x, axes| x.min(axes), oracle::min),
    (|x, axes| x.prod(axes), oracle::prod),
    (|x, axes| x.logsumexp(axes), oracle::logsumexp),
];

#[test]
fn reductions() {
    for (shape, axis) in [(&[300][..], 0), (&[7, 33], 0), (&[7, 33], 1), (&[3, 5, 9], 1)] {
        // Factors near 1, so that no product is too large.
        let x = numbers(shape, 5).map(|x| f64::from((1.0 + 0.1 * x) as f32));
        for (reduction, oracle) in REDUCTIONS {
            one(&[&x], |t| reduction(t[0], (axis as isize).into()), &oracle(&x, &[axis]));
        }
        one(&[&x], |t| t[0].argmax(axis as isize).to_f32(), &oracle::argmax(&x, axis));
        one(&[&x], |t| t[0].argmin(axis as isize).to_f32(), &oracle::argmin(&x, axis));
        one(&[&x], |t| t[0].cumsum(axis as isize), &oracle::cumsum(&x, axis));
    }
}

#[test]
fn reductions_over_several_axes() {
    let x = numbers(&[2, 3, 4, 5], 6).map(|x| f64::from((1.0 + 0.1 * x) as f32));
    for axes in [&[0, 1][..], &[2, 3], &[0, 2], &[1, 3], &[0, 3], &[0, 1, 3], &[0, 2, 3], &[0, 1, 2, 3], &[]]
    {
        let given: Vec<isize> =
            axes.iter().map(|&axis| if axis > 1 { axis as isize - 4 } else { axis as isize }).collect();
        for (reduction, oracle) in REDUCTIONS {
            let want = oracle(&x, axes);
            one(&[&x], |t| reduction(t[0], given[..].into()), &want);
            let mut shape = x.shape.clone();
            axes.iter().for_each(|&axis| shape[axis] = 1);
            let want = operations::reshape(&want, &shape);
            one(&[&x], |t| reduction(t[0], Axes::kept(&given[..])), &want);
        }
    }
    for (reduction, oracle) in REDUCTIONS {
        one(&[&x], |t| reduction(t[0], Axes::all()), &oracle(&x, &[0, 1, 2, 3]));
    }
    let flat = operations::reshape(&x, &[120]);
    one(&[&x], |t| t[0].argmax(Axes::all()).to_f32(), &oracle::argmax(&flat, 0));
    let kept = operations::reshape(&oracle::argmin(&x, 2), &[2, 3, 1, 5]);
    one(&[&x], |t| t[0].argmin(Axes::kept(2)).to_f32(), &kept);
}

#[test]
fn picks() {
    let x = numbers(&[3, 5, 4], 7);
    for (axis, shape) in [(0, [7, 5, 4]), (1, [3, 2, 4]), (2, [3, 5, 1]), (1, [2, 9, 3])] {
        let len = x.shape[axis] as u32;
        let index: Vec<u32> = (0..shape.iter().product::<usize>() as u32).map(|k| k * 7 % len).collect();
        let want = oracle::gather(&x, axis, &shape, &index);
        let operands = [host(&x), HostTensor::u32(&shape, index).unwrap()];
        check(&operands, |t| vec![t[0].gather(axis as isize, t[1])], &[(want.shape, want.data)]);
    }
    let ids = vec![4, 0, 3, 3];
    let want = oracle::one_hot(&ids, 5);
    let operands = [host(&x), HostTensor::u32(&[4], ids).unwrap()];
    check(&operands, |t| vec![t[1].one_hot(5)], &[(want.shape, want.data)]);
}

/// Indices that the device makes serve as ids where they cannot be too large.
#[test]
fn indices_of_the_device_are_ids() {
    let (x, table) = (numbers(&[6, 5], 8), numbers(&[5, 3], 9));
    let best: Vec<u32> = oracle::argmax(&x, 1).data.iter().map(|&index| index as u32).collect();
    let rows = operations::gather_rows(&table, &best);
    let picked = oracle::gather(&x, 1, &[6, 1], &best);
    let ones = oracle::one_hot(&best, 7);
    let loss = operations::cross_entropy(&x, &best, None, 0.0);
    // The table is no parameter, whose gradient would need ids that the host knows.
    let all = [rows, picked, ones, loss].map(|array| (array.shape, array.data));
    check(
        &[host(&x)],
        |t| {
            let best = t[0].argmax(-1);
            let table = t[0].graph().literal(&[5, 3], table.data.iter().map(|&x| x as f32).collect());
            let still = t[0].detach();
            vec![
                table.gather_rows(best),
                still.gather(1, still.argmax(Axes::kept(1))),
                best.one_hot(7),
                t[0].cross_entropy(best, None),
            ]
        },
        &all,
    );
}

/// The message of the first mistake, in recording or compiling.
fn refusal(record: impl for<'g> Fn(&'g Graph) -> Tensor<'g>) -> String {
    let params = Params::seeded(0);
    let graph = Graph::inference(&params);
    let output = record(&graph);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
    let request = Request { outputs: &[("y", output)], ..Request::default() };
    match graph.check().and_then(|()| Program::compile(&store, &graph, request).map(drop)) {
        Ok(()) => "nothing is refused".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_not_meant_is_refused_by_name() {
    let refused = |record: for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>, words: [&str; 2]| {
        let message = refusal(|g| record(g, g.full(&[2, 3, 4], 1.0) + g.full(&[], 1.0)));
        for word in words {
            assert!(message.contains(word), "{message}: no {word:?}");
        }
    };
    refused(|_, x| x.sum([0, -3]), ["sum", "an axis is named twice"]);
    refused(|_, x| x.logsumexp(3), ["logsumexp", "axis 3"]);
    refused(|_, x| x.argmax([0, 1]).to_f32(), ["argmax", "one axis or all"]);
    refused(|g, _| g.full(&[2, 0], 1.0).min(1), ["min", "empty"]);
    refused(|g, _| g.full(&[2, 0], 1.0).argmin(1).to_f32(), ["argmin", "empty"]);
    refused(|g, x| x.gather(1, g.ids("i", &[2, 3], 3)), ["gather", "index of its rank"]);
    refused(|g, x| x.gather(1, g.ids("i", &[3, 3, 4], 3)), ["gather", "no larger"]);
    refused(|_, x| x.argmax(-1), ["output", "u32"]);
    // What the host derives of ids, and a table shorter than the axis.
    refused(|_, x| x.argmax(-1).transpose(0, 1).to_f32(), ["view", "from an input or a literal"]);
    refused(|g, x| g.full(&[3, 2], 1.0).gather_rows(x.argmax(-1)), ["ids", "no longer than what they index"]);
    refused(|_, x| x.argmax(-1).one_hot(3), ["ids", "no longer than what they index"]);
    refused(|_, x| x.argmax(-1).one_hot((1 << 24) + 1), ["one_hot", "classes"]);
}

#[test]
fn over_nothing_sums_are_0_products_1_and_logsumexp_is_minus_infinity() {
    let empty = Array { shape: vec![2, 0], data: vec![] };
    let want = |value: f64| Array { shape: vec![2], data: vec![value; 2] };
    one(&[&empty], |t| t[0].sum(1), &want(0.0));
    one(&[&empty], |t| t[0].prod(1), &want(1.0));
    let lost = Array { shape: vec![2], data: vec![1.0; 2] };
    one(&[&empty], |t| t[0].logsumexp(1).equal(t[0].graph().full(&[], f32::NEG_INFINITY)), &lost);
    one(&[&empty], |t| t[0].cumsum(1), &empty);
}
