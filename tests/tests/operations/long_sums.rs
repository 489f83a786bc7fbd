//! Sums over 100,000 rows as users see them: gradients, means, norms, losses and attention, by the kernels of CPU
//! adapters and by those of GPUs. Terms are equal, so every addition rounds the same way; taken one by one they are off
//! by 1e-3.

use seqloom_graph::{AttentionOptions, Graph, HostTensor, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::device;
use seqloom_tests::executor::random;

/// Rows; fewer where the kernels of GPUs run on llvmpipe, which leaves the loops of an invocation after 65,535 iterations: the cut
/// still shows.
const ROWS: usize = 100_000;
const FEWER: usize = 2100;
const MOST: f64 = 5e-5;

#[track_caller]
fn near(name: &str, got: &[f32], want: f64) {
    for (i, got) in got.iter().enumerate() {
        let off = (f64::from(*got) - want).abs() / want.abs();
        assert!(off <= MOST, "{name}: element {i} is {got}, expected {want}: off by {off:e} of it");
    }
}

/// 0.1 as f32 has it.
fn tenth() -> f64 {
    f64::from(0.1f32)
}

fn filled(shape: &[usize], value: f32) -> HostTensor {
    HostTensor::f32(shape, vec![value; shape.iter().product()]).unwrap()
}

/// The outputs and the gradients of a function over this many rows, on both kinds of device.
fn both(
    operands: impl Fn(usize) -> Vec<HostTensor>,
    function: impl for<'g> Fn(&'g Graph, &[Tensor<'g>]) -> Recorded<'g>,
    check: impl Fn(&str, f64, &[Vec<f32>], &[Vec<f32>]),
) {
    let fewer = if device::shared().facts().is_cpu() { FEWER } else { ROWS };
    for (kind, device, rows) in
        [("as it is", device::shared(), ROWS), ("as a GPU", device::shared_as_gpu(), fewer)]
    {
        let case = Case::compile(&device, &operands(rows), &function);
        let _ = case.loss();
        check(kind, rows as f64, &case.outputs(), &case.gradients());
    }
}

#[test]
fn gradients_of_a_linear_layer() {
    for (inputs, outputs) in [(8, 4), (3, 5)] {
        both(
            |rows| {
                vec![filled(&[rows, inputs], 0.1), filled(&[inputs, outputs], 0.5), filled(&[outputs], 0.0)]
            },
            |_, t| {
                let y = t[0].matmul(t[1]) + t[2];
                Recorded { outputs: vec![], loss: (y * 0.1).sum_all() }
            },
            |kind, rows, _, gradients| {
                near(&format!("weight {kind}"), &gradients[1], tenth() * tenth() * rows);
                near(&format!("bias {kind}"), &gradients[2], tenth() * rows);
            },
        );
    }
}

#[test]
fn gradients_of_norms() {
    // Every row is -1, 1, -1, 1: it is its own normalised row.
    let operands = |rows: usize| {
        let x: Vec<f32> = (0..rows * 4).map(|i| if i % 2 == 0 { -1.0 } else { 1.0 }).collect();
        vec![HostTensor::f32(&[rows, 4], x).unwrap(), filled(&[4], 1.0), filled(&[4], 0.0)]
    };
    both(
        operands,
        |_, t| {
            let y = t[0].layer_norm(Some(t[1]), Some(t[2]), 1e-12) + t[0].rms_norm(Some(t[1]), 1e-12);
            Recorded { outputs: vec![], loss: (y * 0.1).sum_all() }
        },
        |kind, rows, _, gradients| {
            let sizes: Vec<f32> = gradients[1].iter().map(|g| g.abs()).collect();
            near(&format!("weight {kind}"), &sizes, 2.0 * tenth() * rows);
            near(&format!("bias {kind}"), &gradients[2], tenth() * rows);
        },
    );
}

/// Rows near 1e4: a mean kept in f32 alone is off by 5e-4, and the weight's gradient by as much of the spread.
#[test]
fn gradients_of_a_norm_of_rows_far_from_0() {
    let (rows, cols) = (300, 8);
    // Multiples of 1/128, which floats near 1e4 still hold.
    let near_0: Vec<f32> = random(1, rows * cols).iter().map(|x| (128.0 * x).round() / 128.0).collect();
    let far: Vec<f32> = near_0.iter().map(|x| x + 10_000.0).collect();
    let dy = random(2, rows * cols);
    let gradients = |x: &[f32]| {
        let operands = [
            HostTensor::f32(&[rows, cols], x.to_vec()).unwrap(),
            filled(&[cols], 1.0),
            filled(&[cols], 0.0),
            HostTensor::f32(&[rows, cols], dy.clone()).unwrap(),
        ];
        let mut found = Vec::new();
        for device in [device::shared(), device::shared_as_gpu()] {
            let case = Case::compile(&device, &operands, |_, t| Recorded {
                outputs: vec![],
                loss: (t[0].layer_norm(Some(t[1]), Some(t[2]), 1e-5) * t[3]).sum_all(),
            });
            let _ = case.loss();
            found.push(case.gradients());
        }
        found
    };
    for (kind, (far, near_0)) in gradients(&far).into_iter().zip(gradients(&near_0)).enumerate() {
        for (i, what) in ["x", "weight"].into_iter().enumerate() {
            let scale = near_0[i].iter().fold(0.0f32, |most, g| most.max(g.abs()));
            for (far, near_0) in far[i].iter().zip(&near_0[i]) {
                let off = (far - near_0).abs() / scale;
                assert!(
                    off < 2e-6,
                    "{what} of kind {kind}: {far} beside {near_0}, off by {off:e} of the scale"
                );
            }
        }
    }
}

#[test]
fn means_and_losses() {
    let operands =
        |rows: usize| vec![filled(&[rows, 3], 0.1), HostTensor::u32(&[rows], vec![1; rows]).unwrap()];
    both(
        operands,
        |_, t| {
            let loss = t[0].cross_entropy(t[1], None);
            Recorded { outputs: vec![t[0].mean(0), t[0].sum(0), t[0].mean_all(), loss], loss }
        },
        |kind, rows, outputs, _| {
            near(&format!("mean {kind}"), &outputs[0], tenth());
            near(&format!("sum {kind}"), &outputs[1], tenth() * rows);
            near(&format!("mean of all {kind}"), &outputs[2], tenth());
            near(&format!("cross-entropy {kind}"), &outputs[3], 3f64.ln());
        },
    );
}

#[test]
fn softmax_of_a_long_row() {
    both(
        |columns| vec![filled(&[1, columns], 0.3)],
        |_, t| {
            let columns = t[0].dim(1) as f32;
            Recorded { outputs: vec![t[0].softmax() * columns], loss: t[0].softmax().sum_all() }
        },
        |kind, _, outputs, _| near(&format!("softmax {kind}"), &outputs[0], 1.0),
    );
}

#[test]
fn the_gradient_of_a_token_that_comes_often() {
    both(
        |rows| vec![filled(&[2, 4], 0.5), HostTensor::u32(&[rows], vec![1; rows]).unwrap()],
        |_, t| Recorded { outputs: vec![], loss: (t[0].gather_rows(t[1]) * 0.1).sum_all() },
        |kind, rows, _, gradients| near(&format!("table {kind}"), &gradients[0][4..], tenth() * rows),
    );
}

#[test]
fn attention_over_many_keys_and_from_many_queries() {
    let of = |time: usize, value: f32| filled(&[1, time, 1, 4], value);
    // One query, which weighs all keys alike.
    both(
        |keys| vec![of(1, 0.2), of(keys, 0.3), of(keys, 0.1)],
        |_, t| {
            let y = t[0].attention(t[1], t[2], AttentionOptions::default());
            Recorded { outputs: vec![y], loss: (y * t[1].dim(1) as f32).sum_all() }
        },
        |kind, _, outputs, gradients| {
            near(&format!("out {kind}"), &outputs[0], tenth());
            near(&format!("dv {kind}"), &gradients[2], 1.0);
        },
    );
    // Many queries of one key, whose weight is 1.
    both(
        |queries| vec![of(queries, 0.2), of(1, 0.3), of(1, 0.5)],
        |_, t| {
            let y = t[0].attention(t[1], t[2], AttentionOptions::default());
            Recorded { outputs: vec![], loss: (y * 0.1).sum_all() }
        },
        |kind, rows, _, gradients| near(&format!("dv {kind}"), &gradients[2], tenth() * rows),
    );
}
