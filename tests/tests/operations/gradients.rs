//! Gradient of every operation in the middle of a graph (`seqloom_tests::mid_graph`), against finite differences of the
//! loss. Operands keep away from kinks by more than the stencil moves them. Pointwise, recurrent and attention operations have
//! files of their own.

use seqloom_graph::{CrossEntropyOptions, CtcOptions, Following, HostData, HostTensor, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::device;
use seqloom_tests::mid_graph::{check, check_on, ids, tensor, wave};

/// Values of both signs, at least 0.3 from 0.
pub(crate) fn away(shape: &[usize], salt: usize) -> HostTensor {
    tensor(shape, |k| {
        let value = ((k * 7 + salt * 13) as f32 * 1.3).sin();
        value + 0.3f32.copysign(value)
    })
}

/// Values from 0.7 to 2.3.
pub(crate) fn positive(shape: &[usize], salt: usize) -> HostTensor {
    tensor(shape, |k| 1.5 + 0.8 * ((k * 7 + salt * 13) as f32 * 1.3).sin())
}

/// An operation of one operand.
pub(crate) fn unary(operand: HostTensor, operation: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>) {
    check(&[operand], |x| vec![operation(x[0])]);
}

#[test]
fn gradient_of_matmul() {
    for (a, b) in [(&[3, 4][..], &[4, 5][..]), (&[2, 3, 4], &[2, 4, 5]), (&[2, 3, 4], &[4, 5])] {
        check(&[wave(a, 0), wave(b, 1)], |x| vec![x[0].matmul(x[1])]);
    }
}

#[test]
fn gradient_of_matmul_t() {
    for (a, b) in [(&[3, 4][..], &[5, 4][..]), (&[2, 3, 4], &[2, 5, 4]), (&[2, 3, 4], &[5, 4])] {
        check(&[wave(a, 0), wave(b, 1)], |x| vec![x[0].matmul_t(x[1])]);
    }
}

#[test]
fn gradient_of_t_matmul() {
    for (a, b) in [(&[4, 3][..], &[4, 5][..]), (&[2, 4, 3], &[2, 4, 5])] {
        check(&[wave(a, 0), wave(b, 1)], |x| vec![x[0].t_matmul(x[1])]);
    }
}

#[test]
fn gradient_of_reshape() {
    unary(wave(&[3, 4], 0), |x| x.reshape(&[2, 6]));
}

#[test]
fn gradient_of_transpose() {
    unary(wave(&[2, 3, 4], 0), |x| x.transpose(0, 2));
    unary(wave(&[2, 3, 4], 0), |x| x.transpose(-1, -2));
}

#[test]
fn gradient_of_slice() {
    unary(wave(&[2, 4, 3], 0), |x| x.slice(1, 1, 2));
    unary(wave(&[3, 5], 0), |x| x.slice(-1, 0, 3) * x.slice(-1, 2, 3));
}

#[test]
fn gradient_of_pad() {
    unary(wave(&[2, 4, 3], 0), |x| x.pad(1, 1, 2));
    unary(wave(&[3, 4], 0), |x| x.pad(-1, 0, 2).exp());
}

#[test]
fn gradient_of_concat() {
    check(&[wave(&[2, 3], 0), wave(&[2, 1], 1), wave(&[2, 4], 2)], |x| {
        vec![Tensor::concat(x[0], &[x[1], x[2]], 1)]
    });
    check(&[wave(&[2, 3], 0), wave(&[1, 3], 1)], |x| vec![Tensor::concat(x[0], &[x[1], x[0]], 0)]);
    // More parts than a dispatch joins, empty ones, slices, and a concatenation in another.
    let sizes = [2, 1, 3, 1, 1, 2, 1, 1];
    for axis in 0..4 {
        let parts: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(at, &size)| {
                let mut dims = [1, 2, 1, 2];
                dims[axis] = size;
                wave(&dims, at)
            })
            .collect();
        let axis = axis as isize;
        check(&parts, |x| vec![Tensor::concat(x[0], &[&[x[1].slice(axis, 0, 0)], &x[1..]].concat(), axis)]);
    }
    check(&[wave(&[2, 4, 3], 0), wave(&[2, 3, 1], 1)], |x| {
        let windows = Tensor::concat(x[0].slice(1, 0, 3), &[x[0].slice(1, 1, 3)], 2);
        vec![Tensor::concat(x[1], &[windows, x[1]], 2)]
    });
}

#[test]
fn gradient_of_broadcast_to() {
    unary(wave(&[4], 0), |x| x.broadcast_to(&[2, 3, 4]));
    unary(wave(&[2, 1, 3], 0), |x| x.broadcast_to(&[2, 4, 3]));
}

#[test]
fn gradient_of_softmax() {
    unary(wave(&[3, 4], 0), |x| (x * 2.0).softmax() * 3.0);
}

#[test]
fn gradient_of_log_softmax() {
    unary(wave(&[2, 2, 5], 0), |x| x.log_softmax());
}

#[test]
fn gradient_of_layer_norm() {
    let operands = [wave(&[2, 3, 5], 0), away(&[5], 1), wave(&[5], 2)];
    for device in [device::shared(), device::shared_as_gpu()] {
        check_on(&device, &operands, |x| vec![x[0].layer_norm(Some(x[1]), Some(x[2]), 0.1)]);
        check_on(&device, &operands[..1], |x| vec![x[0].layer_norm(None, None, 0.1)]);
    }
}

#[test]
fn gradient_of_rms_norm() {
    let operands = [wave(&[2, 3, 5], 0), away(&[5], 1)];
    for device in [device::shared(), device::shared_as_gpu()] {
        check_on(&device, &operands, |x| vec![x[0].rms_norm(Some(x[1]), 0.1)]);
        check_on(&device, &operands[..1], |x| vec![x[0].rms_norm(None, 0.1)]);
    }
}

/// A residual connection on either side of a norm, whose sums ride on the norm's kernels.
#[test]
fn residual_connections_keep_the_gradient() {
    let operands = [wave(&[2, 3, 5], 0), wave(&[2, 3, 5], 1), away(&[5], 2), wave(&[5], 3)];
    for device in [device::shared(), device::shared_as_gpu()] {
        check_on(&device, &operands, |x| {
            let sum = x[0] + x[1].dropout(0.4);
            let first = sum.layer_norm(Some(x[2]), Some(x[3]), 0.1);
            let second = (first + x[3]).rms_norm(Some(x[2]), 0.1);
            vec![first.tanh() + sum, second]
        });
    }
}

#[test]
fn gradient_of_cross_entropy() {
    let targets = ids(&[2, 3], &[1, 4, 0, 2, 3, 3]);
    check(&[wave(&[2, 3, 5], 0), targets.clone()], |x| vec![x[0].cross_entropy(x[1], None)]);
    check(&[wave(&[2, 3, 5], 0), targets.clone()], |x| vec![x[0].cross_entropy(x[1], Some(3))]);
    let smoothed = CrossEntropyOptions { ignore_index: Some(3), label_smoothing: 0.3 };
    check(&[wave(&[2, 3, 5], 0), targets.clone()], |x| vec![x[0].cross_entropy(x[1], smoothed)]);
    // Logits that others read too, before and after the loss does.
    check(&[wave(&[2, 3, 5], 0), targets], |x| {
        let logits = x[0].softmax();
        vec![logits.square(), logits.cross_entropy(x[1], smoothed), logits.exp()]
    });
}

#[test]
fn gradient_of_ctc() {
    // Labels in a row alike, some past the length; a sequence that just fits, one of no label, one of no step.
    let targets = ids(&[4, 3], &[1, 2, 2, 3, 3, 0, 1, 1, 1, 2, 2, 2]);
    let (steps, labels) = (ids(&[4], &[6, 3, 5, 0]), ids(&[4], &[3, 2, 0, 0]));
    for device in [device::shared(), device::shared_as_gpu()] {
        let operands = [wave(&[4, 6, 4], 0), targets.clone(), steps.clone(), labels.clone()];
        check_on(&device, &operands, |x| vec![x[0].ctc(x[1], x[2], x[3], CtcOptions::default()) * 0.2]);
        check_on(&device, &operands, |x| {
            vec![x[0].log_softmax().ctc(x[1], x[2], x[3], CtcOptions::default()) * 0.2, x[0].square()]
        });
    }
}

#[test]
fn gradient_of_gather_rows() {
    // Row 2 is taken three times, row 3 never.
    let taken = ids(&[2, 3], &[2, 0, 2, 4, 2, 1]);
    check(&[wave(&[5, 3], 0), taken.clone()], |x| vec![x[0].gather_rows(x[1])]);
    // Positions, a scale and dropout ride on the gather.
    check(&[wave(&[5, 3], 0), taken, wave(&[3, 3], 1)], |x| {
        vec![(x[0].gather_rows(x[1]) * 1.5 + x[2]).dropout(0.3)]
    });
}

#[test]
fn gradient_of_append() {
    // What is overwritten has no part; heads and channels are moved as one.
    let operands = [wave(&[2, 5, 2, 3], 0), wave(&[2, 2, 2, 3], 1), ids(&[2], &[3, 1])];
    check(&operands, |x| vec![x[0].append(x[1], Following::of(x[2], 2))]);
}

#[test]
fn gradient_of_dropout() {
    // The seed is in the control buffer, which stays: so every loss of the stencil drops the same elements.
    unary(wave(&[6, 5], 0), |x| x.dropout(0.4));
}

#[test]
fn every_use_of_a_tensor_counts() {
    check(&[wave(&[3, 4], 0), wave(&[4, 4], 1)], |x| {
        let shared = x[0].tanh();
        vec![shared * shared.sigmoid() + shared.matmul(x[1]), shared.sum(0)]
    });
}

#[test]
fn fused_epilogues_keep_the_gradient() {
    // Products take an epilogue where the kernels are a GPU's.
    check_on(
        &device::shared_as_gpu(),
        &[wave(&[3, 4], 0), wave(&[5, 4], 1), wave(&[5], 2), wave(&[3, 5], 3)],
        |x| vec![(x[0].matmul_t(x[1]) + x[2]).gelu() + x[3]],
    );
}

#[test]
fn detach_stops_the_gradient() {
    // d/dx (x·stop(x)) is x, not 2x; the other operand keeps its own gradient.
    let operand = tensor(&[4], |k| k as f32 + 1.0);
    let case = Case::compile(&device::shared(), std::slice::from_ref(&operand), |_, x| Recorded {
        outputs: vec![],
        loss: (x[0] * x[0].detach()).sum_all(),
    });
    assert_eq!(case.loss(), 30.0);
    assert_eq!(case.gradients(), [[1.0, 2.0, 3.0, 4.0]]);
}

/// The check has teeth: with one factor of a product detached, the gradient is half of what the loss does.
#[test]
#[should_panic(expected = "the gradient says")]
fn a_dropped_factor_is_found() {
    unary(away(&[3, 4], 0), |x| x * x.detach());
}

#[test]
fn every_operation_has_a_gradient_check() {
    // The names are what `gradient_of_` functions these files define.
    let source = concat!(
        include_str!("gradients.rs"),
        include_str!("gradients_pointwise.rs"),
        include_str!("gradients_recurrent.rs"),
        include_str!("gradients_attention.rs"),
        include_str!("gradients_movement.rs"),
        include_str!("gradients_reductions.rs")
    );
    let absent: Vec<_> = seqloom_graph::OPERATIONS
        .iter()
        .filter(|operation| !source.contains(&format!("fn gradient_of_{operation}()")))
        .collect();
    assert!(absent.is_empty(), "no gradient check of {absent:?}");
}

/// A mean over nothing: PyTorch gives NaN, this project 0 (`Tensor::cross_entropy`), and no gradient moves anything.
#[test]
fn a_cross_entropy_of_ignored_targets_alone_is_0_and_moves_nothing() {
    for smoothing in [0.0, 0.1] {
        let options = CrossEntropyOptions { ignore_index: Some(3), label_smoothing: smoothing };
        let operands = [wave(&[2, 2, 3], 0), ids(&[2, 2], &[3; 4])];
        let case = Case::compile(&device::shared(), &operands, |_, x| {
            let loss = (x[0] * 2.0).cross_entropy(x[1], options);
            Recorded { outputs: vec![loss], loss: loss * 5.0 }
        });
        assert_eq!(case.loss(), 0.0);
        assert_eq!(case.outputs(), [[0.0]]);
        assert_eq!(case.gradients(), [[0.0; 12]]);
    }
}

/// Rows of one value have no variance: what is normalised is 0, and 1/deviation is 1/√eps.
#[test]
fn norms_of_constant_rows() {
    // Of several sizes; sums of 5 equal values of these have no rounding.
    let rows = [0.0f32, 0.5, -3.0, 1024.0, -8192.0];
    let (width, eps) = (5, 1e-5f32);
    let x = tensor(&[rows.len(), width], |k| rows[k / width]);
    let (weight, bias) = (positive(&[width], 1), wave(&[width], 2));
    let dy: Vec<f32> = (0..rows.len() * width).map(|k| (k as f32 * 1.9).sin()).collect();
    let floats = |t: &HostTensor| match t.data() {
        HostData::F32(values) => values.clone(),
        _ => panic!("floats"),
    };
    let (w, b) = (floats(&weight), floats(&bias));
    let near = |got: &[f32], expected: &[f64], what: &str| {
        for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
            // Some ten operations of f32, in terms of the largest that is summed.
            let scale = expected.abs().max(1.0 / f64::from(eps).sqrt());
            assert!((f64::from(got) - expected).abs() < 2e-6 * scale, "{what} {i}: {got}, not {expected}");
        }
    };
    for centred in [true, false] {
        let case = Case::compile(&device::shared(), &[x.clone(), weight.clone(), bias.clone()], |g, x| {
            let y = if centred {
                x[0].layer_norm(Some(x[1]), Some(x[2]), eps)
            } else {
                x[0].rms_norm(Some(x[1]), eps) + x[2]
            };
            let dy = g.literal(&[rows.len(), width], dy.clone());
            Recorded { outputs: vec![y], loss: (y * dy).sum_all() }
        });
        assert!(case.loss().is_finite());
        let (mut y, mut dx) = (Vec::new(), Vec::new());
        let (mut dweight, mut dbias) = (vec![0.0f64; width], vec![0.0f64; width]);
        for (row, value) in rows.iter().enumerate() {
            let value = f64::from(*value);
            let dy: Vec<f64> = dy[row * width..][..width].iter().map(|&v| f64::from(v)).collect();
            let inner: Vec<f64> = (0..width).map(|c| dy[c] * f64::from(w[c])).collect();
            let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
            let square = if centred { 0.0 } else { value * value };
            let rstd = 1.0 / (square + f64::from(eps)).sqrt();
            let normed = if centred { 0.0 } else { value * rstd };
            let slope = mean(&inner.iter().map(|v| v * normed).collect::<Vec<_>>());
            let shift = if centred { mean(&inner) } else { 0.0 };
            for c in 0..width {
                y.push(normed * f64::from(w[c]) + f64::from(b[c]));
                dx.push(rstd * (inner[c] - shift - normed * slope));
                dweight[c] += dy[c] * normed;
                dbias[c] += dy[c];
            }
        }
        near(&case.outputs()[0], &y, "y");
        let gradients = case.gradients();
        near(&gradients[0], &dx, "dx");
        near(&gradients[1], &dweight, "dweight");
        near(&gradients[2], &dbias, "dbias");
    }
}
