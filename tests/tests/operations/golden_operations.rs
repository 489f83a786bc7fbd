//! Every operation against PyTorch: outputs, and the gradients of a weighted sum of them.
//!
//! The cases are those of `golden/operations.py`; [`apply`] is the same table in Rust, with the same constants.

use seqloom_graph::{
    Activation, AttentionOptions, CrossEntropyOptions, Following, Lengths, OPERATIONS, Start, Tensor,
};
use seqloom_kernels::recurrent::Cell;
use seqloom_tests::case::{Case, Recorded, weighted_sum};
use seqloom_tests::compare::{Tolerance, compare};
use seqloom_tests::device;
use seqloom_tests::golden::{Golden, operation_cases};
use seqloom_tests::layer;

/// The golden values are exact to a float32; what is left is this program's rounding. WGSL lets exp, ln and tanh be wrong
/// by some units in the last place that grow with the argument, and a sum of n terms by about √n·6e-8 of its terms, which
/// is absolute where they cancel.
const TOLERANCE: Tolerance = Tolerance { abs: 5e-6, rel: 2e-5 };

/// The operation of a case. PyTorch's dimension arguments stand in the order of this project's.
fn apply<'g>(case: &str, x: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let one = match case {
        "add" | "add_row" | "add_column" => x[0] + x[1],
        "add_scalar" => x[0] + 1.5,
        "sub" | "sub_row" => x[0] - x[1],
        "sub_from_scalar" => 1.5 - x[0],
        "mul" | "mul_row" | "mul_column" => x[0] * x[1],
        "mul_scalar" => x[0] * -2.5,
        "div" | "div_row" => x[0] / x[1],
        "div_of_scalar" => 1.5 / x[0],
        "neg" => -x[0],
        "exp" => x[0].exp(),
        "ln" => x[0].ln(),
        "sqrt" => x[0].sqrt(),
        "tanh" | "tanh_extreme" => x[0].tanh(),
        "sigmoid" | "sigmoid_extreme" => x[0].sigmoid(),
        "relu" => x[0].relu(),
        "gelu" | "gelu_extreme" => x[0].gelu(),
        "gelu_tanh" | "gelu_tanh_extreme" => x[0].gelu_tanh(),
        "swiglu" => x[0].swiglu(x[1]),
        "silu" | "silu_extreme" => x[0].silu(),
        "square" => x[0].square(),
        "abs" => x[0].abs(),
        "maximum" | "maximum_row" => x[0].maximum(x[1]),
        "minimum" | "minimum_row" => x[0].minimum(x[1]),
        "matmul" | "matmul_batched" | "matmul_ragged" | "matmul_shared" => x[0].matmul(x[1]),
        "matmul_t" | "matmul_t_batched" | "matmul_t_ragged" | "matmul_t_shared" => x[0].matmul_t(x[1]),
        "t_matmul" | "t_matmul_batched" | "t_matmul_ragged" => x[0].t_matmul(x[1]),
        "sum_axis0" => x[0].sum(0),
        "sum_axis1" | "sum_long" => x[0].sum(1),
        "sum_axis2" => x[0].sum(2),
        "sum_all" => x[0].sum_all(),
        "mean_axis0" => x[0].mean(0),
        "mean_axis1" => x[0].mean(1),
        "mean_axis2" => x[0].mean(2),
        "mean_all" => x[0].mean_all(),
        "max_axis0" => x[0].max(0),
        "max_axis1" => x[0].max(1),
        "max_axis2" => x[0].max(2),
        "reshape" => x[0].reshape(&[6, 10]),
        "transpose" => x[0].transpose(0, 2),
        "transpose_inner" => x[0].transpose(1, 2),
        "slice" => x[0].slice(1, 1, 2),
        "slice_last" => x[0].slice(-1, 2, 3),
        "pad" => x[0].pad(1, 1, 2),
        "pad_last" => x[0].pad(-1, 2, 1),
        "concat" | "concat_last" => Tensor::concat(x[0], &x[1..], 1),
        "broadcast_to" | "broadcast_to_middle" => x[0].broadcast_to(&[2, 3, 4]),
        "softmax" | "softmax_large" | "softmax_wide" => x[0].softmax(),
        "log_softmax" | "log_softmax_large" | "log_softmax_wide" => x[0].log_softmax(),
        "layer_norm" => x[0].layer_norm(Some(x[1]), Some(x[2]), 1e-5),
        "layer_norm_plain" => x[0].layer_norm(None, None, 1e-5),
        "rms_norm" => x[0].rms_norm(Some(x[1]), 1e-6),
        "rms_norm_plain" => x[0].rms_norm(None, 1e-6),
        "cross_entropy" | "cross_entropy_large" => x[0].cross_entropy(x[1], None),
        "cross_entropy_ignore" => x[0].cross_entropy(x[1], Some(2)),
        "cross_entropy_smoothed" => x[0].cross_entropy(x[1], smoothed(None)),
        "cross_entropy_smoothed_ignore" => x[0].cross_entropy(x[1], smoothed(Some(2))),
        "gather_rows" => x[0].gather_rows(x[1]),
        "append" => x[0].append(x[1], Following::of(x[2], 2)),
        "dropout" => x[0].dropout(0.0),
        "pack" => Lengths::of(x[1], 5).pack(x[0]),
        "unpack" => Lengths::of(x[1], 5).unpack(x[0]),
        case if ["rnn", "lstm", "gru"].iter().any(|cell| case.starts_with(cell)) => {
            return recurrent(case, x);
        }
        case if case.starts_with("attention") => attend(case, x),
        other => panic!("golden/operations.json has the case {other}, this table has not"),
    };
    vec![one]
}

/// Targets that give a tenth of their weight to all classes.
fn smoothed(ignore_index: Option<u32>) -> CrossEntropyOptions {
    CrossEntropyOptions { ignore_index, label_smoothing: 0.1 }
}

/// One direction of a recurrent layer: `<layer>[_ragged][_reverse]`, or `<layer>_batch_of_nine`.
fn recurrent<'g>(case: &str, x: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let layers = [
        ("rnn_tanh", Cell::Rnn(Activation::Tanh)),
        ("rnn_relu", Cell::Rnn(Activation::Relu)),
        ("lstm", Cell::Lstm),
        ("gru", Cell::Gru),
    ];
    let found = layers.iter().find_map(|(name, cell)| Some((*cell, case.strip_prefix(name)?)));
    let Some((cell, special)) = found else { panic!("no layer of the case {case}") };
    // Rows without a length of their own need no packing.
    let lengths = (!special.is_empty()).then(|| Lengths::of(x[x.len() - 1], x[0].dim(1)));
    layer::record(cell, x, special.ends_with("_reverse"), lengths)
}

/// `attention_<options>` and `attention_weights_<options>`, which has no values among its operands.
fn attend<'g>(case: &str, x: &[Tensor<'g>]) -> Tensor<'g> {
    let weights = case.strip_prefix("attention_weights");
    let more = |at: usize| x.get(if weights.is_some() { at - 1 } else { at }).copied();
    let base = AttentionOptions::default();
    let options = match weights.or(case.strip_prefix("attention")).unwrap_or_default() {
        "" | "_cross" => base,
        "_causal" | "_grouped" => AttentionOptions { causal: true, ..base },
        "_scaled" => AttentionOptions { scale: Some(0.3), ..base },
        "_offset" => AttentionOptions { causal: true, start: Start::At(7), ..base },
        "_window" => AttentionOptions { window: Some(3), ..base },
        "_lengths" => AttentionOptions { lengths: more(3), ..base },
        "_bias" | "_bias_of_rows" => AttentionOptions { bias: more(3), ..base },
        "_slopes" => AttentionOptions { slopes: more(3), ..base },
        "_relative" => AttentionOptions { relative: more(3), ..base },
        other => panic!("no options {other} of attention"),
    };
    match weights {
        Some(_) => x[0].attention_weights(x[1], options),
        None => x[0].attention(x[1], x[2], options),
    }
}

/// Runs all cases of an operation, with the kernels for this adapter and with those for a GPU, and reports all that differ
/// at once.
fn operation(name: &str) {
    let golden = Golden::load("operations");
    let mut failures = Vec::new();
    for case in &operation_cases()[name] {
        let operands: Vec<_> = golden.numbered(&format!("{case}.in")).into_iter().cloned().collect();
        let weights = golden.numbered(&format!("{case}.weight"));
        for (kind, device) in [("as it is", device::shared()), ("as a GPU", device::shared_as_gpu())] {
            let run = Case::compile(&device, &operands, |g, x| {
                let outputs = apply(case, x);
                Recorded { loss: weighted_sum(g, &outputs, &weights), outputs }
            });
            let _ = run.loss();
            let outputs =
                run.outputs().into_iter().enumerate().map(|(i, values)| (format!("{case}.out{i}"), values));
            let gradients = run
                .gradients()
                .into_iter()
                .enumerate()
                .map(|(i, values)| (format!("{case}.grad{i}"), values));
            for (tensor, got) in outputs.chain(gradients) {
                let name = format!("{tensor}, adapter {kind}");
                failures.extend(compare(&name, &got, golden.floats(&tensor), TOLERANCE).err());
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

macro_rules! golden {
    ($($name:ident)*) => {
        $(#[test] fn $name() { operation(stringify!($name)); })*

        #[test]
        fn every_operation_has_a_golden_case() {
            let here = [$(stringify!($name)),*];
            let cases = operation_cases();
            for operation in OPERATIONS {
                assert!(here.contains(operation), "no golden test of {operation}");
                assert!(cases.get(*operation).is_some_and(|c| !c.is_empty()), "no golden case of {operation}");
            }
            assert_eq!(cases.len(), here.len(), "golden/operations.json has operations that this file has not");
        }
    };
}

golden! {
    add sub mul div neg exp ln sqrt tanh sigmoid relu gelu gelu_tanh silu swiglu square abs maximum minimum matmul matmul_t t_matmul sum mean max reshape transpose slice pad concat broadcast_to softmax log_softmax layer_norm rms_norm cross_entropy gather_rows pack append
    unpack dropout rnn lstm gru attention attention_weights
}
