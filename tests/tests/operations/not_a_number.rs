//! Each operation's result for a NaN: the table in the documentation of `Tensor`, row by row, by the kernels of CPU
//! adapters and by those of GPUs.
//!
//! WGSL lets a driver assume that there is no NaN. So this tests the behaviour on the drivers that the project tests
//! on, and that operations agree with each other there.

use seqloom_graph::{AttentionOptions, Graph, HostTensor, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::device;

/// Rows with one NaN each, at different places; the last row has none.
fn rows(width: usize) -> (HostTensor, Vec<bool>) {
    let count = width + 1;
    let is_nan: Vec<bool> = (0..count * width).map(|i| i / width == i % width).collect();
    let values =
        is_nan.iter().enumerate().map(|(i, nan)| if *nan { f32::NAN } else { 0.5 + i as f32 * 0.01 });
    (HostTensor::f32(&[count, width], values.collect()).unwrap(), is_nan)
}

fn filled(shape: &[usize], value: f32) -> HostTensor {
    HostTensor::f32(shape, vec![value; shape.iter().product()]).unwrap()
}

/// What ran it, outputs, gradients.
type Ran = (&'static str, Vec<Vec<f32>>, Vec<Vec<f32>>);

/// The outputs of `function`, and the gradients of its loss, on both kinds of device.
fn run(
    operands: &[HostTensor],
    function: impl for<'g> Fn(&'g Graph, &[Tensor<'g>]) -> Recorded<'g>,
) -> Vec<Ran> {
    [("as it is", device::shared()), ("as a GPU", device::shared_as_gpu())]
        .into_iter()
        .map(|(kind, device)| {
            let case = Case::compile(&device, operands, &function);
            let _ = case.loss();
            (kind, case.outputs(), case.gradients())
        })
        .collect()
}

#[track_caller]
fn found(name: &str, got: &[f32], want: &[bool]) {
    let got: Vec<bool> = got.iter().map(|value| value.is_nan()).collect();
    assert_eq!(got, want, "{name}: where NaN is");
}

/// By one element at a time and by four neighbours.
const WIDTHS: [usize; 2] = [3, 4];

type Function = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

#[test]
fn functions_of_one_operand_keep_it() {
    // Whether the gradient is NaN too, and not the number that a comparison or a step leaves.
    let functions: [(&str, bool, Function); 32] = [
        ("neg", false, |x| -x),
        ("exp", true, |x| x.exp()),
        ("ln", true, |x| x.ln()),
        ("sqrt", true, |x| x.sqrt()),
        ("recip", true, |x| x.recip()),
        ("sin", true, |x| x.sin()),
        ("cos", true, |x| x.cos()),
        ("erf", true, |x| x.erf()),
        ("square", true, |x| x.square()),
        ("pow", true, |x| x.powf(2.5)),
        ("a number to the power", true, |x| x.graph().full(&x.shape(), 2.0).pow(x)),
        ("abs", false, |x| x.abs()),
        ("floor", false, |x| x.floor() + x),
        ("ceil", false, |x| x.ceil() + x),
        ("round", false, |x| x.round() + x),
        ("clamp", false, |x| x.clamp(-9.0, 9.0)),
        ("tanh", true, |x| x.tanh()),
        ("sigmoid", true, |x| x.sigmoid()),
        ("relu", false, |x| x.relu()),
        ("leaky_relu", false, |x| x.leaky_relu(0.25)),
        ("elu", true, |x| x.elu(1.0)),
        ("selu", true, |x| x.selu()),
        ("softplus", true, |x| x.softplus()),
        ("mish", true, |x| x.mish()),
        ("hard_swish", false, |x| x.hard_swish()),
        ("gelu", true, |x| x.gelu()),
        ("gelu_tanh", true, |x| x.gelu_tanh()),
        ("silu", true, |x| x.silu()),
        ("swiglu", true, |x| x.swiglu(x)),
        ("maximum", false, |x| {
            x.maximum(x.graph().full(&x.shape(), 0.0)) + x.graph().full(&x.shape(), 0.0).maximum(x)
        }),
        ("minimum", false, |x| {
            x.minimum(x.graph().full(&x.shape(), 9.0)) + x.graph().full(&x.shape(), 9.0).minimum(x)
        }),
        ("select", false, |x| x.graph().full(&x.shape(), 1.0).select(x, -x)),
    ];
    for width in WIDTHS {
        let (x, is_nan) = rows(width);
        for (name, kept, function) in functions {
            for (kind, outputs, gradients) in run(std::slice::from_ref(&x), |_, t| {
                let y = function(t[0]);
                // A loss that only the numbers reach would hide what gradients do; this one weighs every element alike.
                Recorded { outputs: vec![y], loss: y.sum_all() }
            }) {
                let name = format!("{name} of {width} {kind}");
                found(&name, &outputs[0], &is_nan);
                let none = vec![false; is_nan.len()];
                found(&format!("gradient of {name}"), &gradients[0], if kept { &is_nan } else { &none });
            }
        }
    }
}

#[test]
fn either_operand_counts_and_comparisons_give_0() {
    for width in WIDTHS {
        let (x, is_nan) = rows(width);
        let other = filled(&[width + 1, width], 0.7);
        for (kind, outputs, _) in run(&[x.clone(), other], |_, t| {
            let (x, y) = (t[0], t[1]);
            let both = [x + y, y - x, x * y, y / x, x.maximum(y), y.maximum(x), x.minimum(y), y.minimum(x)];
            let both = both.into_iter().chain([x.pow(y), y.pow(x)]);
            let compared = [
                x.greater(y),
                x.less(y),
                y.greater(x),
                y.less(x),
                x.equal(x),
                x.greater_equal(x),
                x.less_equal(x),
                x.sign(),
            ];
            Recorded { outputs: both.chain(compared).collect(), loss: (x + y).sum_all() }
        }) {
            for (i, output) in outputs[..10].iter().enumerate() {
                found(&format!("function {i} of {width} {kind}"), output, &is_nan);
            }
            for (i, output) in outputs[10..].iter().enumerate() {
                let at_nan: Vec<f32> =
                    output.iter().zip(&is_nan).filter(|(_, nan)| **nan).map(|(value, _)| *value).collect();
                assert_eq!(at_nan, vec![0.0; width], "comparison {i} of {width} {kind}");
            }
        }
    }
}

#[test]
fn reductions_and_products_keep_it() {
    // Also an axis so long that a workgroup shares it.
    for width in [3, 4, 300] {
        let (x, _) = rows(width);
        for (kind, outputs, _) in run(&[x, filled(&[width, 2], 0.0)], |_, t| {
            let x = t[0];
            let rows = [x.sum(1), x.mean(1), x.max(1), x.min(1), x.prod(1), x.logsumexp(1)];
            let more = [x.matmul(t[1]), x.sum(0), x.max(0), x.min(0), x.prod(0)];
            let outputs = rows.into_iter().chain(more).collect();
            Recorded { outputs, loss: x.max(1).sum_all() }
        }) {
            let by_row: Vec<bool> = (0..=width).map(|row| row < width).collect();
            let rows = ["sum", "mean", "max", "min", "prod", "logsumexp"];
            for (name, output) in rows.into_iter().zip(&outputs) {
                found(&format!("{name} of {width} {kind}"), output, &by_row);
            }
            let twice: Vec<bool> = by_row.iter().flat_map(|nan| [*nan; 2]).collect();
            found(&format!("matmul of {width} {kind}"), &outputs[6], &twice);
            for (name, output) in ["sum", "max", "min", "prod"].into_iter().zip(&outputs[7..]) {
                found(&format!("{name} of columns of {width} {kind}"), output, &vec![true; width]);
            }
        }
    }
}

#[test]
fn the_first_nan_is_the_extreme_element_and_running_sums_lose_what_follows() {
    for width in [3, 4, 300] {
        let (x, _) = rows(width);
        for (kind, outputs, _) in run(&[x], |_, t| {
            let x = t[0];
            let found =
                [x.argmax(1).to_f32(), x.argmin(1).to_f32(), x.argmax(0).to_f32(), x.argmin(0).to_f32()];
            let sums = [x.cumsum(1), x.cumsum(0)];
            Recorded { outputs: found.into_iter().chain(sums).collect(), loss: x.sum_all() }
        }) {
            // The last row has none: its elements grow.
            let last = [width as f32 - 1.0, 0.0];
            for (i, last) in last.into_iter().enumerate() {
                let want: Vec<f32> = (0..width).map(|row| row as f32).chain([last]).collect();
                assert_eq!(outputs[i], want, "extreme element {i} of {width} {kind}");
                assert_eq!(outputs[i + 2], want[..width], "extreme element {i} of columns of {width} {kind}");
            }
            let after: Vec<bool> = (0..(width + 1) * width).map(|i| i / width <= i % width).collect();
            found(&format!("running sums of {width} {kind}"), &outputs[4], &after);
            let below: Vec<bool> = (0..(width + 1) * width).map(|i| i / width >= i % width).collect();
            found(&format!("running sums of columns of {width} {kind}"), &outputs[5], &below);
        }
    }
}

#[test]
fn rows_that_are_normalised_are_lost_and_others_not() {
    for width in [3, 4, 300] {
        let (x, _) = rows(width);
        for (kind, outputs, _) in run(&[x, filled(&[width], 1.0)], |_, t| {
            let x = t[0];
            let norms = [x.layer_norm(Some(t[1]), None, 1e-5), x.rms_norm(Some(t[1]), 1e-5)];
            let outputs = [x.softmax(), x.log_softmax()].into_iter().chain(norms).collect();
            Recorded { outputs, loss: x.softmax().sum_all() }
        }) {
            let want: Vec<bool> = (0..(width + 1) * width).map(|i| i / width < width).collect();
            for (name, output) in
                ["softmax", "log_softmax", "layer_norm", "rms_norm"].into_iter().zip(&outputs)
            {
                found(&format!("{name} of {width} {kind}"), output, &want);
            }
        }
    }
}

#[test]
fn a_loss_is_lost_unless_the_row_is_ignored() {
    let (x, _) = rows(4);
    for (targets, nan) in [(vec![0, 1, 2, 3, 1], true), (vec![9, 9, 9, 9, 1], false)] {
        let targets = HostTensor::u32(&[5], targets).unwrap();
        for device in [device::shared(), device::shared_as_gpu()] {
            let case = Case::compile(&device, &[x.clone(), targets.clone()], |_, t| Recorded {
                outputs: vec![],
                loss: t[0].cross_entropy(t[1], Some(9)),
            });
            assert_eq!(case.loss().is_nan(), nan);
            assert_eq!(case.gradients()[0].iter().any(|g| g.is_nan()), nan);
        }
    }
}

/// A query that a mask alone parts from a NaN may be lost too: its weight of 0 times NaN is NaN.
#[test]
fn attention_loses_queries_that_see_it() {
    let time = 5;
    let values = |nan_at: usize| -> HostTensor {
        let values = (0..time * 4).map(|i| if i / 4 == nan_at { f32::NAN } else { 0.1 * i as f32 });
        HostTensor::f32(&[1, time, 1, 4], values.collect()).unwrap()
    };
    let plain = values(time);
    for nan_at in [0, 2, 4] {
        // Among the keys, then among the values.
        let of_keys = [plain.clone(), values(nan_at), plain.clone()];
        let of_values = [plain.clone(), plain.clone(), values(nan_at)];
        for operands in [of_keys, of_values] {
            for (kind, outputs, _) in run(&operands, |_, t| {
                let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
                let y = t[0].attention(t[1], t[2], causal);
                Recorded { outputs: vec![y], loss: y.sum_all() }
            }) {
                let seeing = &outputs[0][4 * nan_at..];
                assert!(seeing.iter().all(|y| y.is_nan()), "NaN at {nan_at} {kind}: {:?}", outputs[0]);
            }
        }
    }
}
