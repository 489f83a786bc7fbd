//! Training end to end on whatever adapter there is: learning, resuming, refusing, generating, and its cost.
//!
//! Needs one device. Models are tiny, and what they learn is exact, so "it learned" is not a matter of judgement.

use std::path::Path;
use std::sync::{Arc, Mutex};

use seqloom::graph::{Arena, GraphError, Program, Request};
use seqloom::nn::{Finished, LossListener, NnError};
use seqloom::prelude::custom::*;
use seqloom::train::CheckpointFault;
use seqloom::{Error, Result};

const PHRASE: &str = "hello world. ";

fn device() -> Device {
    Device::open(DeviceOptions::default()).unwrap()
}

fn text() -> CharCorpus {
    CharCorpus::from_text(&PHRASE.repeat(60)).unwrap()
}

fn lm(params: &mut Params, vocab: Vocab, hidden: usize, dropout: f32) -> LstmLm {
    LstmLm::new(params, LstmLmConfig { vocab, embed: 8, hidden, layers: 2, dropout })
}

/// A trainer of a fresh model, without naming the closure's type at every use.
fn trainer<'m>(
    device: &Device,
    model: &'m LstmLm,
    params: Params,
) -> Trainer<LmBatch, impl for<'g> Fn(&'g Graph, &LmBatch) -> Tensor<'g> + use<'m>> {
    let adam = AdamW { lr: 1e-2, clip_norm: Some(1.0), ..AdamW::default() };
    Trainer::new(device, params, adam, |g, batch: &LmBatch| model.loss(g, batch)).unwrap()
}

fn bits(store: &impl AsRef<ParamStore>) -> Vec<Vec<u32>> {
    let arenas = [Arena::Params, Arena::State("m"), Arena::State("v")];
    let all = arenas.into_iter().flat_map(|arena| store.as_ref().read(arena).unwrap());
    all.map(|values| values.iter().map(|v| v.to_bits()).collect()).collect()
}

fn checkpoint_fault(result: Result<()>) -> CheckpointFault {
    match result {
        Err(Error::Checkpoint { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_small_model_learns_a_phrase_and_says_it() {
    let (device, text) = (device(), text());
    let mut params = Params::seeded(42);
    let model = lm(&mut params, text.vocab(), 32, 0.0);
    let mut trainer = trainer(&device, &model, params).with_history();
    for batch in text.batches(8, 52).steps(250) {
        trainer.step(&batch).unwrap();
    }
    let loss = trainer.loss().unwrap();
    assert!(loss < 0.1, "loss {loss}, unigram entropy {}", text.unigram_entropy());
    let history = trainer.history().unwrap();
    assert_eq!((history.len(), history[249]), (250, (250, loss)));
    let mut generator = model.generator(&trainer).unwrap();
    assert_eq!(generator.greedy("hello w", 45).unwrap(), PHRASE.repeat(4));
    // Confident by now, and more so at a low temperature.
    let mut cool = model.generator(&trainer).unwrap().with_temperature(0.2).unwrap();
    assert_eq!(cool.sample("hello w", 45).unwrap(), PHRASE.repeat(4));
}

#[test]
fn a_resumed_run_ends_with_the_same_bits() {
    let (device, text) = (device(), text());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let start = |seed| {
        let mut params = Params::seeded(seed);
        (lm(&mut params, text.vocab(), 16, 0.3), params)
    };
    let cosine = Cosine { warmup: 3, total: 10, floor: 0.1 };
    let batches = || text.batches(4, 20).seeded(7).steps(10);

    let (model, params) = start(1);
    let mut whole = trainer(&device, &model, params).with_schedule(cosine).unwrap().with_vocab(model.vocab());
    let mut data = batches();
    for batch in data.by_ref().take(4) {
        whole.step(&batch).unwrap();
    }
    whole.save(file("half")).unwrap();
    let position = data.position();
    for batch in data {
        whole.step(&batch).unwrap();
    }
    whole.save(file("whole")).unwrap();

    // Another seed: nothing of the first weights may survive.
    let (model, params) = start(2);
    let mut resumed =
        trainer(&device, &model, params).with_schedule(cosine).unwrap().with_vocab(model.vocab());
    resumed.load(file("half")).unwrap();
    assert_eq!((resumed.step_count(), position), (4, 4));
    for batch in batches().starting_at(position) {
        resumed.step(&batch).unwrap();
    }
    resumed.save(file("resumed")).unwrap();

    assert_eq!(bits(&whole), bits(&resumed));
    assert_eq!(whole.loss().unwrap().to_bits(), resumed.loss().unwrap().to_bits());
    assert_eq!(std::fs::read(file("whole")).unwrap(), std::fs::read(file("resumed")).unwrap());
    let vocab = Checkpoint::read(file("whole")).unwrap().vocab();
    assert_eq!(vocab, Some(text.vocab()));
}

#[test]
fn a_bad_checkpoint_is_refused_and_changes_nothing() {
    let (device, text) = (device(), text());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    let mut params = Params::seeded(1);
    let model = lm(&mut params, text.vocab(), 16, 0.0);
    let mut saved = trainer(&device, &model, params);
    saved.step(&text.batches(2, 9).next().unwrap()).unwrap();
    saved.save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();

    let mut params = Params::seeded(2);
    let model = lm(&mut params, text.vocab(), 16, 0.0);
    let mut target = trainer(&device, &model, params);
    let before = bits(&target);

    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(checkpoint_fault(target.load(&path)), CheckpointFault::Truncated { .. }));
    let mut bad = good.clone();
    // The last tensor of the file is the last by name.
    let end = bad.len();
    bad[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &bad).unwrap();
    let fault = checkpoint_fault(target.load(&path));
    assert!(
        matches!(&fault, CheckpointFault::NotFinite { name, .. } if name == "lstm.weight_ih_l1"),
        "{fault}"
    );
    assert_eq!(bits(&target), before);
    assert_eq!(target.step_count(), 0);
    assert!(matches!(target.load(directory.path().join("none")), Err(Error::Io { .. })));

    std::fs::write(&path, &good).unwrap();
    let mut params = Params::seeded(2);
    let wider = lm(&mut params, text.vocab(), 24, 0.0);
    let fault = checkpoint_fault(trainer(&device, &wider, params).load(&path));
    assert!(
        matches!(&fault, CheckpointFault::Mismatch { misshapen, .. } if !misshapen.is_empty()),
        "{fault}"
    );

    let mut params = Params::seeded(2);
    let config = LstmLmConfig { vocab: text.vocab(), embed: 8, hidden: 16, layers: 1, dropout: 0.0 };
    let lower = LstmLm::new(&mut params, config);
    let fault = checkpoint_fault(trainer(&device, &lower, params).load(&path));
    assert!(matches!(&fault, CheckpointFault::Mismatch { extra, .. } if !extra.is_empty()), "{fault}");
}

#[test]
fn a_path_that_cannot_be_written_costs_nothing() {
    let (device, text) = (device(), text());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    let mut params = Params::seeded(1);
    let model = lm(&mut params, text.vocab(), 8, 0.0);
    let mut trainer = trainer(&device, &model, params);
    trainer.save(&path).unwrap();
    let earlier = std::fs::read(&path).unwrap();
    trainer.step(&text.batches(2, 9).next().unwrap()).unwrap();
    // A file stands where a directory is needed, so not even the superuser can write there.
    let blocked = path.join("below");
    let error = trainer.save(&blocked).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == blocked), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), earlier);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    trainer.save(&path).unwrap();
    assert_ne!(std::fs::read(&path).unwrap(), earlier);
}

#[test]
fn numbers_gone_bad_do_not_replace_a_good_checkpoint() {
    let (device, text) = (device(), text());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    let mut params = Params::seeded(1);
    let model = lm(&mut params, text.vocab(), 8, 0.0);
    let mut trainer = trainer(&device, &model, params);
    trainer.save(&path).unwrap();
    let size = trainer.store().specs()[0].shape.elements();
    trainer.store().write(Arena::Params, 0, &vec![f32::NAN; size]).unwrap();
    assert!(matches!(checkpoint_fault(trainer.save(&path)), CheckpointFault::NotFinite { .. }));
    let generated = model.generator(&trainer).unwrap().greedy("h", 3);
    assert!(matches!(generated, Err(NnError::NotFinite { .. })));
    trainer.load(&path).unwrap();
    assert_eq!(model.generator(&trainer).unwrap().greedy("h", 3).unwrap().chars().count(), 4);
}

#[test]
fn another_shape_of_batch_is_another_program_over_the_same_parameters() {
    let (device, text) = (device(), text());
    let mut params = Params::seeded(1);
    let model = lm(&mut params, text.vocab(), 16, 0.2);
    let mut trainer = trainer(&device, &model, params);
    let (wide, long) = (text.batches(6, 9).next().unwrap(), text.batches(2, 30).next().unwrap());
    let ragged = LmBatch::ragged(&[vec![0, 1, 2, 3], vec![3, 1]], text.vocab().size()).unwrap();
    for batch in [&wide, &long, &wide, &ragged, &long] {
        let before = bits(&trainer);
        trainer.step(batch).unwrap();
        assert!(trainer.loss().unwrap().is_finite() && trainer.grad_norm().unwrap() > 0.0);
        assert_ne!(bits(&trainer), before);
    }
    assert_eq!(trainer.programs(), (3, 0));
    let before = bits(&trainer);
    let loss = trainer.evaluate(&wide).unwrap();
    assert_eq!(loss.to_bits(), trainer.evaluate(&wide).unwrap().to_bits());
    assert_eq!(bits(&trainer), before);
    assert_eq!((trainer.programs(), trainer.step_count()), ((3, 1), 5));
}

#[test]
fn padding_is_not_seen_by_the_loss() {
    let (device, vocab) = (device(), Vocab::ids(9));
    let mut params = Params::seeded(3);
    let model = lm(&mut params, vocab, 16, 0.0);
    let mut trainer = trainer(&device, &model, params);
    let rows = [vec![1, 2, 3, 4, 5, 6, 7], vec![8, 0], vec![3, 3, 2, 1]];
    let together = trainer.evaluate(&LmBatch::ragged(&rows, 9).unwrap()).unwrap();
    let alone = rows.iter().map(|row| LmBatch::ragged(&[row], 9).unwrap()).collect::<Vec<_>>();
    let apart = trainer.evaluate_all(alone).unwrap();
    // Sums of at most ten f32 terms near ln 9 in another order: a few units of the last place.
    assert!((f64::from(together) - apart).abs() < 1e-5, "{together} {apart}");
}

#[test]
fn what_is_wrong_with_a_batch_is_found_before_the_device() {
    let device = device();
    let mut params = Params::seeded(1);
    let model = lm(&mut params, Vocab::ids(7), 64, 0.0);
    let mut trainer = trainer(&device, &model, params);
    let before = bits(&trainer);
    for (token, target, at) in [(7, 0, "tokens"), (0, 9, "targets")] {
        let batch = LmBatch::new(1, 2, vec![0, token], vec![0, target]).unwrap();
        match trainer.step(&batch) {
            Err(Error::Graph(GraphError::OutOfRange { name, index: 1, high: 6, .. })) => assert_eq!(name, at),
            other => panic!("{other:?}"),
        }
    }
    let short = CharCorpus::from_text("abcdefg").unwrap().batches(4, 10).next().unwrap();
    assert!(matches!(
        trainer.step(&short),
        Err(Error::Model(NnError::TextTooShort { has: 7, needs: 11, .. }))
    ));
    // 2^22 steps of 256 gates of 4 bytes: 4 GiB in one tensor.
    let (rows, time) = (1 << 11, 1 << 11);
    let huge = LmBatch::new(rows, time, vec![0; rows * time], vec![0; rows * time]).unwrap();
    let error = trainer.step(&huge).unwrap_err();
    assert!(
        matches!(&error, Error::Graph(GraphError::TooLarge { needs, limit, .. }) if needs > limit),
        "{error}"
    );
    assert_eq!(bits(&trainer), before);
    assert_eq!(trainer.step_count(), 0);
    assert!(matches!(trainer.loss(), Err(Error::NoStep { .. })));
}

#[test]
fn a_model_recorded_wrongly_is_told_with_its_line() {
    let device = device();
    let mut params = Params::seeded(1);
    let model = lm(&mut params, Vocab::ids(7), 8, 0.0);
    let adam = AdamW::default();
    let mut trainer = Trainer::new(&device, params, adam, |g, batch: &LmBatch| {
        model.loss(g, batch) + g.full(&[2], 0.0) * g.full(&[3], 0.0)
    });
    let batch = LmBatch::new(1, 2, vec![0; 2], vec![0; 2]).unwrap();
    let error = trainer.as_mut().unwrap().step(&batch).unwrap_err();
    assert!(error.to_string().contains("training.rs"), "{error}");
}

#[test]
fn a_character_costs_the_same_wherever_it_stands() {
    let (device, text) = (device(), text());
    let mut params = Params::seeded(5);
    let model = lm(&mut params, text.vocab(), 16, 0.1);
    let store = ParamStore::new(&device, params, StoreKind::Inference).unwrap();
    let mut generator = model.generator(&store).unwrap();
    let dispatches = generator.program().dispatches();
    let said = generator.greedy("hello", 40).unwrap();
    let (bytes, counts) = (device.allocated_bytes(), device.counts());
    assert_eq!(generator.steps(), 40 - 1);
    generator.greedy("hello", 400).unwrap();
    assert_eq!(generator.steps(), 39 + 400 - 1);
    assert_eq!(generator.program().dispatches(), dispatches);
    assert_eq!((device.allocated_bytes(), device.counts()), (bytes, counts));

    // The carried state is the state of the whole text: reading it at once predicts the same characters.
    let ids = text.vocab().encode(&said).unwrap();
    let g = store.inference_graph();
    let (logits, _) = model.forward(g.ids("tokens", &[1, ids.len()], text.vocab().size()), None);
    let request = Request { outputs: &[("logits", logits)], objective: None };
    let program = Program::compile(&store, &g, request).unwrap();
    let tokens = HostTensor::u32(&[1, ids.len()], ids.clone()).unwrap();
    program.run(&[("tokens", &tokens)], &Control::default()).unwrap();
    let logits = program.read("logits").unwrap().wait().unwrap();
    let rows = logits.chunks_exact(text.vocab().size());
    let likeliest = rows.map(|row| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32);
    assert_eq!(likeliest.skip(4).take(40).collect::<Vec<_>>(), ids[5..]);
}

#[test]
fn generation_follows_its_seed_and_refuses_what_it_cannot_read() {
    let (device, text) = (device(), text());
    let mut params = Params::seeded(5);
    let model = lm(&mut params, text.vocab(), 16, 0.0);
    let store = ParamStore::new(&device, params, StoreKind::Inference).unwrap();
    let say = |seed| model.generator(&store).unwrap().with_seed(seed).sample("he", 60).unwrap();
    assert_eq!(say(1), say(1));
    assert_ne!(say(1), say(2));
    let mut generator = model.generator(&store).unwrap();
    let error = generator.sample("heX", 5).unwrap_err();
    assert!(matches!(error, NnError::UnknownChar { character: 'X', position: 2, .. }), "{error}");
    assert_eq!(generator.greedy("", 5).unwrap().chars().count(), 5);
    assert_eq!(generator.greedy("he", 0).unwrap(), "he");
    assert!(matches!(generator.greedy_ids(&[99], 1), Err(NnError::Graph(GraphError::OutOfRange { .. }))));
    for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let refused = model.generator(&store).unwrap().with_temperature(temperature);
        assert!(matches!(refused, Err(NnError::Temperature { .. })), "{temperature}");
    }
}

#[test]
fn a_thousand_steps_more_take_not_a_byte_more() {
    let (device, text) = (device(), text());
    let mut params = Params::seeded(1);
    let model = lm(&mut params, text.vocab(), 8, 0.1);
    let mut trainer = trainer(&device, &model, params);
    let mut batches = text.batches(2, 6).epochs(u64::MAX);
    for batch in batches.by_ref().take(10) {
        trainer.step(&batch).unwrap();
    }
    trainer.finish().unwrap();
    let (bytes, counts) = (device.allocated_bytes(), device.counts());
    assert_eq!(trainer.memory().total, bytes);
    for batch in batches.take(1000) {
        trainer.step(&batch).unwrap();
    }
    trainer.finish().unwrap();
    assert_eq!((device.allocated_bytes(), device.counts()), (bytes, counts));
    assert_eq!(trainer.programs(), (1, 0));
}

#[test]
fn a_listener_hears_every_step_in_order() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<Finished>>);
    impl LossListener for Heard {
        fn finished(&self, finished: Finished) {
            self.0.lock().unwrap().push(finished);
        }
    }
    let (device, text) = (device(), text());
    let mut params = Params::seeded(1);
    let model = lm(&mut params, text.vocab(), 8, 0.0);
    let mut trainer = trainer(&device, &model, params);
    let heard = Arc::new(Heard::default());
    for batch in text.batches(2, 6).steps(9) {
        trainer.step(&batch.with_listener(heard.clone())).unwrap();
    }
    let loss = trainer.loss().unwrap();
    let heard = heard.0.lock().unwrap();
    assert_eq!(heard.iter().map(|f| f.step).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    assert!(heard.iter().all(|f| f.tokens == 12));
    assert_eq!(heard[8].loss, loss);
}

#[test]
fn parameters_cross_into_an_inference_store() {
    let (device, text) = (device(), text());
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = &directory.path().join("model");
    let mut params = Params::seeded(1);
    let model = lm(&mut params, text.vocab(), 8, 0.0);
    let mut trainer = trainer(&device, &model, params).with_vocab(model.vocab());
    for batch in text.batches(2, 6).steps(5) {
        trainer.step(&batch).unwrap();
    }
    trainer.save(path).unwrap();
    let checkpoint = Checkpoint::read(path).unwrap();
    let mut params = Params::seeded(9);
    let again = lm(&mut params, checkpoint.vocab().unwrap(), 8, 0.0);
    let store = ParamStore::new(&device, params, StoreKind::Inference).unwrap();
    checkpoint.restore_parameters(&store).unwrap();
    let say = |mut generator: Generator<LstmLm>| generator.sample("hell", 30).unwrap();
    assert_eq!(say(model.generator(&trainer).unwrap()), say(again.generator(&store).unwrap()));
}
