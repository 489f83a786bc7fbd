//! The language models without recurrent layers against PyTorch: two consecutive ragged windows with the state carried
//! between them, the logits of every true step, the loss and the gradient of every parameter.

use seqloom_graph::{Following, HostTensor, Params};
use seqloom_nn::losses::cross_entropy;
use seqloom_nn::{
    ConvLm, ConvLmConfig, LanguageModel, LatentLm, LatentLmConfig, MarkovLm, Past, Vocab, WindowLm,
    WindowLmConfig,
};
use seqloom_tests::compare::Tolerance;
use seqloom_tests::golden::Golden;
use seqloom_tests::golden_model::{Recorded, assert_golden};

/// The golden values are exact to a float32; this program's sums of at most some twenty terms of size 1 are rounded to 6e-8
/// each, and tanh and exp come from a driver that may be off by some units in the last place.
const TOLERANCE: Tolerance = Tolerance { abs: 2e-6, rel: 2e-5 };

/// Symbols of the golden cases, V.
const VOCAB: usize = 7;

fn matches_torch(case: &str, model: impl Fn(&mut Params) -> Box<dyn LanguageModel>) {
    let golden = Golden::load("language_models");
    let mut params = Params::seeded(0);
    let model = model(&mut params);
    let at = |name: &str, i: usize| golden.tensor(&format!("{case}.{name}{i}"));
    let names: Vec<_> = ["tokens", "targets", "lengths"]
        .iter()
        .flat_map(|name| (0..2).map(move |i| (format!("{name}{i}"), *name, i)))
        .collect();
    let inputs: Vec<(&str, &HostTensor)> =
        names.iter().map(|(input, name, i)| (input.as_str(), at(name, *i))).collect();
    assert_golden(&golden, case, params, &inputs, TOLERANCE, |g| {
        let mut past = None;
        let (mut losses, mut outputs) = (Vec::new(), Vec::new());
        for i in 0..2 {
            let shape = at("tokens", i).shape();
            let (rows, time) = (shape[0], shape[1]);
            let tokens = g.ids(&format!("tokens{i}"), &shape, VOCAB);
            let lengths = g.lengths(&format!("lengths{i}"), rows, time);
            let reading = model.read(tokens, past.as_ref(), Some(lengths));
            let logits = model.logits(reading.features);
            let targets = g.ids(&format!("targets{i}"), &shape, VOCAB + 1);
            losses.push(cross_entropy(logits, targets, Some(VOCAB as u32)));
            // What stands on padded steps has no meaning; the golden file has zeros there.
            let steps = g.literal(&[time], (0..time).map(|t| t as f32).collect());
            let valid = steps.less(lengths.tensor().to_f32().reshape(&[rows, 1])).reshape(&[rows, time, 1]);
            outputs.push((format!("logits{i}"), logits * valid));
            // How far rows have come is nothing to models without positions.
            let steps = Following::of(g.literal_u32(&[rows], vec![0; rows]), time);
            past = Some(Past { state: reading.state, steps });
        }
        Recorded { loss: losses[0] + losses[1], outputs }
    });
}

#[test]
fn a_markov_chain() {
    matches_torch("markov", |params| Box::new(MarkovLm::new(params, Vocab::ids(VOCAB))));
}

#[test]
fn a_window_of_one_symbol() {
    matches_torch("window1", |params| Box::new(window(params, 1)));
}

#[test]
fn a_window_of_four_symbols() {
    matches_torch("window4", |params| Box::new(window(params, 4)));
}

#[test]
fn a_latent_state() {
    let config = LatentLmConfig { vocab: Vocab::ids(VOCAB), state: 5, hidden: 4 };
    matches_torch("latent", |params| Box::new(LatentLm::new(params, config.clone())));
}

#[test]
fn stacked_convolutions() {
    matches_torch("conv", |params| Box::new(convolutions(params, 3, 2, 1)));
}

#[test]
fn stacked_convolutions_with_dilations_that_double() {
    matches_torch("conv_dilated", |params| Box::new(convolutions(params, 2, 3, 2)));
}

fn convolutions(params: &mut Params, kernel: usize, layers: usize, growth: usize) -> ConvLm {
    ConvLm::new(params, ConvLmConfig { vocab: Vocab::ids(VOCAB), channels: 3, kernel, layers, growth })
}

fn window(params: &mut Params, order: usize) -> WindowLm {
    WindowLm::new(params, WindowLmConfig { vocab: Vocab::ids(VOCAB), order, embed: 3, hidden: 4 })
}
