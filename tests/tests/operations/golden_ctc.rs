//! Connectionist temporal classification against PyTorch: losses of each sequence, and the gradients of a weighted sum of them.
//!
//! The cases are those of `golden/ctc.py`; [`apply`] is the same table in Rust, with the same constants.

use seqloom_graph::{CtcOptions, Tensor};
use seqloom_tests::golden_operations;

/// The operation of a case.
fn apply<'g>(case: &str, x: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let options = match case {
        "ctc_last_blank" => CtcOptions { blank: 4, ..CtcOptions::default() },
        "ctc_zero_infinity" => CtcOptions { zero_infinity: true, ..CtcOptions::default() },
        _ => CtcOptions::default(),
    };
    vec![x[0].log_softmax().ctc(x[1], x[2], x[3], options)]
}

golden_operations! {
    "ctc", apply:
    ctc
}
