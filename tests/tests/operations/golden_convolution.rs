//! Convolution along time against `torch.nn.Conv1d`, with each padding, dilation, stride and groups, and the window tagger over
//! ragged rows: results and all gradients. Gradients are also checked by finite differences in the middle of a graph.

use seqloom_graph::{Init, Params};
use seqloom_nn::{Conv1d, Conv1dConfig, Conv1dOptions, Padding, WindowTagger, WindowTaggerConfig, conv1d};
use seqloom_tests::case::weighted_sum;
use seqloom_tests::compare::Tolerance;
use seqloom_tests::golden::Golden;
use seqloom_tests::golden_model::{Recorded, assert_golden};
use seqloom_tests::mid_graph::{check, wave};

/// The golden values are exact to a float32; this program's sums of at most some thirty terms of size 1 are rounded to 6e-8
/// each, and tanh comes from a driver that may be off by some units in the last place.
const TOLERANCE: Tolerance = Tolerance { abs: 4e-6, rel: 2e-5 };

fn matches_torch(case: &str, padding: Padding, kernel: usize, dilation: usize) {
    layer_matches_torch(case, Conv1dConfig { dilation, padding, ..Conv1dConfig::new(3, 4, kernel) });
}

fn layer_matches_torch(case: &str, config: Conv1dConfig) {
    let golden = Golden::load("convolution");
    let mut params = Params::seeded(0);
    let x = params.add("x", &golden.tensor(&format!("{case}.x")).shape(), Init::Zeros);
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
fn strided_and_padded_by_name() {
    let around = |before, after| Padding::Explicit { before, after };
    layer_matches_torch("strided", Conv1dConfig { stride: 2, ..Conv1dConfig::new(3, 4, 3) });
    let padding = around(1, 2);
    let config = Conv1dConfig { stride: 3, dilation: 2, padding, ..Conv1dConfig::new(3, 4, 4) };
    layer_matches_torch("strided_padded", config);
    let padding = Padding::Causal;
    let config = Conv1dConfig { stride: 2, dilation: 2, padding, ..Conv1dConfig::new(3, 4, 3) };
    layer_matches_torch("strided_causal", config);
    let config = Conv1dConfig { bias: false, padding: around(2, 2), ..Conv1dConfig::new(3, 4, 3) };
    layer_matches_torch("without_bias", config);
}

#[test]
fn in_groups() {
    let around = |before, after| Padding::Explicit { before, after };
    let config = Conv1dConfig { groups: 2, padding: around(1, 1), ..Conv1dConfig::new(6, 4, 3) };
    layer_matches_torch("grouped", config);
    let config =
        Conv1dConfig { stride: 2, dilation: 3, groups: 3, bias: false, ..Conv1dConfig::new(6, 9, 2) };
    layer_matches_torch("grouped_strided", config);
    let config = Conv1dConfig { groups: 5, padding: around(1, 1), ..Conv1dConfig::new(5, 5, 3) };
    layer_matches_torch("depthwise", config);
    let padding = around(3, 0);
    let config = Conv1dConfig { stride: 2, dilation: 2, groups: 4, padding, ..Conv1dConfig::new(4, 4, 4) };
    layer_matches_torch("depthwise_strided", config);
    let config = Conv1dConfig { groups: 4, padding: around(2, 0), ..Conv1dConfig::new(4, 8, 3) };
    layer_matches_torch("depthwise_multiplied", config);
    let config = Conv1dConfig { stride: 2, groups: 4, padding: around(4, 4), ..Conv1dConfig::new(4, 4, 9) };
    layer_matches_torch("depthwise_long", config);
    let config = Conv1dConfig { groups: 2, padding: around(3, 2), ..Conv1dConfig::new(2, 6, 9) };
    layer_matches_torch("depthwise_long_multiplied", config);
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let operands = [wave(&[2, 5, 3], 0), wave(&[4, 3, 2], 1)];
    for (padding, dilation) in [(Padding::Valid, 1), (Padding::Same, 3), (Padding::Causal, 2)] {
        let options = Conv1dOptions { padding, dilation, ..Conv1dOptions::default() };
        check(&operands, |x| vec![conv1d(x[0], x[1], options)]);
    }
    let around = Padding::Explicit { before: 2, after: 1 };
    let strided = Conv1dOptions { stride: 2, dilation: 2, groups: 1, padding: around };
    check(&operands, |x| vec![conv1d(x[0], x[1], strided)]);
    let operands = [wave(&[2, 6, 4], 0), wave(&[6, 2, 3], 1)];
    check(&operands, |x| vec![conv1d(x[0], x[1], Conv1dOptions { groups: 2, ..strided })]);
    for (output, kernel) in [(4, 3), (8, 3), (4, 9)] {
        let operands = [wave(&[2, 17, 4], 0), wave(&[output, 1, kernel], 1)];
        check(&operands, |x| vec![conv1d(x[0], x[1], Conv1dOptions { groups: 4, ..strided })]);
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
