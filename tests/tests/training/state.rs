//! What a training run carries from step to step: update counts, states, programs. Steps that are not finite leave no
//! trace in it, profiling changes none of it, a checkpoint holds all of it, and dropping a trainer loses nothing.
//!
//! Needs one device. Models are a handful of products whose gradients are their inputs, so a test shows what a step
//! does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use seqloom_device::Device;
use seqloom_graph::{Arena, Graph, GraphError, Init, ParamId, ParamStore, Params, Tensor, Updates};
use seqloom_nn::{Batch, Finished, Inputs, LmBatch, LossListener, LstmLm, LstmLmConfig, Model, Vocab};
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::device;
use seqloom_train::{AdamW, Checkpoint, Cosine, Error, SkipPolicy, Trainer, Warmup};

const LR: f64 = 0.01;
const ADAM: AdamW = AdamW { lr: LR, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, clip_norm: None };

/// The gradient of `a` is `x`; so is that of `b`, if the batch reaches it. The state `h` becomes h/2 + y.
#[derive(Clone)]
struct Step {
    inputs: Inputs,
    reaches_b: bool,
}

impl Step {
    fn new(x: f32) -> Self {
        let x = vec![x, 0.5, -0.25];
        Self::with(x.clone(), x)
    }

    fn with(x: Vec<f32>, y: Vec<f32>) -> Self {
        Self { inputs: Inputs::new().floats("x", &[3], x).floats("y", &[3], y), reaches_b: false }
    }

    fn of_both(x: f32) -> Self {
        Self { reaches_b: true, ..Self::new(x) }
    }
}

impl Batch for Step {
    fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    fn inputs_mut(&mut self) -> &mut Inputs {
        &mut self.inputs
    }

    fn key(&self) -> u64 {
        u64::from(self.reaches_b)
    }
}

/// Records the model over the parameters `a` and `b`.
fn record<'g>(g: &'g Graph, batch: &Step, [a, b]: [ParamId; 2]) -> Tensor<'g> {
    let [x, y] = ["x", "y"].map(|name| batch.bind(g).get(name));
    let h = g.state("h", &[3]) * 0.5 + y;
    g.keep("h", h);
    // The state is part of the loss and not of the gradient.
    let loss = (g.param(a) * x).sum_all() + h.detach().sum_all();
    if batch.reaches_b { loss + (g.param(b) * x).sum_all() } else { loss }
}

fn trainer_on(
    device: &Device,
    optimizer: AdamW,
) -> Trainer<Step, impl for<'g> Fn(&'g Graph, &Step) -> Tensor<'g> + use<>> {
    let mut params = Params::seeded(1);
    // Of several blocks and of less than one.
    let filler = params.add("filler", &[130], Init::Ones);
    let ids = ["a", "b"].map(|name| params.add(name, &[3], Init::Ones));
    Trainer::new(device, params, optimizer, move |g, batch: &Step| {
        record(g, batch, ids) + (g.param(filler).sum_all() * 0.125)
    })
    .unwrap()
}

fn trainer(optimizer: AdamW) -> Trainer<Step, impl for<'g> Fn(&'g Graph, &Step) -> Tensor<'g>> {
    trainer_on(&device::shared(), optimizer)
}

/// Everything that a step goes on from, as bits.
#[derive(Clone, Debug, PartialEq)]
struct Held(Vec<Vec<u32>>, Updates, Vec<(String, Vec<usize>, Vec<u32>)>);

fn held(store: &ParamStore) -> Held {
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let arenas = [Arena::Params, Arena::State("m"), Arena::State("v")];
    let values = arenas.into_iter().flat_map(|arena| store.read(arena).unwrap());
    let states = store.read_states().unwrap().into_iter();
    let states = states.map(|state| (state.name, state.shape, bits(&state.values))).collect();
    Held(values.map(|values| bits(&values)).collect(), store.updates().unwrap(), states)
}

fn param(store: &ParamStore, name: &str) -> Vec<f32> {
    let at = store.specs().iter().position(|spec| spec.name == name).unwrap();
    store.read(Arena::Params).unwrap().swap_remove(at)
}

#[test]
fn a_skipped_step_leaves_no_trace() {
    let warmup = Warmup { steps: 5 };
    for good in [0, 2] {
        let after = |skips: usize, bad: f32| {
            let mut trainer = trainer(ADAM).with_schedule(warmup).unwrap();
            let steps = |from: usize, to: usize| (from..to).map(|i| Step::of_both(1.0 + i as f32));
            let bad = std::iter::repeat_n(Step::of_both(bad), skips);
            for step in steps(0, good).chain(bad).chain(steps(good, good + 3)) {
                trainer.step(&step).unwrap();
            }
            assert_eq!(trainer.update_count().unwrap(), good as u64 + 3);
            assert_eq!(trainer.step_count(), (good + skips) as u64 + 3);
            held(trainer.store())
        };
        let plain = after(0, 0.0);
        assert_eq!(plain.1.of_params, [good as u32 + 3; 3]);
        for (skips, bad) in [(1, f32::INFINITY), (10, f32::NAN), (1000, f32::NEG_INFINITY)] {
            assert_eq!(after(skips, bad), plain, "{skips} skips after {good} good steps");
        }
    }
}

/// The first update moves each element by the learning rate, against its gradient's sign, whatever came before it.
#[test]
fn the_first_update_moves_by_the_learning_rate() {
    for skips in [0, 1, 10, 1000] {
        let mut trainer = trainer(ADAM);
        for _ in 0..skips {
            trainer.step(&Step::new(f32::INFINITY)).unwrap();
        }
        trainer.step(&Step::new(2.0)).unwrap();
        let moved: Vec<_> = param(trainer.store(), "a").iter().map(|a| (a - 1.0) / LR as f32).collect();
        // One unit of the last place of 1 is 1.2e-7, of a hundredth 1.2e-5.
        assert_close(&format!("{skips}"), &moved, &[-1.0, -1.0, 1.0], Tolerance { abs: 2e-5, rel: 0.0 });
    }
}

/// AdamW of PyTorch, whose `state['step']` is counted for each parameter, in f64.
#[derive(Clone, Copy, Default)]
struct Torch {
    moved: f64,
    m: f64,
    v: f64,
    step: i32,
}

impl Torch {
    fn update(&mut self, g: f64) {
        self.step += 1;
        self.m = 0.9 * self.m + 0.1 * g;
        self.v = 0.999 * self.v + 0.001 * g * g;
        let (c1, c2) = (1.0 - 0.9f64.powi(self.step), 1.0 - 0.999f64.powi(self.step));
        self.moved -= LR * (self.m / c1) / ((self.v / c2).sqrt() + 1e-8);
    }
}

#[test]
fn a_parameter_whose_first_gradient_comes_late_starts_from_its_own_count() {
    let (mut trainer, mut a, mut b) = (trainer(ADAM), Torch::default(), Torch::default());
    for step in 0..230 {
        let (x, both) = (1.0 + (step % 7) as f32 / 4.0, step >= 200 && step % 3 != 1);
        trainer.step(&if both { Step::of_both(x) } else { Step::new(x) }).unwrap();
        a.update(f64::from(x));
        if both {
            b.update(f64::from(x));
        }
        if step == 200 {
            let moved = (param(trainer.store(), "b")[0] - 1.0) / LR as f32;
            assert!((moved + 1.0).abs() < 2e-5, "b's first step is {moved} of the learning rate");
        }
    }
    let (count_a, count_b) = (a.step as u32, b.step as u32);
    let updates = Updates { applied: 230, of_params: vec![230, count_a, count_b] };
    assert_eq!(trainer.store().updates().unwrap(), updates);
    // 230 roundings of numbers around 1.
    let tolerance = Tolerance { abs: 1e-5, rel: 0.0 };
    for (name, torch) in [("a", a), ("b", b)] {
        assert_close(name, &param(trainer.store(), name)[..1], &[(1.0 + torch.moved) as f32], tolerance);
    }
}

/// Parameters and gradients are finite, the state is not: neither goes on.
#[test]
fn a_state_that_is_not_finite_is_not_carried_on() {
    let mut trainer = trainer(ADAM);
    trainer.step(&Step::new(1.0)).unwrap();
    let before = held(trainer.store());
    assert_eq!(before.2[0].0, "h");
    for bad in [f32::NAN, f32::INFINITY] {
        trainer.step(&Step::with(vec![1.0, 0.5, -0.25], vec![0.0, 0.0, bad])).unwrap();
        assert_eq!(held(trainer.store()), before);
    }
    assert_eq!(trainer.update_count().unwrap(), 1);
    trainer.step(&Step::new(1.0)).unwrap();
    let state = &trainer.store().read_states().unwrap()[0];
    assert_eq!(state.values, [1.5, 0.75, -0.375]);
}

/// A stream of text with a window in the middle that is skipped goes on as if that window had not been read.
#[test]
fn a_recurrent_state_goes_on_from_before_the_skip() {
    let losses = |skipped: bool| {
        let (mut trainer, model) = lstm(1);
        trainer.step(&window(2, 0)).unwrap();
        if skipped {
            let table = trainer.store().read(Arena::Params).unwrap().swap_remove(0);
            let mut bad = table.clone();
            bad[0] = f32::INFINITY;
            trainer.store().write(Arena::Params, 0, &bad).unwrap();
            trainer.step(&window(2, 1)).unwrap();
            trainer.store().write(Arena::Params, 0, &table).unwrap();
        }
        trainer.step(&window(2, 2)).unwrap();
        drop(model);
        trainer.loss().unwrap()
    };
    assert_same_bits("loss", &[losses(true)], &[losses(false)]);
}

#[test]
fn a_run_resumed_after_skips_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let cosine = Cosine { warmup: 2, total: 9, floor: 0.1 };
    let start = || trainer(ADAM).with_schedule(cosine).unwrap();
    let bad = Step::of_both(f32::NAN);
    let good = |i: u8| if i < 4 { Step::new(f32::from(i) + 1.0) } else { Step::of_both(f32::from(i)) };
    let first = [good(0), bad.clone(), bad.clone(), good(1), good(4), bad.clone()];
    let second = [bad.clone(), good(5), bad, good(2), good(6)];

    let mut whole = start();
    for step in first.iter().chain(&second) {
        whole.step(step).unwrap();
    }
    let mut half = start();
    for step in &first {
        half.step(step).unwrap();
    }
    half.save(&path).unwrap();
    let state = Checkpoint::read(&path).unwrap().state().cloned().unwrap();
    assert_eq!((state.step, state.applied), (6, 3));
    let mut resumed = start();
    resumed.load(&path).unwrap();
    assert_eq!((resumed.step_count(), resumed.update_count().unwrap()), (6, 3));
    for step in &second {
        resumed.step(step).unwrap();
    }
    assert_eq!(held(resumed.store()), held(whole.store()));
    assert_eq!(resumed.store().updates().unwrap().of_params, [6, 6, 3]);
    assert_same_bits("loss", &[resumed.loss().unwrap()], &[whole.loss().unwrap()]);
}

#[derive(Default)]
struct Heard(Mutex<Vec<Finished>>);

impl LossListener for Heard {
    fn finished(&self, finished: Finished) {
        self.0.lock().unwrap().push(finished);
    }
}

impl Heard {
    fn told(&self) -> Vec<(u64, bool)> {
        self.0.lock().unwrap().iter().map(|f| (f.step, f.skipped)).collect()
    }
}

#[test]
fn a_dropped_trainer_has_told_all_its_steps() {
    let heard = Arc::new(Heard::default());
    let mut trainer = trainer(ADAM).with_history();
    for x in [1.0, f32::NAN, 2.0] {
        trainer.step(&Step::new(x).with_listener(heard.clone())).unwrap();
    }
    assert_eq!(trainer.history().unwrap().len(), 3);
    for x in [f32::INFINITY, 3.0] {
        trainer.step(&Step::new(x).with_listener(heard.clone())).unwrap();
    }
    drop(trainer);
    assert_eq!(heard.told(), [(1, false), (2, true), (3, false), (4, true), (5, false)]);
}

#[test]
fn a_trainer_of_a_lost_device_is_dropped_at_once() {
    let device = device::open();
    let heard = Arc::new(Heard::default());
    let mut trainer = trainer_on(&device, ADAM);
    trainer.step(&Step::new(1.0).with_listener(heard.clone())).unwrap();
    trainer.finish().unwrap();
    trainer.step(&Step::new(1.0).with_listener(heard.clone())).unwrap();
    device.destroy();
    let begun = Instant::now();
    drop(trainer);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(heard.told().len() <= 2);
}

#[test]
fn a_trainer_stops_after_as_many_skips_as_it_was_told() {
    let mut trainer = trainer(ADAM).with_skips(SkipPolicy::StopAfter(3)).unwrap();
    let (good, bad) = (Step::new(1.0), Step::new(f32::NAN));
    let step =
        |trainer: &mut Trainer<_, _>, batch: &Step| trainer.step(batch).and_then(|()| trainer.finish());
    for batch in [&bad, &bad, &good, &bad, &bad] {
        step(&mut trainer, batch).unwrap();
    }
    let error = step(&mut trainer, &bad).unwrap_err();
    assert!(matches!(error, Error::Skipped { in_a_row: 3, step: 6 }), "{error}");
    assert!(error.to_string().contains("the last 3 steps up to step 6 were skipped"), "{error}");
    // Once: who goes on, or saves what there is, is not stopped again.
    step(&mut trainer, &bad).unwrap();
    step(&mut trainer, &good).unwrap();
    assert_eq!((trainer.update_count().unwrap(), trainer.step_count()), (2, 8));
    let senseless = self::trainer(ADAM).with_skips(SkipPolicy::StopAfter(0));
    assert!(matches!(senseless, Err(Error::Setting { setting: "SkipPolicy::StopAfter", .. })));
}

#[test]
fn profiling_leaves_a_run_as_it_was() {
    let run = |profiled: bool| {
        let mut trainer = trainer(ADAM);
        for x in [1.0, 2.0] {
            trainer.step(&Step::of_both(x)).unwrap();
        }
        let (before, norm) = (held(trainer.store()), trainer.grad_norm().unwrap());
        let grads = trainer.store().read(Arena::Grads).unwrap();
        if profiled {
            let program = trainer.program().unwrap();
            let table = program.explain_timed().unwrap();
            assert!(table.contains("update["), "{table}");
            assert_eq!(program.profile().unwrap().len(), program.dispatches());
            assert_eq!(held(trainer.store()), before);
            assert_eq!(
                (trainer.grad_norm().unwrap(), trainer.store().read(Arena::Grads).unwrap()),
                (norm, grads)
            );
        }
        trainer.step(&Step::of_both(3.0)).unwrap();
        let loss = trainer.loss().unwrap();
        (held(trainer.store()), loss.to_bits())
    };
    assert_eq!(run(true), run(false));
}

const SYMBOLS: usize = 7;

/// A trainer of a stateful model.
fn lstm(seed: u64) -> (Trainer<LmBatch, impl for<'g> Fn(&'g Graph, &LmBatch) -> Tensor<'g>>, LstmLm) {
    let mut params = Params::seeded(seed);
    let config = LstmLmConfig { vocab: Vocab::ids(SYMBOLS), embed: 4, hidden: 6, layers: 1, dropout: 0.0 };
    let model = LstmLm::new(&mut params, config).stateful();
    let recorded = model.clone();
    let trainer =
        Trainer::new(&device::shared(), params, ADAM, move |g, batch: &LmBatch| recorded.loss(g, batch));
    (trainer.unwrap(), model)
}

/// Window `w` of a stream of `rows` rows.
fn window(rows: usize, w: usize) -> LmBatch {
    let id = |row: usize, t: usize| ((t * t + 3 * t * (row + 1) + row) % SYMBOLS) as u32;
    let part = |shift: usize| {
        (0..rows).flat_map(|row| (0..5).map(move |t| id(row, 5 * w + t + shift))).collect::<Vec<_>>()
    };
    LmBatch::new(rows, 5, part(0), part(1)).unwrap()
}

#[test]
fn a_stream_of_other_rows_than_the_carried_ones_is_refused() {
    let (mut trainer, _) = lstm(3);
    trainer.step(&window(3, 0)).unwrap();
    let before = held(trainer.store());
    let error = trainer.step(&window(2, 1)).unwrap_err();
    let Error::Graph(GraphError::StateShape { name, carried, needs }) = &error else { panic!("{error}") };
    assert_eq!((&name[..5], &carried[..], &needs[..]), ("lstm.", &[1, 3, 6][..], &[1, 2, 6][..]));
    assert!(error.to_string().contains("begins a new one"), "{error}");
    assert_eq!((held(trainer.store()), trainer.step_count()), (before, 1));
    // What is carried goes on, and evaluation has a stream of its own.
    trainer.step(&window(3, 1)).unwrap();
    trainer.evaluate(&window(2, 0)).unwrap();
    assert!(trainer.evaluate(&window(3, 0)).is_err());

    // A new stream may have other rows, and begins from zeros each time: nothing is left of the one before it.
    let losses = |windows: &[LmBatch]| {
        let (mut trainer, _) = lstm(3);
        windows.iter().map(|w| trainer.evaluate(w).unwrap().to_bits()).collect::<Vec<_>>()
    };
    let begin = |rows| window(rows, 0).beginning();
    let told = losses(&[begin(3), window(3, 1), begin(2), begin(3), window(3, 1), begin(2), window(2, 1)]);
    assert_eq!((told[0], told[1], told[2]), (told[3], told[4], told[5]));
    assert_eq!(told[6], losses(&[begin(2), window(2, 1)])[1]);
}

#[test]
fn a_stream_that_is_refused_leaves_the_carried_one() {
    let begun = |ids: &[u32]| LmBatch::new(1, ids.len(), ids.to_vec(), ids.to_vec()).unwrap().beginning();
    let third = |refused: Option<LmBatch>| {
        let (mut trainer, _) = lstm(3);
        trainer.step(&window(1, 0)).unwrap();
        trainer.evaluate(&window(1, 0)).unwrap();
        if let Some(batch) = refused {
            assert!(trainer.step(&batch).is_err() && trainer.evaluate(&batch).is_err());
        }
        trainer.step(&window(1, 1)).unwrap();
        [trainer.loss().unwrap(), trainer.evaluate(&window(1, 1)).unwrap()].map(f32::to_bits)
    };
    // No symbol of the vocabulary.
    assert_eq!(third(Some(begun(&[0, SYMBOLS as u32, 0, 0, 0]))), third(None));
}

#[test]
fn what_is_saved_is_what_is_carried() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (mut trainer, _) = lstm(3);
    for batch in
        [window(2, 0), window(3, 0).beginning(), window(3, 1), window(2, 0).beginning(), window(2, 1)]
    {
        trainer.step(&batch).unwrap();
    }
    trainer.save(&path).unwrap();
    let states: Vec<_> = trainer.store().read_states().unwrap().into_iter().map(|s| s.shape).collect();
    assert_eq!(states, [[1, 2, 6], [1, 2, 6]], "cell and output of the live stream alone");
    let (mut resumed, _) = lstm(4);
    // Another stream is live when the file is loaded.
    resumed.step(&window(3, 0)).unwrap();
    resumed.load(&path).unwrap();
    for trainer in [&mut trainer, &mut resumed] {
        trainer.step(&window(2, 2)).unwrap();
    }
    assert_same_bits("loss", &[resumed.loss().unwrap()], &[trainer.loss().unwrap()]);
    assert_eq!(held(resumed.store()), held(trainer.store()));
    assert!(resumed.step(&window(3, 3)).is_err(), "the loaded stream has 2 rows");
}

/// States of a stream outlive the programs that a full cache drops.
#[test]
fn a_trainer_keeps_no_more_programs_than_it_may() {
    let batches: Vec<_> = (0..3)
        .flat_map(|round| {
            (1..=5).map(move |time| {
                let ids = |shift: usize| {
                    (0..2 * time).map(|i| ((i * i + round + shift) % SYMBOLS) as u32).collect()
                };
                LmBatch::new(2, time, ids(0), ids(1)).unwrap()
            })
        })
        .collect();
    let run = |most: usize| {
        let (trainer, _) = lstm(3);
        let mut trainer = trainer.with_programs(most);
        for batch in &batches {
            trainer.step(batch).unwrap();
            trainer.evaluate(batch).unwrap();
        }
        trainer.finish().unwrap();
        let memory = trainer.memory();
        assert_eq!(trainer.programs(), (memory.training.held, memory.evaluation.held));
        (held(trainer.store()), memory)
    };
    let (few, many) = (run(2), run(128));
    assert_eq!(few.0, many.0);
    let usage = |memory: seqloom_train::TrainerMemory| {
        [memory.training, memory.evaluation].map(|usage| (usage.held, usage.most, usage.dropped))
    };
    assert_eq!(usage(few.1), [(2, 2, 13), (2, 2, 13)]);
    assert_eq!(usage(many.1), [(5, 128, 0), (5, 128, 0)]);
    assert!(few.1.programs < many.1.programs, "{:?} {:?}", few.1, many.1);
}
