//! Every operation that has no file of its family here against PyTorch: outputs, and the gradients of a weighted sum of them.
//!
//! The cases are those of `golden/operations.py`; [`apply`] is the same table in Rust, with the same constants.

use seqloom_graph::{Activation, AttentionOptions, CrossEntropyOptions, Following, Lengths, Start, Tensor};
use seqloom_kernels::recurrent::Cell;
use seqloom_tests::{golden_operations, layer};

/// The operation of a case. PyTorch's dimension arguments stand in the order of this project's.
fn apply<'g>(case: &str, x: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let one = match case {
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
        "permute" => x[0].permute(&[1, 2, 0]),
        "permute_patches" => x[0].permute(&[0, 1, 3, 2, 4, 5]),
        "permute_around" => x[0].permute(&[5, 4, 3, 2, 1, 0]),
        "slice" => x[0].slice(1, 1, 2),
        "slice_last" => x[0].slice(-1, 2, 3),
        "slice_step" => x[0].slice_step(1, 0, 2, 2),
        "slice_step_last" => x[0].slice_step(-1, 1, 2, 3),
        "slice_step_back" => x[0].slice_step(1, 3, 2, -3),
        "flip" => x[0].flip(&[1]),
        "flip_two" => x[0].flip(&[0, 2]),
        "windows" => x[0].windows(1, 3, 1, 1),
        "windows_step" => x[0].windows(1, 4, 2, 1),
        "windows_apart" => x[0].windows(-1, 2, 4, 1),
        "windows_dilated" => x[0].windows(1, 3, 1, 2),
        "pad" => x[0].pad(1, 1, 2),
        "pad_last" => x[0].pad(-1, 2, 1),
        "pad_with" => x[0].pad_with(1, 1, 2, -1.5),
        "pad_with_last" => x[0].pad_with(-1, 2, 1, 3.5),
        "tile" => x[0].tile(&[2, 3]),
        "tile_repeat" => x[0].tile(&[4, 2, 1]),
        "concat" | "concat_last" | "concat_many" => Tensor::concat(x[0], &x[1..], 1),
        "concat_four" => Tensor::concat(x[0], &x[1..], 2),
        "concat_slices" => {
            Tensor::concat(x[0].slice(1, 0, 3), &[x[0].slice(1, 1, 3), x[0].slice(1, 2, 3)], 2)
        }
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

golden_operations! {
    "operations", apply:
    matmul matmul_t t_matmul sum mean max reshape transpose permute slice slice_step flip windows pad pad_with tile concat broadcast_to softmax
    log_softmax layer_norm rms_norm cross_entropy gather_rows pack append unpack dropout rnn lstm gru attention attention_weights
}
