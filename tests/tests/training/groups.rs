//! Groups of parameters, running means of them, and clipping: each against the update written out in f64, by the public face.

use seqloom::prelude::custom::*;
use seqloom::train::{CheckpointFault, Error, GroupFault};
use seqloom_graph::Arena;
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::device;

const LR: f64 = 0.1;
const DECAY: f64 = 0.5;
/// A few roundings of numbers of size 1 at each of ten steps.
const TOLERANCE: Tolerance = Tolerance { abs: 2e-6, rel: 2e-6 };

const NAMES: [&str; 4] = ["embedding.weight", "layer.weight", "layer.bias", "head.weight"];

/// The loss is the sum of all parameters times x, so x is the gradient of each of them.
struct Sum([ParamId; 4]);

impl Model<Inputs> for Sum {
    fn loss<'g>(&self, g: &'g Graph, batch: &Inputs) -> Tensor<'g> {
        let x = batch.bind(g).get("x").sum_all();
        self.0.map(|id| (g.param(id) * x).sum_all()).into_iter().reduce(|a, b| a + b).unwrap()
    }
}

fn x(value: f32) -> Inputs {
    Inputs::new().floats("x", &[1], vec![value])
}

fn trainer(optimizer: impl Optimizer + 'static) -> Trainer<Inputs, Sum> {
    let mut params = Params::seeded(1);
    let shapes: [&[usize]; 4] = [&[3, 2], &[2, 2], &[2], &[5, 2]];
    let ids = [0, 1, 2, 3].map(|i| params.add(NAMES[i], shapes[i], Init::Normal(1.0)));
    Trainer::for_model(&device::shared(), params, optimizer, Sum(ids)).unwrap()
}

fn sgd() -> Sgd {
    Sgd { lr: LR, momentum: 0.5, weight_decay: DECAY, ..Sgd::default() }
}

fn values(store: &ParamStore) -> Vec<Vec<f32>> {
    store.read(Arena::Params).unwrap()
}

fn group(name: &'static str) -> Group {
    Group::named(name, move |param| param.starts_with(name))
}

/// Ten updates in f64 of a parameter that begins with these values.
fn by_hand(start: &[f32], lr: f64, decay: f64) -> Vec<f32> {
    let after = |&p: &f32| {
        let (mut p, mut buffer) = (f64::from(p), 0.0);
        for step in 0..10 {
            buffer = 0.5 * buffer + f64::from(gradient(step)) + decay * p;
            p -= lr * buffer;
        }
        p as f32
    };
    start.iter().map(after).collect()
}

fn gradient(step: usize) -> f32 {
    (step as f32).cos()
}

#[test]
fn each_group_has_its_rate_its_decay_or_rests() {
    let plain = trainer(sgd());
    let bytes = plain.memory().parameters;
    let groups = [group("head").lr(0.03), group("layer.bias").weight_decay(0.0), group("embedding").frozen()];
    let mut trainer = plain.with_groups(groups).unwrap();
    assert!(trainer.memory().parameters < bytes, "a frozen parameter has no gradient and no state");
    let before = values(trainer.store());
    for step in 0..10 {
        trainer.step(&x(gradient(step))).unwrap();
    }
    trainer.finish().unwrap();
    let after = values(trainer.store());
    assert_eq!(after[0], before[0], "what is frozen stays, bit for bit");
    for (at, lr, decay) in [(1, LR, DECAY), (2, LR, 0.0), (3, 0.03, DECAY)] {
        assert_close(NAMES[at], &after[at], &by_hand(&before[at], lr, decay), TOLERANCE);
    }
    for arena in [Arena::Grads, Arena::State("momentum_buffer")] {
        let sizes: Vec<_> = trainer.store().read(arena).unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [0, 4, 2, 10]);
    }
    let updates = trainer.store().updates().unwrap().of_params;
    assert_eq!(updates, [0, 10, 10, 10]);
}

/// A group that is treated like no group changes no bit; a stop and a resumption neither.
#[test]
fn groups_go_through_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grouped.safetensors");
    let adam = AdamW { lr: LR, ..AdamW::default() };
    let grouped = || trainer(adam).with_groups([Group::no_decay(), group("head").lr_factor(1.0)]).unwrap();
    let mut first = grouped();
    for step in 0..5 {
        first.step(&x(gradient(step))).unwrap();
    }
    first.save(&path).unwrap();
    let mut second = grouped();
    second.load(&path).unwrap();
    for trainer in [&mut first, &mut second] {
        trainer.step(&x(0.5)).unwrap();
        trainer.finish().unwrap();
    }
    assert_eq!(values(first.store()), values(second.store()));
    // Another optimizer is told whose states these are.
    let Err(Error::Checkpoint { fault, .. }) = trainer(sgd()).load(&path) else { panic!("it was taken") };
    assert_eq!(fault, CheckpointFault::Optimizer { has: "adamw".to_owned(), needs: "sgd".to_owned() });
}

#[test]
fn groups_that_cannot_be_are_told() {
    let refused = |groups: Vec<Group>| match trainer(sgd()).with_groups(groups) {
        Err(Error::Group(fault)) => fault,
        other => panic!("{:?}", other.map(drop)),
    };
    assert_eq!(refused(vec![group("tail")]), GroupFault::Empty { group: "tail".to_owned() });
    let twice = refused(vec![group("layer"), group("layer.bias")]);
    assert!(matches!(&twice, GroupFault::Claimed { name, .. } if name == "layer.bias"), "{twice}");
    let mut late = trainer(sgd());
    late.step(&x(1.0)).unwrap();
    assert!(matches!(late.with_groups([group("head").frozen()]), Err(Error::Group(GroupFault::Late))));
}

#[test]
fn the_running_mean_follows_is_evaluated_and_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("averaged.safetensors");
    let mut trainer = trainer(sgd()).with_groups([group("embedding").frozen()]).unwrap();
    trainer = trainer.with_ema(0.75).unwrap();
    let start = values(trainer.store());
    let mut mean: Vec<Vec<f64>> =
        start.iter().map(|values| values.iter().map(|&p| f64::from(p)).collect()).collect();
    assert_eq!(values(&trainer.averaged().unwrap()), start);
    for step in 0..10 {
        trainer.step(&x(gradient(step))).unwrap();
        for (mean, now) in mean.iter_mut().zip(values(trainer.store())) {
            mean.iter_mut().zip(now).for_each(|(e, p)| *e = 0.75 * *e + 0.25 * f64::from(p));
        }
    }
    let averaged = values(&trainer.averaged().unwrap());
    for (at, mean) in mean.iter().enumerate() {
        let wanted: Vec<_> = mean.iter().map(|&e| e as f32).collect();
        assert_close(NAMES[at], &averaged[at], &wanted, TOLERANCE);
    }
    // The loss at x = 1 is the sum of all parameters.
    let sum: f64 = mean.iter().flatten().sum();
    let loss = trainer.evaluate_averaged(&x(1.0)).unwrap();
    assert!((f64::from(loss) - sum).abs() < 1e-4, "{loss} {sum}");
    assert!(
        (trainer.evaluate(&x(1.0)).unwrap() - loss).abs() > 1e-2,
        "the parameters themselves are elsewhere"
    );
    Checkpoint::of_parameters(&trainer.averaged().unwrap(), &path).unwrap().save().unwrap();
    let fresh = super::groups::trainer(Sgd::default());
    Checkpoint::read(&path).unwrap().restore_parameters(fresh.store()).unwrap();
    assert_eq!(values(fresh.store()), averaged);
    // A trainer without a mean has none to give.
    assert!(matches!(fresh.averaged(), Err(Error::Graph(_))));
}

#[test]
fn each_element_is_clipped_behind_the_norm() {
    let plain = Sgd { lr: 1.0, ..Sgd::default() };
    let moved = |trainer: Trainer<Inputs, Sum>, by: f32| {
        let mut trainer = trainer;
        let before = values(trainer.store()).concat();
        trainer.step(&x(by)).unwrap();
        trainer.finish().unwrap();
        before.iter().zip(values(trainer.store()).concat()).map(|(a, b)| a - b).collect::<Vec<_>>()
    };
    let wanted = |by: f32| vec![by; 22];
    let close = Tolerance { abs: 1e-6, rel: 0.0 };
    let by_value = || trainer(plain).with_clip_value(0.25).unwrap();
    assert_close("above", &moved(by_value(), 3.0), &wanted(0.25), close);
    assert_close("below", &moved(by_value(), -3.0), &wanted(-0.25), close);
    assert_close("within", &moved(by_value(), 0.125), &wanted(0.125), close);
    // 22 equal elements of norm 1.
    let by_norm = trainer(plain).with_clip_norm(1.0).unwrap();
    assert_close("norm", &moved(by_norm, 3.0), &wanted(1.0 / 22f32.sqrt()), close);
    for senseless in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(trainer(plain).with_clip_value(senseless), Err(Error::Setting { .. })));
        assert!(matches!(trainer(plain).with_clip_norm(senseless), Err(Error::Setting { .. })));
    }
    for senseless in [1.0, -0.1, f64::NAN] {
        assert!(matches!(trainer(plain).with_ema(senseless), Err(Error::Setting { .. })));
    }
}

#[test]
fn a_parameter_that_is_not_finite_is_named_before_it_is_trained() {
    for (value, at) in [(f32::NAN, 1), (f32::INFINITY, 3)] {
        let mut params = Params::seeded(1);
        let ids = [0, 1, 2, 3].map(|i| {
            let mut values = vec![1.0; 4];
            values[3] = if i == at { value } else { 1.0 };
            params.add(NAMES[i], &[4], Init::Values(values))
        });
        match Trainer::for_model(&device::shared(), params, sgd(), Sum(ids)) {
            Err(Error::NotFinite { name, index: 3, .. }) => assert_eq!(name, NAMES[at]),
            other => panic!("{:?}", other.map(drop)),
        }
    }
}
