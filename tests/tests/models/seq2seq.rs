//! Encoder–decoders end to end: a translation has the probability that training gives it, searches agree with each
//! other, sentences do not see each other, a reversal is learned with the attention in the right place, and mistakes
//! are errors.

use seqloom::Error;
use seqloom::graph::{Arena, GraphError, HostData};
use seqloom::nn::{NnError, SentenceFault, Side};
use seqloom::prelude::custom::*;
use seqloom_tests::device::shared;

const VOCAB: TranslationVocab = TranslationVocab { source: 9, target: 8, bos: 1, eos: 2 };

const CONFIG: Seq2SeqConfig = Seq2SeqConfig {
    vocab: VOCAB,
    embed: 6,
    hidden: 10,
    layers: 2,
    bidirectional: true,
    dropout: 0.0,
    attention: None,
    max_source: 12,
};

const SOURCES: [&[u32]; 4] = [&[3, 1, 4], &[5], &[8, 2, 6, 5, 3, 5, 0, 7, 7], &[1, 1]];

/// Weights three times their initial size and an end that comes soon, so that an untrained model has preferences.
fn opinionated(store: &ParamStore) {
    for (i, values) in store.read(Arena::Params).unwrap().into_iter().enumerate() {
        let factor = if store.specs()[i].name.contains("norm") { 1.0 } else { 3.0 };
        let mut values: Vec<_> = values.into_iter().map(|v| v * factor).collect();
        match store.specs()[i].name.as_str() {
            "decoder.head.bias" => values[VOCAB.eos as usize] = 2.0,
            // Features behind a normalisation are larger.
            "head.bias" => values[VOCAB.eos as usize] = 3.0,
            _ => {}
        }
        store.write(Arena::Params, i, &values).unwrap();
    }
}

/// Beam search of every kind of model: the log-probability it reports for what it wrote is the loss of training on that; a
/// sentence alone has the translation that it has among others; width 1 is greedy.
fn translations_have_the_probability_that_training_gives<L: Recurrent + Clone>(config: Seq2SeqConfig) {
    let mut params = Params::seeded(11);
    let model = Seq2Seq::<L>::new(&mut params, config);
    let mut trainer =
        Trainer::new(&shared(), params, AdamW::default(), |g, b: &TranslationBatch| model.loss(g, b))
            .unwrap();
    opinionated(trainer.store());
    let mut translator = model.translator(&trainer);
    let evaluate = |batch: &TranslationBatch| f64::from(trainer.evaluate(batch).unwrap());
    translate_as_trained(&mut translator, config.attention.is_some(), evaluate);
}

/// The same of a Transformer, whose steps attend to a cache.
fn a_transformer_translates_as_it_was_trained(change: impl FnOnce(&mut TransformerConfig)) {
    let mut config = TransformerConfig {
        vocab: VOCAB,
        block: BlockConfig { feed_forward: 24, ..BlockConfig::new(12, 3) },
        encoder_layers: 2,
        decoder_layers: 2,
        max_source: 12,
        max_target: 10,
        positions: AbsolutePositions::Sinusoidal(SinusoidLayout::Interleaved),
        tied: false,
        label_smoothing: 0.0,
    };
    change(&mut config);
    let mut params = Params::seeded(11);
    let model = Transformer::new(&mut params, config);
    let mut trainer =
        Trainer::new(&shared(), params, AdamW::default(), |g, b: &TranslationBatch| model.loss(g, b))
            .unwrap();
    opinionated(trainer.store());
    let mut translator = model.translator(&trainer);
    let evaluate = |batch: &TranslationBatch| f64::from(trainer.evaluate(batch).unwrap());
    translate_as_trained(&mut translator, true, evaluate);
    // Ten steps: the start, and nine tokens that are read.
    let longer = translator.greedy(&SOURCES, 10);
    assert!(matches!(longer, Err(NnError::TargetTooLong { asked: 10, most: 9 })), "{longer:?}");
}

fn translate_as_trained<M: EncoderDecoder>(
    translator: &mut Translator<M>,
    attends: bool,
    mut evaluate: impl FnMut(&TranslationBatch) -> f64,
) {
    let found = translator.beam(&SOURCES, 3, 0.7, 9).unwrap();
    assert!(
        found.iter().all(|f| f.len() == 3 && f.windows(2).all(|w| !w[1].ended || w[0].score >= w[1].score))
    );
    for (source, translation) in SOURCES.iter().zip(&found).flat_map(|(s, f)| f.iter().map(move |t| (s, t))) {
        let steps = translation.tokens.len() + usize::from(translation.ended);
        if translation.ended {
            let batch = TranslationBatch::new(&[source], &[&translation.tokens], VOCAB).unwrap();
            let loss = evaluate(&batch);
            // Two programs round up to ten logarithms of some units each.
            assert!((loss * steps as f64 + translation.log_prob).abs() < 1e-4, "{loss} {translation:?}");
            let penalty = ((5.0 + steps as f64) / 6.0).powf(0.7);
            assert!((translation.score - translation.log_prob / penalty).abs() < 1e-12);
        }
        match &translation.attention {
            None => assert!(!attends),
            Some(map) => {
                assert_eq!(map.shape()[..], [steps, source.len()]);
                let HostData::F32(map) = map.data() else { panic!("weights are f32") };
                let sums = map.chunks(source.len()).map(|row| row.iter().sum::<f32>());
                assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{map:?}");
            }
        }
    }
    assert!(found.iter().flatten().any(|t| t.ended && !t.tokens.is_empty()), "a test of nothing: {found:?}");
    let greedy = translator.greedy(&SOURCES, 9).unwrap();
    let narrow = translator.beam(&SOURCES, 1, 0.7, 9).unwrap();
    for (row, source) in SOURCES.iter().enumerate() {
        assert_eq!(greedy[row].tokens, narrow[row][0].tokens);
        let alone = &translator.beam(&[source], 3, 0.7, 9).unwrap()[0];
        for (alone, among) in alone.iter().zip(&found[row]) {
            assert_eq!((&alone.tokens, alone.ended), (&among.tokens, among.ended));
            assert!((alone.log_prob - among.log_prob).abs() < 1e-4);
        }
    }
    // Four sentences wide and narrow (greedy is narrow), and sentences of up to 8 and up to 12 tokens alone.
    assert_eq!(translator.shapes(), 4);
    // Sorted by length and cut by three, the second batch filled up: the same translations at their own places.
    let by_rows = translator.beam_by_rows(&SOURCES, 3, 3, 0.7, 9).unwrap();
    let ids = |found: &[Vec<Translation>]| -> Vec<Vec<Vec<u32>>> {
        found.iter().map(|f| f.iter().map(|t| t.tokens.clone()).collect()).collect()
    };
    assert_eq!(ids(&by_rows), ids(&found));
    assert_eq!(translator.shapes(), 6);
}

#[test]
fn lstm_without_attention() {
    translations_have_the_probability_that_training_gives::<Lstm>(CONFIG);
}

#[test]
fn gru_with_attention_after_the_cell() {
    let attention = Some((Score::General, Wiring::Luong));
    translations_have_the_probability_that_training_gives::<Gru>(Seq2SeqConfig { attention, ..CONFIG });
}

#[test]
fn lstm_with_input_feeding() {
    let attention = Some((Score::Dot, Wiring::InputFeeding));
    let config = Seq2SeqConfig { attention, bidirectional: false, ..CONFIG };
    translations_have_the_probability_that_training_gives::<Lstm>(config);
}

#[test]
fn gru_with_attention_before_the_cell() {
    let attention = Some((Score::Additive(5), Wiring::Bahdanau));
    translations_have_the_probability_that_training_gives::<Gru>(Seq2SeqConfig { attention, ..CONFIG });
}

#[test]
fn transformers_with_the_norm_before_and_behind() {
    a_transformer_translates_as_it_was_trained(|config| config.block.norm_place = NormPlace::Pre);
    a_transformer_translates_as_it_was_trained(|config| config.block.norm_place = NormPlace::Post);
}

#[test]
fn transformers_with_other_positions() {
    a_transformer_translates_as_it_was_trained(|config| config.positions = AbsolutePositions::Learned);
    a_transformer_translates_as_it_was_trained(|config| {
        config.block.relative = RelativePositions::Rotary(Rotary::default());
        config.block.key_heads = Some(1);
    });
}

/// Sentences of one to five words, and their reversal.
fn pairs(seed: u32, count: usize) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    let mut state = seed;
    let mut next = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let sources: Vec<Vec<u32>> =
        (0..count).map(|_| (0..1 + next(5)).map(|_| 3 + next(5)).collect()).collect();
    let targets = sources.iter().map(|s| s.iter().rev().copied().collect()).collect();
    (sources, targets)
}

#[test]
fn a_reversal_is_learned_and_the_attention_follows_it() {
    let config = Seq2SeqConfig {
        embed: 16,
        hidden: 32,
        layers: 1,
        attention: Some((Score::Additive(16), Wiring::Bahdanau)),
        ..CONFIG
    };
    let mut params = Params::seeded(3);
    let model = GruSeq2Seq::new(&mut params, config);
    let adam = AdamW { lr: 1e-2, weight_decay: 0.0, clip_norm: Some(1.0), ..AdamW::default() };
    let mut trainer =
        Trainer::new(&shared(), params, adam, |g, b: &TranslationBatch| model.loss(g, b)).unwrap();
    for step in 0..250 {
        let (sources, targets) = pairs(1000 + step, 32);
        trainer.step(&TranslationBatch::padded(&sources, &targets, VOCAB, 5, 6).unwrap()).unwrap();
    }
    let (sources, targets) = pairs(7, 40);
    let held_out = TranslationBatch::padded(&sources, &targets, VOCAB, 5, 6).unwrap();
    let loss = trainer.evaluate(&held_out).unwrap();
    let found = model.translator(&trainer).greedy(&sources, 8).unwrap();
    let exact = found.iter().zip(&targets).filter(|(f, t)| f.tokens == **t && f.ended).count();
    println!("held-out loss {loss}, {exact} of 40 exact");
    assert!(exact >= 38, "{exact} of 40, loss {loss}");
    // Word t of the target is word n − 1 − t of the source, and that is where most of the attention lies.
    let (mut right, mut all) = (0, 0);
    for (translation, source) in found.iter().zip(&sources) {
        let HostData::F32(map) = translation.attention.as_ref().unwrap().data() else { panic!("f32") };
        for (t, row) in map.chunks(source.len()).take(source.len()).enumerate() {
            let most = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            (right, all) = (right + usize::from(most == source.len() - 1 - t), all + 1);
        }
    }
    println!("attention: {right} of {all} where they belong");
    assert!(right * 10 >= all * 8, "{right} of {all}");
    // Reading its own words is trained as well, and every choice of them by one program.
    for step in 0..5 {
        let (sources, targets) = pairs(5000 + step, 32);
        let batch = TranslationBatch::padded(&sources, &targets, VOCAB, 5, 6).unwrap();
        trainer.step(&batch.with_teacher_forcing(0.5, u64::from(step)).unwrap()).unwrap();
        assert!(trainer.loss().unwrap() < 1.0);
    }
}

#[test]
fn what_cannot_be_translated_is_named() {
    let mut params = Params::seeded(1);
    let model = LstmSeq2Seq::new(&mut params, CONFIG);
    let store = ParamStore::new(&shared(), params, StoreKind::Inference).unwrap();
    let mut translator = model.translator(&store);
    let mut fault = |source: &[u32]| match translator.greedy(&[&[3], source], 5) {
        Err(NnError::Sentence { side: Side::Source, row: 1, fault }) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(&[]), SentenceFault::Empty);
    assert_eq!(fault(&[3; 13]), SentenceFault::TooLong { steps: 13, room: 12 });
    assert_eq!(fault(&[3, 9]), SentenceFault::UnknownId { id: 9, position: 1, size: 9 });
    assert!(matches!(translator.beam(&[[3]], 0, 0.0, 5), Err(NnError::BeamWidth { width: 0, .. })));
    assert!(matches!(translator.beam(&[[3]], 2, -1.0, 5), Err(NnError::LengthPenalty { .. })));
    assert!(translator.beam::<&[u32]>(&[], 2, 0.0, 5).unwrap().is_empty());
    assert!(translator.beam_by_rows::<&[u32]>(&[], 4, 2, 0.0, 5).unwrap().is_empty());
    assert!(matches!(translator.beam_by_rows(&[[3]], 0, 2, 0.0, 5), Err(NnError::Batch { .. })));
    let unsorted: [&[u32]; 2] = [&[3, 3], &[9]];
    let named = translator.beam_by_rows(&unsorted, 1, 2, 0.0, 5);
    assert!(matches!(named, Err(NnError::Sentence { row: 1, .. })), "{named:?}");
    assert_eq!(translator.shapes(), 0, "nothing was compiled for what was refused");
    for (i, spec) in store.specs().iter().enumerate() {
        store.write(Arena::Params, i, &vec![f32::NAN; spec.shape.elements()]).unwrap();
    }
    assert!(matches!(translator.greedy(&[[3]], 5), Err(NnError::NotFinite { .. })));
}

#[test]
fn a_banned_token_is_never_written() {
    let mut params = Params::seeded(11);
    let model = LstmSeq2Seq::new(&mut params, CONFIG);
    let store = ParamStore::new(&shared(), params, StoreKind::Training).unwrap();
    opinionated(&store);
    let head = store.specs().iter().position(|spec| spec.name == "decoder.head.bias").unwrap();
    let ban = |ids: &[u32]| {
        let mut bias = store.read(Arena::Params).unwrap().swap_remove(head);
        ids.iter().for_each(|&id| bias[id as usize] = f32::NEG_INFINITY);
        store.write(Arena::Params, head, &bias).unwrap();
    };
    let mut translator = model.translator(&store);
    let written = |found: &[Vec<Translation>]| -> Vec<u32> {
        found.iter().flatten().flat_map(|translation| translation.tokens.clone()).collect()
    };
    let before = translator.beam(&SOURCES, 3, 0.7, 9).unwrap();
    let banned = written(&before)[0];
    ban(&[banned]);
    for width in [1, 3] {
        let found = translator.beam(&SOURCES, width, 0.7, 9).unwrap();
        assert!(found.iter().all(|found| found.len() == width));
        assert!(!written(&found).contains(&banned));
        assert!(found.iter().flatten().all(|translation| translation.log_prob.is_finite()));
    }
    // With the end banned too, nothing ends.
    ban(&[VOCAB.eos]);
    assert!(translator.greedy(&SOURCES, 9).unwrap().iter().all(|t| t.tokens.len() == 9 && !t.ended));
    ban(&(0..VOCAB.target as u32).collect::<Vec<_>>());
    let error = translator.greedy(&SOURCES, 9).unwrap_err();
    assert!(matches!(error, NnError::NotFinite { .. } | NnError::NoneAllowed { row: 0 }), "{error}");
}

#[test]
fn what_cannot_be_trained_on_is_named() {
    let mut params = Params::seeded(1);
    let model = LstmSeq2Seq::new(&mut params, Seq2SeqConfig { max_source: 3, ..CONFIG });
    let mut trainer =
        Trainer::new(&shared(), params, AdamW::default(), |g, b: &TranslationBatch| model.loss(g, b))
            .unwrap();
    let mut refused = |batch: TranslationBatch| match trainer.step(&batch) {
        Err(Error::Graph(error @ GraphError::Shape { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let long = refused(TranslationBatch::new(&[[3; 4]], &[[3]], VOCAB).unwrap());
    assert!(long.contains("3 steps at most"), "{long}");
    let other = TranslationVocab { target: 9, ..VOCAB };
    let foreign = refused(TranslationBatch::new(&[[3]], &[[3]], other).unwrap());
    assert!(foreign.contains("target: 9") && foreign.contains("target: 8"), "{foreign}");
    let empty = TranslationBatch::new(&[vec![3], vec![]], &[[3], [3]], VOCAB).unwrap_err();
    assert!(matches!(empty, NnError::Sentence { row: 1, fault: SentenceFault::Empty, .. }), "{empty}");
}

#[test]
fn a_state_of_another_shape_and_a_dot_of_two_widths_are_errors() {
    let mut params = Params::seeded(1);
    let attention = Some((Score::Dot, Wiring::Luong));
    let model = GruSeq2Seq::new(&mut params, Seq2SeqConfig { attention, ..CONFIG });
    let g = Graph::inference(&params);
    let _ = model.encode(g.ids("sources", &[2, 5], 9), None);
    g.check().unwrap();
    // Outputs of both directions are twice as wide as the queries.
    let encoded = model.encode(g.ids("sources", &[2, 5], 9), None);
    let token = model.embed(g.ids("token", &[2], 8));
    let _ = model.step(token, &encoded.state, encoded.memory.as_ref());
    assert!(g.check().unwrap_err().to_string().contains("10 and 20"));

    let mut params = Params::seeded(1);
    let model = GruSeq2Seq::new(&mut params, CONFIG);
    let g = Graph::inference(&params);
    let mut state = model.encode(g.ids("sources", &[2, 5], 9), None).state;
    state.recurrent = vec![g.input("h", &[2, 3, 10], DType::F32)];
    let _ = model.step(model.embed(g.ids("token", &[2], 8)), &state, None);
    let error = g.check().unwrap_err().to_string();
    assert!(error.contains("[2, 2, 10]") && error.contains("[2, 3, 10]"), "{error}");
}

/// What was dropped is compiled again, and finds the same.
#[test]
fn a_translator_keeps_no_more_shapes_than_it_may() {
    let mut params = Params::seeded(11);
    let model = Seq2Seq::<Gru>::new(&mut params, CONFIG);
    let store = ParamStore::new(&shared(), params, StoreKind::Inference).unwrap();
    opinionated(&store);
    let told = |translator: &mut Translator<Seq2Seq<Gru>>| {
        let mut found = Vec::new();
        for _ in 0..2 {
            for rows in 1..=4 {
                found.extend(translator.beam(&SOURCES[..rows], 2, 0.7, 6).unwrap());
            }
        }
        (found, translator.memory())
    };
    let (mut few, mut many) = (model.translator(&store).with_shapes(2), model.translator(&store));
    let ((found, small), (wanted, large)) = (told(&mut few), told(&mut many));
    assert_eq!(found, wanted);
    assert_eq!((small.shapes.held, small.shapes.most, small.shapes.dropped), (2, 2, 6));
    assert_eq!((large.shapes.held, large.shapes.most, large.shapes.dropped), (4, 16, 0));
    assert!(small.states < large.states && small.programs < large.programs, "{small:?} {large:?}");
    assert_eq!(small.total, small.states + small.programs);
}
