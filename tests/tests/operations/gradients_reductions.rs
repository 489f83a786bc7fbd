//! Gradients of reductions, running sums and picks in the middle of a graph; how and why: `gradients.rs`.

use seqloom_graph::{Axes, HostTensor, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::device;
use seqloom_tests::mid_graph::{check, check_on, ids, tensor, wave};

use crate::gradients::{away, positive, unary};

/// Values whose extremes over any axes of [2, 3, 4] stay the same under the stencil's steps.
fn spread(shape: &[usize]) -> HostTensor {
    tensor(shape, |k| 1.7 * (k as f32 * 0.71 + 4.1).sin())
}

/// Axes alone, next to each other, apart, kept and all.
fn over_axes(operand: &HostTensor, operation: impl for<'g> Fn(Tensor<'g>, Axes) -> Tensor<'g>) {
    let axes = [0.into(), (-1).into(), [1, 2].into(), [0, 2].into(), Axes::kept([2, 0]), Axes::all()];
    for axes in axes {
        unary(operand.clone(), |x| operation(x, axes.clone()));
    }
}

#[test]
fn gradient_of_sum() {
    over_axes(&wave(&[2, 3, 4], 0), |x, axes| x.sum(axes) * 0.3);
    unary(wave(&[3, 4], 0), |x| x.sum_all() * 0.3);
}

#[test]
fn gradient_of_mean() {
    over_axes(&wave(&[2, 3, 4], 0), |x, axes| x.mean(axes));
    unary(away(&[3, 4], 0), |x| x.mean_all() * 3.0);
}

#[test]
fn gradient_of_max() {
    over_axes(&spread(&[2, 3, 4]), |x, axes| x.max(axes));
}

#[test]
fn gradient_of_min() {
    over_axes(&spread(&[2, 3, 4]), |x, axes| x.min(axes));
}

#[test]
fn gradient_of_prod() {
    over_axes(&positive(&[2, 3, 4], 0), |x, axes| x.prod(axes) * 0.1);
    // Lines without a zero, with one, and with two: a third of its neighbours' product may still depend on it.
    let zeros = tensor(&[3, 4], |k| if [5, 8, 10].contains(&k) { 0.0 } else { 0.6 + 0.1 * k as f32 });
    unary(zeros, |x| x.prod(1));
}

#[test]
fn gradient_of_logsumexp() {
    over_axes(&wave(&[2, 3, 4], 0), |x, axes| (x * 3.0).logsumexp(axes));
}

#[test]
fn gradient_of_argmax() {
    // The index is a number that small steps do not change.
    unary(spread(&[2, 3, 4]), |x| x * x.argmax(Axes::kept(1)).to_f32() + x.argmax(-1).to_f32().mean_all());
}

#[test]
fn gradient_of_argmin() {
    unary(spread(&[2, 3, 4]), |x| x * x.argmin(Axes::kept(1)).to_f32());
}

#[test]
fn gradient_of_cumsum() {
    for device in [device::shared(), device::shared_as_gpu()] {
        for axis in [0, 1, -1] {
            check_on(&device, &[wave(&[2, 3, 4], 0)], |x| vec![(x[0] * 0.5).cumsum(axis) * 0.5]);
        }
    }
}

#[test]
fn gradient_of_gather() {
    // Some elements are picked twice, some never; on other axes the index is smaller.
    let index = ids(&[2, 3, 2], &[2, 0, 2, 1, 0, 0, 1, 1, 2, 2, 2, 0]);
    for device in [device::shared(), device::shared_as_gpu()] {
        check_on(&device, &[wave(&[2, 3, 4], 0), index.clone()], |x| vec![x[0].gather(1, x[1]) * 1.5]);
    }
    check(&[wave(&[3, 3, 2], 0), index], |x| vec![x[0].gather(0, x[1])]);
    check(&[wave(&[3, 5], 0), ids(&[3, 1], &[4, 0, 2])], |x| vec![x[0].gather(-1, x[1])]);
}

#[test]
fn gradient_of_one_hot() {
    check(&[ids(&[2, 3], &[1, 0, 3, 2, 2, 0]), wave(&[4, 2], 0)], |x| vec![x[0].one_hot(4).matmul(x[1])]);
}

/// All of PyTorch's cases: no zero, one, several, and equal extremes over several axes.
#[test]
fn ties_share_and_zeros_leave_what_others_make() {
    let operand = tensor(&[2, 2, 2], |k| [3.0, 1.0, 3.0, 0.0, 3.0, 2.0, 0.0, 0.0][k]);
    let case = |function: fn(Tensor<'_>) -> Tensor<'_>| {
        let case = Case::compile(&device::shared(), std::slice::from_ref(&operand), |_, x| Recorded {
            outputs: vec![],
            loss: function(x[0]),
        });
        let _ = case.loss();
        case.gradients().remove(0)
    };
    let third = 1.0 / 3.0;
    assert_eq!(case(|x| x.max(Axes::all()).sum_all()), [third, 0.0, third, 0.0, third, 0.0, 0.0, 0.0]);
    // Axes apart: [0, 2] together have 3, 3, 1, 2 and 3, 0, 0, 0.
    assert_eq!(case(|x| x.max([0, 2]).sum_all()), [0.5, 0.0, 1.0, 0.0, 0.5, 0.0, 0.0, 0.0]);
    assert_eq!(case(|x| x.min(-1).sum_all()), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.5, 0.5]);
    assert_eq!(case(|x| x.prod(-1).sum_all()), [1.0, 3.0, 0.0, 3.0, 2.0, 3.0, 0.0, 0.0]);
    assert_eq!(case(|x| x.prod(Axes::all())), [0.0; 8]);
}

/// Rows of −∞ are what masks leave of a row that sees nothing.
#[test]
fn logsumexp_of_infinities() {
    let rows = [[f32::NEG_INFINITY; 3], [f32::NEG_INFINITY, 1.0, 1.0], [f32::MAX, 0.0, 0.0], [-f32::MAX; 3]];
    let operand = HostTensor::f32(&[4, 3], rows.concat()).unwrap();
    for device in [device::shared(), device::shared_as_gpu()] {
        let case = Case::compile(&device, std::slice::from_ref(&operand), |_, x| {
            let y = x[0].logsumexp(-1);
            Recorded { outputs: vec![y], loss: y.sum_all() }
        });
        let _ = case.loss();
        let y = case.outputs().remove(0);
        assert_eq!(y[0], f32::NEG_INFINITY);
        assert!((y[1] - 1.0 - 2f32.ln()).abs() < 1e-6, "{y:?}");
        assert_eq!(y[2..], [f32::MAX, -f32::MAX]);
        let gradient = case.gradients().remove(0);
        let third = 1.0 / 3.0;
        let want = [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 0.0, 0.0, third, third, third];
        for (got, want) in gradient.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{gradient:?}");
        }
    }
}
