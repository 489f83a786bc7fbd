//! A model, a batch and a schedule that are not ours, by the public face alone: a trainer of a named type, a closure kept in a
//! variable, rates that are set while it runs, and a training that stops by itself.

use seqloom::prelude::custom::*;
use seqloom::{Error, Result};
use seqloom_tests::device;

/// y = 2x + 1 at four places.
fn points() -> Inputs {
    let x = vec![-1.0, 0.0, 1.0, 2.0];
    let y = x.iter().map(|x| 2.0 * x + 1.0).collect();
    Inputs::new().floats("x", &[4, 1], x).floats("y", &[4, 1], y)
}

struct Line(Linear);

impl Model<Inputs> for Line {
    fn loss<'g>(&self, g: &'g Graph, batch: &Inputs) -> Tensor<'g> {
        let batch = batch.bind(g);
        losses::mse(self.0.forward(batch.get("x")), batch.get("y"), losses::Reduction::Mean)
    }
}

/// What a program of one's own stores: no type parameter is left open.
struct Fit {
    trainer: Trainer<Inputs, Line>,
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
        let points = points();
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
    let record = recorder(|g, batch: &Inputs| model.loss(g, batch));
    let mut by_closure = Trainer::for_model(&device::shared(), params, ADAM, record).unwrap();
    let mut by_model = Fit::new().trainer;
    for _ in 0..5 {
        by_closure.step(&points()).unwrap();
        by_model.step(&points()).unwrap();
    }
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(weights(&by_closure)), bits(weights(&by_model)));
}

#[test]
fn inputs_that_a_model_does_not_read_change_nothing_and_unknown_ones_are_named() {
    let mut plain = Fit::new().trainer;
    let mut fed_more = Fit::new().trainer;
    for _ in 0..3 {
        plain.step(&points()).unwrap();
        fed_more.step(&points().ids("day", &[2], vec![1, 2]).lengths("steps", 3, vec![3, 1])).unwrap();
    }
    assert_eq!(weights(&plain), weights(&fed_more));
    assert_eq!(plain.memory().programs, fed_more.memory().programs, "what is not read takes no memory");
    let nameless = Inputs::new().floats("x", &[4, 1], vec![0.0; 4]);
    let fault = fed_more.step(&nameless).unwrap_err().to_string();
    assert!(fault.contains("has no input 'y', only [\"x\"]") && fault.contains("own_model.rs"), "{fault}");
    assert!(matches!(fed_more.step(&nameless.floats("y", &[2], vec![0.0])), Err(Error::Model(_))));
}

/// Points of the same line, some of them at a time.
fn samples(bad_row: usize) -> Samples<impl Dataset<Batch = Inputs> + Send + Sync> {
    Samples::from_fn(40, move |rows| {
        if rows.contains(&bad_row) {
            return Err(format!("row {bad_row} is gone").into());
        }
        let x: Vec<f32> = rows.iter().map(|&row| row as f32 / 20.0 - 1.0).collect();
        let y = x.iter().map(|x| 2.0 * x + 1.0).collect();
        Ok(Inputs::new().floats("x", &[rows.len(), 1], x).floats("y", &[rows.len(), 1], y))
    })
}

#[test]
fn batches_made_ahead_train_the_same_bits_and_tell_their_faults_at_their_step() {
    let (mut plain, mut ahead, mut stopped) = (Fit::new().trainer, Fit::new().trainer, Fit::new().trainer);
    let course = || samples(99).batches(8).seeded(3).epochs(20);
    for batch in course() {
        plain.step(&batch).unwrap();
    }
    for batch in course().prefetched(3) {
        ahead.step(&batch).unwrap();
    }
    assert_eq!((plain.step_count(), weights(&plain)), (100, weights(&ahead)));
    // Stopped after 42 steps, the position alone resumes it.
    let mut batches = course().prefetched(3);
    for batch in batches.by_ref().take(42) {
        stopped.step(&batch).unwrap();
    }
    for batch in course().starting_at(batches.position()).prefetched(1) {
        stopped.step(&batch).unwrap();
    }
    assert_eq!(weights(&stopped), weights(&ahead));
    // A hundred steps of Adam at a rate of 0.1 are on the line, not yet at rest.
    assert!((weights(&ahead)[0] - 2.0).abs() < 0.05, "{:?}", weights(&ahead));
    let mut steps = samples(17).batches(8).in_order().prefetched(4);
    let told = steps.by_ref().map(|batch| ahead.step(&batch).map_err(|fault| fault.to_string()));
    let fault = Err("batch 2 cannot be loaded: row 17 is gone".to_owned());
    assert_eq!(told.collect::<Vec<_>>(), [Ok(()), Ok(()), fault, Ok(()), Ok(())]);
    assert_eq!(ahead.step_count(), 104);
}

#[test]
fn a_rate_that_is_set_holds_from_the_next_step_on() {
    let mut trainer = Fit::new().trainer;
    let points = points();
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
        assert!(matches!(
            trainer.set_lr(senseless),
            Err(Error::Setting { setting: "the learning rate", .. })
        ));
    }
    assert_eq!(trainer.lr().unwrap(), 0.05);
}

#[test]
fn a_schedule_without_sense_stops_the_step_before_it_begins() {
    let mut trainer = Fit::new().trainer;
    // The rates of the next eight updates go along, so the fault is told where it can still be mended.
    trainer = trainer.with_schedule(|update: u64| if update < 20 { 1.0 } else { f64::NAN }).unwrap();
    let points = points();
    let fault = (0..20).find_map(|_| trainer.step(&points).err()).unwrap();
    assert!(matches!(fault, Error::Setting { value, .. } if value.is_nan()), "{fault}");
    assert!(trainer.step_count() < 20 && weights(&trainer).iter().all(|v| v.is_finite()));
}
