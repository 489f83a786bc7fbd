//! Convolution along time against `torch.nn.Conv1d`, with each padding and dilation, and the window tagger over ragged
//! rows: results and all gradients. Gradients are also checked by finite differences in the middle of a graph.

use seqloom_graph::{Init, Params};
use seqloom_nn::{Conv1d, Conv1dConfig, Padding, WindowTagger, WindowTaggerConfig, conv1d};
use seqloom_tests::case::weighted_sum;
use seqloom_tests::compare::Tolerance;
use seqloom_tests::golden::Golden;
use seqloom_tests::golden_model::{Recorded, assert_golden};
use seqloom_tests::mid_graph::{check, wave};

/// The golden values are exact to a float32; this program's sums of at most some thirty terms of size 1 are rounded to 6e-8
/// each, and tanh comes from a driver that may be off by some units in the last place.
const TOLERANCE: Tolerance = Tolerance { abs: 4e-6, rel: 2e-5 };

fn matches_torch(case: &str, padding: Padding, kernel: usize, dilation: usize) {
    let golden = Golden::load("convolution");
    let mut params = Params::seeded(0);
    let x = params.add("x", &golden.tensor(&format!("{case}.x")).shape(), Init::Zeros);
    let config = Conv1dConfig { input: 3, output: 4, kernel, dilation, padding };
    let layer = Conv1d::new(&mut params, "", config);
    assert_golden(&golden, case, params, &[], TOLERANCE, |g| {
        let y = layer.forward(g.param(x));
        let loss = weighted_sum(g, &[y], &[golden.tensor(&format!("{case}.weight_y"))]);
        Recorded { loss, outputs: vec![("y".to_owned(), y)] }
    });
}

#[test]
fn without_padding() {
    matches_torch("valid", Padding::Valid, 3, 1);
    matches_torch("valid_dilated", Padding::Valid, 3, 2);
}

#[test]
fn of_the_same_length() {
    matches_torch("same", Padding::Same, 3, 1);
    matches_torch("same_even", Padding::Same, 4, 1);
    matches_torch("same_dilated", Padding::Same, 2, 3);
    matches_torch("one", Padding::Same, 1, 1);
}

#[test]
fn causal() {
    matches_torch("causal", Padding::Causal, 3, 1);
    matches_torch("causal_dilated", Padding::Causal, 3, 2);
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let operands = [wave(&[2, 5, 3], 0), wave(&[4, 3, 2], 1)];
    for (padding, dilation) in [(Padding::Valid, 1), (Padding::Same, 3), (Padding::Causal, 2)] {
        check(&operands, |x| vec![conv1d(x[0], x[1], dilation, padding)]);
    }
}

#[test]
fn a_tagger_of_ragged_rows() {
    let golden = Golden::load("convolution");
    let mut params = Params::seeded(0);
    let config = WindowTaggerConfig { vocab: 7, labels: 5, radius: 2, embed: 3, hidden: 4 };
    let model = WindowTagger::new(&mut params, config);
    let inputs = ["tokens", "lengths"].map(|name| (name, golden.tensor(&format!("tagger.{name}"))));
    assert_golden(&golden, "tagger", params, &inputs, TOLERANCE, |g| {
        let (tokens, lengths) = (g.ids("tokens", &[3, 6], 7), g.lengths("lengths", 3, 6));
        // What stands on padded steps has no meaning; the golden file has zeros there.
        let y = lengths.unpack(lengths.pack(model.forward(tokens, Some(lengths))));
        let loss = weighted_sum(g, &[y], &[golden.tensor("tagger.weight_y")]);
        Recorded { loss, outputs: vec![("y".to_owned(), y)] }
    });
}
