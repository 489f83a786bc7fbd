//! A model, a batch and a schedule that are not ours, by the public face alone: a trainer of a named type, a closure kept in a
//! variable, rates that are set while it runs, and a training that stops by itself.

use seqloom::prelude::custom::*;
use seqloom::{Error, Result};
use seqloom_tests::device;

struct Points {
    x: HostTensor,
    y: HostTensor,
}

impl Points {
    /// y = 2x + 1 at four places.
    fn new() -> Self {
        let x = vec![-1.0, 0.0, 1.0, 2.0];
        let y = x.iter().map(|x| 2.0 * x + 1.0).collect();
        let [x, y] = [x, y].map(|values| HostTensor::f32(&[4, 1], values).unwrap());
        Self { x, y }
    }
}

impl Batch for Points {
    fn tensors(&self) -> Vec<(&'static str, &HostTensor)> {
        vec![("x", &self.x), ("y", &self.y)]
    }
}

struct Line(Linear);

impl Model<Points> for Line {
    fn loss<'g>(&self, g: &'g Graph, _: &Points) -> Tensor<'g> {
        let [x, y] = ["x", "y"].map(|name| g.input(name, &[4, 1], DType::F32));
        losses::mse(self.0.forward(x), y, losses::Reduction::Mean)
    }
}

/// What a program of one's own stores: no type parameter is left open.
struct Fit {
    trainer: Trainer<Points, Line>,
    stopping: EarlyStopping,
}

const ADAM: AdamW =
    AdamW { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, clip_norm: None };

fn line() -> (Params, Line) {
    let mut params = Params::seeded(5);
    let line = Linear::new(&mut params, "line", 1, 1);
    (params, Line(line))
}

impl Fit {
    fn new() -> Self {
        let (params, model) = line();
        let trainer = Trainer::for_model(&device::shared(), params, ADAM, model).unwrap();
        Self { trainer, stopping: EarlyStopping { min_delta: 1e-9, ..EarlyStopping::new(20) } }
    }

    fn run(&mut self) -> Result<u64> {
        let points = Points::new();
        loop {
            self.trainer.step(&points)?;
            if self.stopping.observe(self.trainer.loss()?.into()) == Verdict::Stop {
                return Ok(self.trainer.step_count());
            }
        }
    }
}

fn weights(store: &impl AsRef<ParamStore>) -> Vec<f32> {
    store.as_ref().read(seqloom_graph::Arena::Params).unwrap().concat()
}

#[test]
fn a_named_trainer_finds_the_line_and_stops_by_itself() {
    let mut fit = Fit::new();
    fit.trainer = fit.trainer.with_schedule(|update: u64| 0.99f64.powi(update as i32)).unwrap();
    let steps = fit.run().unwrap();
    assert!((50..2000).contains(&steps), "{steps} steps");
    assert!(fit.stopping.best.unwrap() < 1e-6, "{:?}", fit.stopping);
    let found = weights(&fit.trainer);
    // A mean square of 1e-6 is a thousandth of a unit of y.
    assert!((found[0] - 2.0).abs() < 3e-3 && found.iter().any(|v| (v - 1.0).abs() < 3e-3), "{found:?}");
}

#[test]
fn a_closure_in_a_variable_trains_the_same_bits() {
    let (params, model) = line();
    let record = recorder(|g, batch: &Points| model.loss(g, batch));
    let mut by_closure = Trainer::for_model(&device::shared(), params, ADAM, record).unwrap();
    let mut by_model = Fit::new().trainer;
    for _ in 0..5 {
        by_closure.step(&Points::new()).unwrap();
        by_model.step(&Points::new()).unwrap();
    }
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(weights(&by_closure)), bits(weights(&by_model)));
}

#[test]
fn a_rate_that_is_set_holds_from_the_next_step_on() {
    let mut trainer = Fit::new().trainer;
    let points = Points::new();
    trainer.step(&points).unwrap();
    trainer.set_lr(0.0).unwrap();
    let before = weights(&trainer);
    trainer.step(&points).unwrap();
    assert_eq!((weights(&trainer), trainer.lr().unwrap()), (before.clone(), 0.0));
    trainer.set_lr(0.05).unwrap();
    trainer.step(&points).unwrap();
    assert_ne!(weights(&trainer), before);
    assert_eq!(trainer.lr().unwrap(), 0.05);
    for senseless in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(trainer.set_lr(senseless), Err(Error::Setting { setting: "AdamW.lr", .. })));
    }
    assert_eq!(trainer.lr().unwrap(), 0.05);
}

#[test]
fn a_schedule_without_sense_stops_the_step_before_it_begins() {
    let mut trainer = Fit::new().trainer;
    // The rates of the next eight updates go along, so the fault is told where it can still be mended.
    trainer = trainer.with_schedule(|update: u64| if update < 20 { 1.0 } else { f64::NAN }).unwrap();
    let points = Points::new();
    let fault = (0..20).find_map(|_| trainer.step(&points).err()).unwrap();
    assert!(matches!(fault, Error::Setting { value, .. } if value.is_nan()), "{fault}");
    assert!(trainer.step_count() < 20 && weights(&trainer).iter().all(|v| v.is_finite()));
}
