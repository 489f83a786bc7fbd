//! The recurrent encoder–decoder against PyTorch, which runs each sentence separately: the loss of a ragged batch and
//! the gradient of every parameter, for both cells, one and two layers and directions, every score and wiring, and a
//! decoder that reads its own words.

use seqloom_graph::{HostTensor, Params};
use seqloom_nn::{
    Batch, Gru, Lstm, Model, Recurrent, Score, Seq2Seq, Seq2SeqConfig, TranslationBatch, TranslationVocab,
    Wiring,
};
use seqloom_tests::compare::Tolerance;
use seqloom_tests::golden::Golden;
use seqloom_tests::golden_model::{Recorded, assert_golden};

/// The golden values are exact to a float32. Some fifteen dependent cells and as many attentions round to 6e-8 each, sums of
/// some tens of terms among them, and tanh, sigmoid and exp come from a driver that may be off by some units in the last
/// place.
const TOLERANCE: Tolerance = Tolerance { abs: 2e-6, rel: 5e-5 };

const VOCAB: TranslationVocab = TranslationVocab { source: 9, target: 8, bos: 1, eos: 2 };

fn matches_torch<L: Recurrent>(
    case: &str,
    layers: usize,
    bidirectional: bool,
    attention: Option<(Score, Wiring)>,
) {
    let golden = Golden::load("seq2seq");
    let sentences = |side: &str| -> Vec<Vec<u32>> {
        let time = golden.tensor(&format!("{case}.{side}s")).shape()[1];
        let rows = golden.ids(&format!("{case}.{side}s")).chunks(time);
        let lengths = golden.ids(&format!("{case}.{side}_lengths"));
        rows.zip(lengths).map(|(row, &length)| row[..length as usize].to_vec()).collect()
    };
    let teacher = golden.tensor(&format!("{case}.teacher"));
    let sampled = golden.floats(&format!("{case}.teacher")).contains(&0.0);
    let mut batch = TranslationBatch::new(&sentences("source"), &sentences("target"), VOCAB).unwrap();
    if sampled {
        batch = batch.with_teacher_forcing(0.5, 1).unwrap();
    }
    let mut params = Params::seeded(0);
    let config = Seq2SeqConfig {
        vocab: VOCAB,
        embed: 5,
        hidden: 6,
        layers,
        bidirectional,
        dropout: 0.0,
        attention,
        max_source: 5,
    };
    let model = Seq2Seq::<L>::new(&mut params, config);
    // The case's own choice of what is given, in place of the batch's random one.
    let inputs: Vec<(&str, &HostTensor)> = batch
        .tensors()
        .into_iter()
        .map(|(name, tensor)| (name, if name == "teacher" { teacher } else { tensor }))
        .collect();
    assert_golden(&golden, case, params, &inputs, TOLERANCE, |g| Recorded {
        loss: model.loss(g, &batch),
        outputs: Vec::new(),
    });
}

#[test]
fn gru_with_additive_attention_before_the_cell() {
    matches_torch::<Gru>("gru_bahdanau", 1, true, Some((Score::Additive(7), Wiring::Bahdanau)));
}

#[test]
fn lstm_with_general_attention_and_input_feeding() {
    matches_torch::<Lstm>("lstm_feeding", 2, false, Some((Score::General, Wiring::InputFeeding)));
}

#[test]
fn lstm_without_attention() {
    matches_torch::<Lstm>("lstm_plain", 2, true, None);
}

#[test]
fn gru_with_dot_attention_after_the_cell() {
    matches_torch::<Gru>("gru_luong", 1, false, Some((Score::Dot, Wiring::Luong)));
}

#[test]
fn gru_that_reads_its_own_words() {
    matches_torch::<Gru>("gru_sampled", 2, true, Some((Score::Additive(7), Wiring::Luong)));
}
