//! Every operation of a tensor that is not pointwise against its f64 oracle, at sizes that fill no tile and shapes that broadcast.
//!
//! Tolerance: values of size 1 and sums of at most a few hundred of them, in f32, whose rounding is 6e-8 a step; GPU
//! drivers may be off by a few units in the last place in exp, ln and tanh (Vulkan allows 3 + 2|x|), hence 1e-5.

use seqloom_graph::{Activation, CrossEntropyOptions, DType, Following, HostTensor, Lengths, Tensor};
use seqloom_kernels::recurrent::Cell;
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::compare::{Tolerance, compare};
use seqloom_tests::device;
use seqloom_tests::layer;
use seqloom_tests::oracle::array::Array;
use seqloom_tests::oracle::operations as oracle;
use seqloom_tests::oracle::recurrent::{Inputs, Layout, Outputs};
use seqloom_tests::oracle::widen;

const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };

/// Numbers of both signs, of size 1, none near 0.
pub(crate) fn numbers(shape: &[usize], seed: usize) -> Array {
    let mut at = 0;
    Array::from_fn(shape, |_| {
        at += 1;
        let x = ((at * 7 + seed * 13) as f32 * 0.731).sin() * 1.7;
        f64::from(if x.abs() < 0.05 { 0.3 } else { x })
    })
}

pub(crate) fn host(array: &Array) -> HostTensor {
    HostTensor::f32(&array.shape, array.data.iter().map(|&x| x as f32).collect()).unwrap()
}

/// Runs `operation` on the device and compares its outputs with those of the oracle.
pub(crate) fn check(
    operands: &[HostTensor],
    operation: impl for<'g> Fn(&[Tensor<'g>]) -> Vec<Tensor<'g>>,
    expected: &[(Vec<usize>, Vec<f64>)],
) {
    let case = Case::compile(&device::shared(), operands, |g, x| {
        let outputs = operation(x);
        for (output, (shape, _)) in outputs.iter().zip(expected) {
            assert_eq!(output.shape()[..], shape[..]);
        }
        // Of the operands too, for what hands no gradient on: a loss must have one.
        let operands = x.iter().filter(|x| x.dtype() == DType::F32);
        let loss = outputs.iter().chain(operands).fold(g.full(&[], 0.0), |sum, y| sum + y.sum_all());
        Recorded { outputs, loss }
    });
    let _ = case.loss();
    for (i, (got, (_, want))) in case.outputs().iter().zip(expected).enumerate() {
        let want: Vec<_> = want.iter().map(|&x| x as f32).collect();
        if let Err(message) = compare(&format!("output {i}"), got, &want, TOLERANCE) {
            panic!("{message}");
        }
    }
}

pub(crate) fn one(
    operands: &[&Array],
    operation: impl for<'g> Fn(&[Tensor<'g>]) -> Tensor<'g>,
    expected: &Array,
) {
    let operands: Vec<_> = operands.iter().map(|a| host(a)).collect();
    check(&operands, |x| vec![operation(x)], &[(expected.shape.clone(), expected.data.clone())]);
}

#[test]
fn products() {
    for (lead, lead_b, m, k, n) in
        [(&[][..], &[][..], 1, 1, 1), (&[], &[], 33, 70, 41), (&[2, 3], &[2, 3], 5, 9, 7)]
    {
        let shape = |lead: &[usize], rows, columns| [lead, &[rows, columns]].concat();
        let (a, b) = (numbers(&shape(lead, m, k), 1), numbers(&shape(lead_b, k, n), 2));
        let b_t = numbers(&shape(lead_b, n, k), 3);
        let a_t = numbers(&shape(lead, k, m), 4);
        one(&[&a, &b], |t| t[0].matmul(t[1]), &oracle::matmul(&a, &b));
        one(&[&a, &b_t], |t| t[0].matmul_t(t[1]), &oracle::matmul_t(&a, &b_t));
        one(&[&a_t, &b], |t| t[0].t_matmul(t[1]), &oracle::t_matmul(&a_t, &b));
    }
    let (a, b) = (numbers(&[4, 6, 5], 1), numbers(&[5, 3], 2));
    one(&[&a, &b], |t| t[0].matmul(t[1]), &oracle::matmul(&a, &b));
}

#[test]
fn movements() {
    let x = numbers(&[3, 5, 4], 6);
    one(&[&x], |t| t[0].reshape(&[6, 10]), &oracle::reshape(&x, &[6, 10]));
    one(&[&x], |t| t[0].transpose(0, 2), &oracle::transpose(&x, 0, 2));
    one(&[&x], |t| t[0].transpose(-1, 1), &oracle::transpose(&x, 2, 1));
    one(&[&x], |t| t[0].permute(&[2, 0, 1]), &oracle::permute(&x, &[2, 0, 1]));
    one(&[&x], |t| t[0].permute(&[-1, -2, 0]), &oracle::permute(&x, &[2, 1, 0]));
    one(&[&x], |t| t[0].slice(1, 1, 3), &oracle::slice(&x, 1, 1, 3));
    one(&[&x], |t| t[0].slice_step(1, 4, 3, -2), &oracle::slice_step(&x, 1, 4, 3, -2));
    one(&[&x], |t| t[0].slice_step(-1, 0, 2, 3), &oracle::slice_step(&x, 2, 0, 2, 3));
    one(&[&x], |t| t[0].flip(&[0, -1]), &oracle::flip(&x, &[0, 2]));
    one(&[&x], |t| t[0].windows(1, 3, 1, 1), &oracle::windows(&x, 1, 3, 1, 1));
    one(&[&x], |t| t[0].windows(-3, 2, 2, 1), &oracle::windows(&x, 0, 2, 2, 1));
    one(&[&x], |t| t[0].windows(2, 2, 1, 3), &oracle::windows(&x, 2, 2, 1, 3));
    one(&[&x], |t| t[0].pad(2, 2, 1), &oracle::pad(&x, 2, 2, 1));
    one(&[&x], |t| t[0].pad_with(0, 1, 2, -2.5), &oracle::pad_with(&x, 0, 1, 2, -2.5));
    one(&[&x], |t| t[0].tile(&[2, 1, 3]), &oracle::tile(&x, &[2, 1, 3]));
    one(&[&x], |t| t[0].tile(&[4, 3]), &oracle::tile(&x, &[1, 4, 3]));
    let y = numbers(&[3, 2, 4], 7);
    one(&[&x, &y], |t| Tensor::concat(t[0], &[t[1]], 1), &oracle::concat(&x, &y, 1));
    let z = numbers(&[5, 1], 8);
    one(&[&z], |t| t[0].broadcast_to(&[2, 5, 3]), &oracle::broadcast_to(&z, &[2, 5, 3]));
}

#[test]
fn normalisations() {
    for shape in [&[1, 1][..], &[5, 33], &[2, 3, 100]] {
        let x = numbers(shape, 9).map(|x| x * 5.0);
        let x = Array { data: widen(&x.data.iter().map(|&x| x as f32).collect::<Vec<_>>()), ..x };
        one(&[&x], |t| t[0].softmax(), &oracle::softmax(&x));
        one(&[&x], |t| t[0].log_softmax(), &oracle::log_softmax(&x));
    }
}

#[test]
fn norms() {
    for shape in [&[1, 4][..], &[5, 33], &[2, 3, 100]] {
        let channels = [shape[shape.len() - 1]];
        let (x, weight, bias) = (numbers(shape, 15), numbers(&channels, 16), numbers(&channels, 17));
        let (ones, zeros) = (weight.map(|_| 1.0), weight.map(|_| 0.0));
        let eps = 1e-3;
        let wide = f64::from(eps);
        let layer = |weight, bias| oracle::layer_norm(&x, weight, bias, wide);
        one(&[&x, &weight, &bias], |t| t[0].layer_norm(Some(t[1]), Some(t[2]), eps), &layer(&weight, &bias));
        one(&[&x, &weight], |t| t[0].layer_norm(Some(t[1]), None, eps), &layer(&weight, &zeros));
        one(&[&x, &bias], |t| t[0].layer_norm(None, Some(t[1]), eps), &layer(&ones, &bias));
        one(&[&x, &weight], |t| t[0].rms_norm(Some(t[1]), eps), &oracle::rms_norm(&x, &weight, wide));
        one(&[&x], |t| t[0].rms_norm(None, eps), &oracle::rms_norm(&x, &ones, wide));
    }
}

#[test]
fn cross_entropy() {
    for (rows, classes, ignore) in
        [(1, 2, None), (6, 33, None), (6, 33, Some(4)), (3, 7, Some(99)), (2, 5, Some(1))]
    {
        let logits = numbers(&[rows, classes], 10);
        let targets: Vec<u32> =
            (0..rows).map(|i| if i % 2 == 1 { ignore.unwrap_or(1) } else { i as u32 % 2 }).collect();
        let operands = [host(&logits), HostTensor::u32(&[rows], targets.clone()).unwrap()];
        for smoothing in [0.0, 0.1, 1.0] {
            let want = oracle::cross_entropy(&logits, &targets, ignore, f64::from(smoothing));
            let options = CrossEntropyOptions { ignore_index: ignore, label_smoothing: smoothing };
            check(&operands, |t| vec![t[0].cross_entropy(t[1], options)], &[(want.shape, want.data)]);
        }
    }
}

#[test]
fn gather_rows() {
    let (table, ids) = (numbers(&[9, 5], 11), vec![8, 0, 3, 3]);
    let want = oracle::gather_rows(&table, &ids);
    let operands = [host(&table), HostTensor::u32(&[4], ids).unwrap()];
    check(&operands, |t| vec![t[0].gather_rows(t[1])], &[(want.shape, want.data)]);
}

#[test]
fn append() {
    for (time, first) in [(1, [0, 6, 3]), (3, [4, 0, 2]), (7, [0, 0, 0])] {
        let (cache, rows) = (numbers(&[3, 7, 5], 12), numbers(&[3, time, 5], 13));
        let want = oracle::append(&cache, &rows, &first);
        let operands = [host(&cache), host(&rows), HostTensor::u32(&[3], first.to_vec()).unwrap()];
        check(&operands, |t| vec![t[0].append(t[1], Following::of(t[2], time))], &[(want.shape, want.data)]);
    }
}

#[test]
fn dropout() {
    let x = numbers(&[40, 50], 12);
    let case = Case::compile(&device::shared(), &[host(&x)], |_, t| {
        let y = t[0].dropout(0.3);
        Recorded { outputs: vec![y], loss: y.sum_all() }
    });
    let _ = case.loss();
    let got = case.outputs().remove(0);
    // Which elements stay is the generator's choice; what becomes of them, and how many there are, is not.
    let kept: Vec<_> = got.iter().map(|&y| y != 0.0).collect();
    let want: Vec<_> = oracle::dropout(&x, 0.3, &kept).data.iter().map(|&y| y as f32).collect();
    compare("dropout", &got, &want, TOLERANCE).unwrap();
    let share = kept.iter().filter(|&&kept| kept).count() as f64 / kept.len() as f64;
    assert!((share - 0.7).abs() < 0.05, "{share} of 2000 kept, five standard deviations are 0.05");
}

#[test]
fn packing() {
    let (time, lengths) = (5, [2, 5, 1, 5, 3]);
    let given = HostTensor::u32(&[5], lengths.to_vec()).unwrap();
    for rows in [16, 20] {
        let x = numbers(&[5, time, 3], 13);
        let want = oracle::pack(&x, &lengths, rows);
        check(
            &[host(&x), given.clone()],
            |t| vec![Lengths::of(t[1], time).within(rows).pack(t[0])],
            &[(want.shape, want.data)],
        );
        let y = numbers(&[rows, 3], 14);
        let want = oracle::unpack(&y, &lengths, time);
        check(
            &[host(&y), given.clone()],
            |t| vec![Lengths::of(t[1], time).within(rows).unpack(t[0])],
            &[(want.shape, want.data)],
        );
    }
}

/// Every cell over sizes that fill no tile, full and ragged, in both directions.
fn recurrent(cell: Cell, oracle: impl Fn(&Layout, &Inputs) -> Outputs) {
    for (batch, time, hidden) in [(1, 1, 1), (3, 7, 5), (9, 4, 33), (34, 3, 70)] {
        let operands: Vec<_> = layer::operands(cell, batch, time, hidden)
            .iter()
            .enumerate()
            .map(|(i, shape)| {
                let scale = if i == 1 { 1.0 / (hidden as f64).sqrt() } else { 1.0 };
                numbers(shape, i + 1).map(|x| f64::from((x * scale) as f32))
            })
            .collect();
        let mut inputs = Inputs::default();
        let mut of = operands.iter().map(|operand| operand.data.clone());
        (inputs.x_proj, inputs.w_hh) = (of.next().unwrap(), of.next().unwrap());
        if cell == Cell::Gru {
            inputs.b_hn = of.next().unwrap();
        }
        inputs.h0 = of.next().unwrap();
        inputs.c0 = of.next().unwrap_or_default();
        for (ragged, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
            let lengths: Vec<_> = (0..batch).map(|b| if ragged { b * 3 % time + 1 } else { time }).collect();
            let want = oracle(&Layout::padded(&lengths, time, reverse), &inputs);
            let state = vec![batch, hidden];
            let mut expected = vec![(vec![batch, time, hidden], want.y), (state.clone(), want.h_n)];
            expected.extend((cell == Cell::Lstm).then_some((state, want.c_n)));
            let mut all: Vec<_> = operands.iter().map(host).collect();
            let given = lengths.iter().map(|&length| length as u32).collect();
            all.push(HostTensor::u32(&[batch], given).unwrap());
            check(
                &all,
                |t| layer::record(cell, t, reverse, ragged.then(|| Lengths::of(t[t.len() - 1], time))),
                &expected,
            );
        }
    }
}

#[test]
fn rnn() {
    for activation in [Activation::Tanh, Activation::Relu, Activation::Sigmoid] {
        recurrent(Cell::Rnn(activation), |layout, inputs| oracle::rnn(activation, layout, inputs));
    }
}

#[test]
fn lstm() {
    recurrent(Cell::Lstm, oracle::lstm);
}

#[test]
fn gru() {
    recurrent(Cell::Gru, oracle::gru);
}
