//! Mask, sum, mean, greatest and last of the true steps of each row: against the rows alone in f64, with what stands on
//! padded steps being infinite or not a number; rows of length 0; gradients in the middle of a graph; what is refused.

use seqloom_graph::{DType, Graph, Lengths, Params, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::device;
use seqloom_tests::mid_graph::{check as check_gradient, ids, tensor};
use seqloom_tests::oracle::array::Array;

use crate::oracles::{check, host, numbers};

/// What comes of a row's true steps, on the device, and of one channel's in f64.
type Both = (for<'g> fn(Lengths<'g>, Tensor<'g>) -> Tensor<'g>, fn(&[f64]) -> f64);

const ALL: [Both; 4] = [
    (|lengths, x| lengths.sum(x), |row| row.iter().sum()),
    (|lengths, x| lengths.mean(x), |row| row.iter().sum::<f64>() / row.len().max(1) as f64),
    (|lengths, x| lengths.max(x), |row| row.iter().copied().reduce(f64::max).unwrap_or(0.0)),
    (|lengths, x| lengths.last(x), |row| row.last().copied().unwrap_or(0.0)),
];

const LENGTHS: [u32; 4] = [3, 5, 0, 1];

/// `of` the true steps of every row and channel of x [B, T, C].
fn rows_alone(x: &Array, of: fn(&[f64]) -> f64) -> (Vec<usize>, Vec<f64>) {
    let (rows, channels) = (x.shape[0], x.shape[2]);
    let alone = (0..rows * channels).map(|at| {
        let (row, channel) = (at / channels, at % channels);
        of(&(0..LENGTHS[row] as usize).map(|t| x.at(&[row, t, channel])).collect::<Vec<_>>())
    });
    (vec![rows, channels], alone.collect())
}

#[test]
fn are_those_of_the_rows_alone() {
    let x = numbers(&[4, 5, 3], 1);
    let operands = [host(&x), ids(&[4], &LENGTHS)];
    for (of, alone) in ALL {
        check(&operands, |t| vec![of(Lengths::of(t[1], 5), t[0])], &[rows_alone(&x, alone)]);
    }
    let masked = LENGTHS.iter().flat_map(|&length| (0..5).map(move |t| f64::from(u8::from(t < length))));
    check(&operands, |t| vec![Lengths::of(t[1], 5).mask()], &[(vec![4, 5], masked.collect())]);
    // Of two dimensions a row has one number, of four a matrix.
    for shape in [&[4, 5][..], &[4, 5, 3, 1]] {
        let x = numbers(shape, 2);
        let wide = Array { shape: vec![4, 5, shape[2..].iter().product()], data: x.data.clone() };
        let kept = [&shape[..1], &shape[2..]].concat();
        for (of, alone) in ALL {
            let want = (kept.clone(), rows_alone(&wide, alone).1);
            let operands = [host(&x), ids(&[4], &LENGTHS)];
            check(&operands, |t| vec![of(Lengths::of(t[1], 5), t[0])], &[want]);
        }
    }
}

/// Nothing of a padded step gets into the result, and no gradient out to it.
#[test]
fn padded_steps_have_no_part() {
    let x = numbers(&[4, 5, 3], 3);
    for (of, alone) in ALL {
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let padded = |k: usize| (k / 3 % 5) as u32 >= LENGTHS[k / 15];
            let values = tensor(&[4, 5, 3], |k| if padded(k) { bad } else { x.data[k] as f32 });
            let case = Case::compile(&device::shared(), &[values, ids(&[4], &LENGTHS)], |_, t| {
                let y = of(Lengths::of(t[1], 5), t[0]);
                Recorded { outputs: vec![y], loss: (y * y).sum_all() }
            });
            let _ = case.loss();
            let want = rows_alone(&x, alone).1;
            for (got, want) in case.outputs()[0].iter().zip(want) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{got} for {want} beside {bad}");
            }
            let gradient = &case.gradients()[0];
            assert!((0..60).all(|k| !padded(k) || gradient[k] == 0.0), "{gradient:?} beside {bad}");
            assert!((0..60).any(|k| gradient[k] != 0.0));
        }
    }
}

/// A row whose true steps are all −∞ has −∞ as its greatest.
#[test]
fn an_infinity_of_a_true_step_is_kept() {
    let values = tensor(&[1, 3, 1], |_| f32::NEG_INFINITY);
    let case = Case::compile(&device::shared(), &[values, ids(&[1], &[2])], |_, t| {
        let y = Lengths::of(t[1], 3).max(t[0]);
        Recorded { outputs: vec![y], loss: y.sum_all() }
    });
    let _ = case.loss();
    assert_eq!(case.outputs(), [[f32::NEG_INFINITY]]);
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    // Values whose greatest stay the same under the stencil's steps.
    let x = tensor(&[4, 5, 3], |k| 1.7 * (k as f32 * 0.71 + 4.1).sin());
    for (of, _) in ALL {
        check_gradient(&[x.clone(), ids(&[4], &LENGTHS)], |t| vec![of(Lengths::of(t[1], 5), t[0])]);
    }
}

#[test]
fn another_shape_is_refused_by_name() {
    for (name, of) in ["lengths.sum", "lengths.mean", "lengths.max", "lengths.last"].into_iter().zip(ALL) {
        for shape in [&[4, 6, 3][..], &[3, 5], &[4]] {
            let g = Graph::inference(&Params::seeded(0));
            let _ = of.0(g.lengths("lengths", 4, 5), g.input("x", shape, DType::F32));
            let error = g.check().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("needs sequences [4, 5, ..]"), "{error}");
        }
    }
}
