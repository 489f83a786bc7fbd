//! A translation from files to scores, as a user would write it: text, codecs, corpora, training, a checkpoint, a fresh
//! process that continues from it, greedy and beam search, BLEU, perplexity, and the attention map.
//!
//! Needs one device. The task is dates in short notations ("Mar 3 '21", "03/14/88", "7.11.2004"): their ISO form is
//! right or wrong, test days do not occur in training, and the position of each field is known.

use std::path::Path;

use seqloom::Error;
use seqloom::graph::HostData;
use seqloom::prelude::custom::*;
use seqloom::train::bleu::Case;
use seqloom::train::dates::{DateSentence, DateSplit, dates};
use seqloom::train::{AttentionMap, CheckpointFault, SkipReason, attention_map};
use seqloom_tests::device::shared;

/// Letters of the longest date.
const LONGEST: usize = 12;
const STEPS: u64 = 240;

/// Dates of a split that are short enough.
fn short(split: DateSplit, count: usize) -> Vec<DateSentence> {
    dates(5, split, 4 * count).into_iter().filter(|d| d.text.len() <= LONGEST).take(count).collect()
}

fn model(vocab: TranslationVocab) -> (GruSeq2Seq, Params) {
    let mut params = Params::seeded(1);
    let attention = Some((Score::General, Wiring::Luong));
    let sizes = Seq2SeqConfig {
        vocab,
        embed: 16,
        hidden: 32,
        layers: 1,
        bidirectional: true,
        dropout: 0.0,
        attention,
        max_source: LONGEST,
    };
    (GruSeq2Seq::new(&mut params, sizes), params)
}

/// A trainer of the model, without naming the closure's type at every use.
fn trainer(
    model: &GruSeq2Seq,
    params: Params,
) -> Trainer<TranslationBatch, impl for<'g> Fn(&'g Graph, &TranslationBatch) -> Tensor<'g> + use<'_>> {
    let adam = AdamW { lr: 1e-2, weight_decay: 0.0, clip_norm: Some(1.0), ..AdamW::default() };
    let schedule = Cosine { warmup: 12, total: STEPS, floor: 0.05 };
    let trainer = Trainer::new(&shared(), params, adam, |g, batch: &TranslationBatch| model.loss(g, batch));
    trainer.unwrap().with_schedule(schedule).unwrap()
}

/// Where the attention of one translation lies while it writes year, month and day: the part on that field's letters.
fn on_its_field(date: &DateSentence, translation: &Translation) -> f64 {
    let HostData::F32(map) = translation.attention.as_ref().unwrap().data() else {
        panic!("weights are f32")
    };
    let fields = [(0..4, &date.year), (5..7, &date.month), (8..10, &date.day)];
    let rows = fields.into_iter().flat_map(|(rows, place)| rows.map(move |row| (row, place.clone())));
    let shares = rows.map(|(row, place)| f64::from(map[row * date.text.len()..][place].iter().sum::<f32>()));
    shares.sum::<f64>() / 8.0
}

#[test]
fn dates_are_learned_from_files_and_translated_by_a_saved_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let write = |path: &Path, lines: &mut dyn Iterator<Item = &str>| {
        std::fs::write(path, lines.flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
    };
    // Two files of lines, one of them too long and one empty.
    let train = short(DateSplit::Train, 8000);
    let extra = [("on the second of the third month", "2021-03-02"), ("3.3.21", "")];
    let sources = train.iter().map(|d| d.text.as_str()).chain(extra.iter().map(|e| e.0));
    let targets = train.iter().map(|d| d.iso.as_str()).chain(extra.iter().map(|e| e.1));
    write(&file("dates"), &mut { sources });
    write(&file("iso"), &mut { targets });
    let text = ParallelText::read(file("dates"), file("iso")).unwrap();

    let letters = WordOptions { unit: Unit::Characters, ..WordOptions::default() };
    let source = TextCodec::words(text.sources(), letters).unwrap();
    let target = TextCodec::words(text.targets(), letters).unwrap();
    source.save(file("source.json")).unwrap();
    target.save(file("target.json")).unwrap();
    let corpus = ParallelCorpus::new(&text, &source, &target, LONGEST).unwrap();
    let skipped: Vec<_> = corpus.skipped().iter().map(|s| (s.line, s.reason)).collect();
    assert_eq!(skipped, [(8001, SkipReason::Long { tokens: 32 }), (8002, SkipReason::Empty)]);

    // Half of the training, saved; the other half by a trainer that knows the files alone.
    let batches = || corpus.batches(64).rounded_to(4).seeded(3).steps(STEPS);
    let (first, params) = model(corpus.vocab());
    let mut training = trainer(&first, params);
    for batch in batches().take(STEPS as usize / 2) {
        training.step(&batch).unwrap();
    }
    training.save(file("half.safetensors")).unwrap();
    drop(training);
    let (source, target) =
        (TextCodec::load(file("source.json")).unwrap(), TextCodec::load(file("target.json")).unwrap());
    let (second, params) = model(source.translating_to(&target));
    let mut training = trainer(&second, params);
    training.load(file("half.safetensors")).unwrap();
    for batch in batches().starting_at(training.step_count()) {
        training.step(&batch).unwrap();
    }
    assert_eq!(training.step_count(), STEPS);

    let held_out = short(DateSplit::HeldOut, 200);
    let text = ParallelText::from_pairs(held_out.iter().map(|d| (&d.text, &d.iso))).unwrap();
    let test = ParallelCorpus::new(&text, &source, &target, LONGEST).unwrap();
    let perplexity = training.evaluate_all(test.batches(64).rounded_to(4).every_pair()).unwrap().exp();
    let mut translator = second.translator(&training);
    let sources: Vec<&[u32]> = test.pairs().iter().map(|(source, _)| source.as_slice()).collect();
    let references: Vec<&str> = text.targets().collect();
    for width in [1, 3] {
        let found = translator.beam_by_rows(&sources, 50, width, 0.6, LONGEST).unwrap();
        assert!(found.iter().all(|f| f.len() == width));
        let best: Vec<&Translation> = found.iter().map(|f| &f[0]).collect();
        let told: Vec<String> = best.iter().map(|t| target.decode(&t.tokens).unwrap()).collect();
        let exact = told.iter().zip(&references).filter(|(told, reference)| told == reference).count();
        let bleu = corpus_bleu(&told, &references, Case::Sensitive).unwrap().score;
        let right = held_out.iter().zip(&best).filter(|(_, t)| t.tokens.len() == 10);
        let shares: Vec<f64> = right.map(|(date, translation)| on_its_field(date, translation)).collect();
        let share = shares.iter().sum::<f64>() / shares.len() as f64;
        println!(
            "beam {width}: {exact} of 200 exact, BLEU {bleu:.1}, perplexity {perplexity:.4}, {share:.3} on its field"
        );
        assert!(exact >= 190, "{exact} of 200 exact");
        assert!((1.0..1.1).contains(&perplexity), "perplexity {perplexity}");
        assert!(bleu > 90.0, "BLEU {bleu}");
        // Evenly spread attention would lie on its field for about a third.
        assert!(share > 0.7, "{share} of the attention on its field");
    }
    let one = translator.greedy(&sources[..1], LONGEST).unwrap().remove(0);
    let HostData::F32(weights) = one.attention.as_ref().unwrap().data() else { panic!("weights are f32") };
    let mut written = target.labels(&one.tokens).unwrap();
    written.push("(end)".to_owned());
    let read = source.labels(sources[0]).unwrap();
    let map = AttentionMap { title: "a date", source: &read, target: &written, weights };
    attention_map(file("attention.svg"), map).unwrap();

    // Codecs of another text make another model, and its checkpoint is refused by name.
    let other = TextCodec::words(["abc"], letters).unwrap();
    let (third, params) = model(other.translating_to(&target));
    let error = trainer(&third, params).load(file("half.safetensors")).unwrap_err();
    let Error::Checkpoint { fault: CheckpointFault::Mismatch { misshapen, .. }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(misshapen[0].name, "adamw.m.encoder.embedding.weight");
}
