//! Steps over several batches: they equal a step over one large batch, whatever the batches' shapes, and a batch that is not finite
//! skips the whole step.

use seqloom::prelude::custom::*;
use seqloom_graph::Arena;
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::device;
use seqloom_tests::executor::random;
use seqloom_train::Error;

/// Means over 12 rows in one order or in another, five steps.
const CLOSE: Tolerance = Tolerance { abs: 2e-6, rel: 2e-5 };

struct Line {
    line: Linear,
    extra: ParamId,
}

impl Model<Inputs> for Line {
    /// The mean over rows; where there is `z`, another parameter has a part in it.
    fn loss<'g>(&self, g: &'g Graph, batch: &Inputs) -> Tensor<'g> {
        let batch = batch.bind(g);
        let y = self.line.forward(batch.get("x").tanh());
        let y = if batch.has("z") { y + g.param(self.extra) * batch.get("z") } else { y };
        losses::mse(y, batch.get("y"), losses::Reduction::Mean)
    }
}

fn trainer(optimizer: impl Optimizer + 'static) -> Trainer<Inputs, Line> {
    let mut params = Params::seeded(5);
    let line = Linear::new(&mut params, "line", 3, 2);
    let extra = params.add("extra", &[2], Init::Ones);
    Trainer::for_model(&device::shared(), params, optimizer, Line { line, extra }).unwrap()
}

const ADAM: AdamW =
    AdamW { lr: 0.05, beta1: 0.9, beta2: 0.99, eps: 1e-4, weight_decay: 0.01, clip_norm: Some(0.5) };

/// Rows `from` to `to` of the data of a step.
fn rows(step: u64, from: usize, to: usize) -> Inputs {
    let (x, y) = (random(2 * step, 36), random(2 * step + 1, 24));
    let count = to - from;
    let batch = Inputs::new().floats("x", &[count, 3], x[3 * from..3 * to].to_vec());
    batch.floats("y", &[count, 2], y[2 * from..2 * to].to_vec()).counting(count)
}

fn values(store: &ParamStore) -> Vec<f32> {
    store.read(Arena::Params).unwrap().concat()
}

#[test]
fn several_batches_equal_a_large_one() {
    let (mut whole, mut parts) = (trainer(ADAM), trainer(ADAM));
    for step in 0..5 {
        whole.step(&rows(step, 0, 12)).unwrap();
        // Of unequal sizes, so that each has a weight of its own; two share a program.
        let batches = [rows(step, 0, 5), rows(step, 5, 6), rows(step, 6, 11), rows(step, 11, 12)];
        parts.step_accumulated(&batches).unwrap();
        let (a, b) = (whole.loss().unwrap(), parts.loss().unwrap());
        assert!((a - b).abs() < 1e-5, "step {step}: {a} {b}");
        let (a, b) = (whole.grad_norm().unwrap(), parts.grad_norm().unwrap());
        assert!((a - b).abs() < 1e-5, "norm of step {step}: {a} {b}");
    }
    assert_close("parameters", &values(parts.store()), &values(whole.store()), CLOSE);
    assert_eq!((parts.step_count(), parts.update_count().unwrap()), (5, 5));
    // One batch is a step too, and steps of both kinds follow each other.
    for (a, b) in [(6, 7), (8, 9)] {
        whole.step(&rows(a, 0, 12)).unwrap();
        parts.step_accumulated(&[rows(a, 0, 12)]).unwrap();
        whole.step(&rows(b, 0, 12)).unwrap();
        parts.step(&rows(b, 0, 12)).unwrap();
    }
    assert_close("parameters", &values(parts.store()), &values(whole.store()), CLOSE);
}

/// A parameter that only one of the batches reaches has that batch's gradient, at its share.
#[test]
fn each_parameter_has_the_gradients_of_the_batches_that_reach_it() {
    let sgd = || Sgd { lr: 1.0, ..Sgd::default() };
    let with_z = |z: f32| rows(1, 0, 6).floats("z", &[6, 2], vec![z; 12]);
    let (mut alone, mut parts, mut never) = (trainer(sgd()), trainer(sgd()), trainer(sgd()));
    alone.step(&with_z(0.5)).unwrap();
    never.step_accumulated(&[rows(1, 0, 6), rows(1, 6, 12)]).unwrap();
    let extra = |trainer: &Trainer<Inputs, Line>| trainer.store().read(Arena::Params).unwrap()[2].clone();
    assert_eq!(extra(&never), [1.0; 2], "nothing reached it");
    for _ in 0..2 {
        let before = extra(&parts);
        parts.step_accumulated(&[rows(1, 6, 12), with_z(0.5)]).unwrap();
        if before == [1.0; 2] {
            let moved = |trainer: &_| extra(trainer).iter().map(|v| v - 1.0).collect::<Vec<_>>();
            let half: Vec<_> = moved(&alone).iter().map(|moved| moved / 2.0).collect();
            assert_close("its share is a half", &moved(&parts), &half, CLOSE);
        }
    }
    assert_eq!(parts.store().updates().unwrap().of_params, [2, 2, 2]);
    assert_eq!(never.store().updates().unwrap().of_params, [1, 1, 0]);
}

#[test]
fn a_batch_that_is_not_finite_skips_the_step() {
    let mut trainer = trainer(ADAM);
    trainer.step_accumulated(&[rows(0, 0, 6), rows(0, 6, 12)]).unwrap();
    trainer.finish().unwrap();
    let before = values(trainer.store());
    let bad = Inputs::new().floats("x", &[6, 3], vec![0.5; 18]).floats("y", &[6, 2], vec![f32::NAN; 12]);
    trainer.step_accumulated(&[rows(1, 0, 6), bad.counting(6)]).unwrap();
    assert!(trainer.loss().unwrap().is_nan());
    assert_eq!((trainer.step_count(), trainer.update_count().unwrap()), (2, 1));
    assert_eq!(values(trainer.store()), before);
    trainer.step_accumulated(&[rows(2, 0, 6), rows(2, 6, 12)]).unwrap();
    assert_eq!(trainer.update_count().unwrap(), 2);
    assert_ne!(values(trainer.store()), before);
}

#[test]
fn no_batch_and_a_bad_batch_are_told_before_anything_runs() {
    let mut trainer = trainer(ADAM);
    assert!(matches!(trainer.step_accumulated(&[]), Err(Error::Setting { .. })));
    let before = values(trainer.store());
    let nameless = Inputs::new().floats("y", &[6, 2], vec![0.0; 12]);
    assert!(trainer.step_accumulated(&[rows(0, 0, 6), nameless]).is_err());
    assert_eq!((values(trainer.store()), trainer.step_count()), (before, 0));
}
