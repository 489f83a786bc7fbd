//! The same program on the same adapter gives the same bits, and no number of a step is frozen into a program.
//!
//! Equality here is of bits. A reduction in an order that the scheduler picks differs in the last places first, and so
//! does a host number that was recorded instead of read from the control buffer.

use seqloom_device::Device;
use seqloom_graph::{Arena, Control, Objective, ParamStore, Params, Program, Request, StoreKind};
use seqloom_nn::{Batch, LmBatch, LstmLm, LstmLmConfig, Model, Vocab};
use seqloom_tests::compare::assert_same_bits;
use seqloom_tests::device;
use seqloom_tests::executor::random_ids;
use seqloom_train::AdamW;

/// Numbers of the optimizer; learning rates are the control's.
const ADAM: AdamW =
    AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.01, clip_norm: None };

const STEPS: u32 = 4;

/// Gives one number of a step another value.
type Change = fn(&mut Control);

/// A model with every kind of operation that trains: embedding, two LSTM layers, dropout, head, cross-entropy.
fn start(device: &Device) -> (LstmLm, ParamStore) {
    let mut params = Params::seeded(11);
    let config = LstmLmConfig { vocab: Vocab::ids(13), embed: 7, hidden: 9, layers: 2, dropout: 0.3 };
    let model = LstmLm::new(&mut params, config);
    (model, ParamStore::new(device, params, StoreKind::Training).unwrap())
}

/// Batch of step `step`; rows of several lengths.
fn batch(step: u32) -> LmBatch {
    let row = |row: u64, len: usize| random_ids(u64::from(step) * 10 + row, len, 13);
    LmBatch::ragged(&[row(0, 6), row(1, 3), row(2, 5)], 13).unwrap()
}

fn control(step: u32) -> Control {
    Control {
        lr: std::array::from_fn(|next| 0.01 / (next + 1) as f32),
        clip_norm: 0.5,
        loss_scale: 1.0,
        seed: 1000 + step,
        ..Control::default()
    }
}

fn compile(model: &LstmLm, store: &ParamStore, like: &LmBatch) -> Program {
    let g = store.training_graph();
    let loss = model.loss(&g, like);
    Program::compile(
        store,
        &g,
        Request { outputs: &[], objective: Some(Objective { loss, update: Some(&ADAM) }) },
    )
    .unwrap()
}

fn run(program: &Program, batch: &LmBatch, control: &Control) -> f32 {
    program.run(&batch.tensors(), control).unwrap();
    program.read("loss").unwrap().wait().unwrap()[0]
}

/// Losses and final state of the steps; `fresh` records and compiles each step anew.
fn train(device: &Device, fresh: bool) -> (Vec<f32>, Vec<Vec<Vec<f32>>>) {
    let (model, store) = start(device);
    let recorded = compile(&model, &store, &batch(0));
    let losses = (0..STEPS)
        .map(|step| {
            let batch = batch(step);
            match fresh {
                true => run(&compile(&model, &store, &batch), &batch, &control(step)),
                false => run(&recorded, &batch, &control(step)),
            }
        })
        .collect();
    let arenas = [Arena::Params, Arena::Grads, Arena::State("m"), Arena::State("v")];
    (losses, arenas.map(|arena| store.read(arena).unwrap()).to_vec())
}

fn assert_same(a: &(Vec<f32>, Vec<Vec<Vec<f32>>>), b: &(Vec<f32>, Vec<Vec<Vec<f32>>>)) {
    assert_same_bits("losses", &a.0, &b.0);
    for (arena, (a, b)) in
        ["parameters", "gradients", "moments 1", "moments 2"].iter().zip(a.1.iter().zip(&b.1))
    {
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert_same_bits(&format!("{arena}, parameter {i}"), a, b);
        }
    }
}

#[test]
fn two_runs_give_the_same_bits() {
    let device = device::shared();
    let first = train(&device, false);
    assert!(first.0.iter().all(|loss| loss.is_finite()));
    assert_same(&first, &train(&device, false));
}

#[test]
fn two_devices_give_the_same_bits() {
    assert_same(&train(&device::open(), false), &train(&device::open(), false));
}

#[test]
fn a_replayed_step_equals_a_freshly_recorded_one() {
    let device = device::shared();
    assert_same(&train(&device, false), &train(&device, true));
}

#[test]
fn each_number_of_the_control_buffer_counts_in_a_replay() {
    let device = device::shared();
    let after = |change: Change| {
        let (model, store) = start(&device);
        let program = compile(&model, &store, &batch(0));
        run(&program, &batch(0), &control(0));
        let mut second = control(1);
        change(&mut second);
        run(&program, &batch(1), &second);
        store.read(Arena::Params).unwrap()
    };
    let plain = after(|_| ());
    let changes: [(&str, Change); 4] = [
        // The second update's.
        ("lr", |c| c.lr[1] *= 2.0),
        ("applied", |c| c.applied = 1),
        ("clip_norm", |c| c.clip_norm = 0.01),
        ("seed", |c| c.seed += 1),
    ];
    for (name, change) in changes {
        assert_ne!(after(change), plain, "a new {name} changed nothing: it is frozen into the program");
    }
    // A power of two scales every gradient exactly and is taken back exactly.
    assert_eq!(after(|c| c.loss_scale = 1024.0), plain, "the scale of the loss must cancel in the update");
}

#[test]
fn a_step_whose_gradient_is_not_finite_changes_nothing() {
    let (model, store) = start(&device::shared());
    let program = compile(&model, &store, &batch(0));
    run(&program, &batch(0), &control(0));
    let state =
        || [Arena::Params, Arena::State("m"), Arena::State("v")].map(|arena| store.read(arena).unwrap());
    let (before, counts) = (state(), store.updates().unwrap());
    assert_eq!((counts.applied, counts.of_params.iter().max()), (1, Some(&1)));
    run(&program, &batch(1), &Control { loss_scale: f32::INFINITY, ..control(1) });
    assert_eq!((state(), store.updates().unwrap()), (before.clone(), counts));
    assert_eq!(program.read("skipped").unwrap().wait().unwrap(), [1.0]);
    run(&program, &batch(1), &control(1));
    assert_ne!(state(), before, "the step after it counts again");
}
