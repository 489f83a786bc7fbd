//! Twenty training steps against PyTorch: embedding, two LSTM layers, linear head, cross-entropy, clipping by the
//! global norm, AdamW. The loss and the norm agree at every step and the parameters at the end, from the same initial
//! weights.
//!
//! It runs once as a program that the test drives itself, and once through the trainer; the second must equal the first
//! bit for bit.

use seqloom_device::Device;
use seqloom_graph::{
    Arena, Control, Graph, Objective, ParamStore, Params, Program, RATES, Request, StoreKind,
};
use seqloom_nn::{Batch, LmBatch, LstmLm, LstmLmConfig, Model, Vocab};
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::device;
use seqloom_tests::golden::Golden;
use seqloom_train::{AdamW, Trainer};

/// A loss is a mean of 21 logarithms, each right to some 1e-6; a step passes its error on to the next, damped by Adam's
/// averages.
const LOSS: Tolerance = Tolerance { abs: 0.0, rel: 1e-5 };
const NORM: Tolerance = Tolerance { abs: 0.0, rel: 1e-4 };
/// Adam divides a gradient by its own size, so an error of 1e-8 in a gradient near the optimizer's eps of 1e-4 is one of
/// 1e-4 in the step's direction and, by lr 0.03, of 3e-6 in a parameter; twenty steps do not all err one way.
const PARAMETERS: Tolerance = Tolerance { abs: 1e-5, rel: 1e-4 };

/// The model, batches and constants of the golden file.
struct Setting {
    golden: Golden,
    steps: usize,
}

impl Setting {
    fn load() -> Self {
        let golden = Golden::load("training");
        let steps = golden.tensor("tokens").shape()[0];
        Self { golden, steps }
    }

    fn constant(&self, name: &str) -> f32 {
        self.golden.floats(name)[0]
    }

    fn model(&self, params: &mut Params) -> LstmLm {
        let table = self.golden.tensor("initial.embedding.weight").shape();
        let hidden = self.golden.tensor("initial.head.weight").shape()[1];
        let vocab = Vocab::ids(table[0]);
        LstmLm::new(params, LstmLmConfig { vocab, embed: table[1], hidden, layers: 2, dropout: 0.0 })
    }

    fn batch(&self, step: usize) -> LmBatch {
        let shape = self.golden.tensor("tokens").shape();
        let (rows, time) = (shape[1], shape[2]);
        let of = |name: &str| self.golden.ids(name)[step * rows * time..][..rows * time].to_vec();
        LmBatch::new(rows, time, of("tokens"), of("targets")).unwrap()
    }

    fn start(&self, store: &ParamStore) {
        for (i, spec) in store.specs().iter().enumerate() {
            store.write(Arena::Params, i, self.golden.floats(&format!("initial.{}", spec.name))).unwrap();
        }
    }

    fn control(&self) -> Control {
        Control {
            lr: [self.constant("lr"); RATES],
            clip_norm: self.constant("clip_norm"),
            ..Control::default()
        }
    }

    fn optimizer(&self) -> AdamW {
        let constant = |name| f64::from(self.constant(name));
        AdamW {
            lr: constant("lr"),
            beta1: constant("beta1"),
            beta2: constant("beta2"),
            eps: constant("eps"),
            weight_decay: constant("weight_decay"),
            clip_norm: Some(constant("clip_norm")),
        }
    }

    /// Drives a program over the steps: losses, norms, and the parameters at the end.
    fn by_hand(&self, device: &Device) -> (Vec<f32>, Vec<f32>, Vec<Vec<f32>>) {
        let mut params = Params::seeded(0);
        let model = self.model(&mut params);
        let g = Graph::training(&params);
        let loss = model.loss(&g, &self.batch(0));
        let store = ParamStore::new(device, params, StoreKind::Training).unwrap();
        self.start(&store);
        let optimizer = self.optimizer();
        let request = Request { outputs: &[], objective: Some(Objective { loss, update: Some(&optimizer) }) };
        let program = Program::compile(&store, &g, request).unwrap();
        let scalar = |name: &str| program.read(name).unwrap().wait().unwrap()[0];
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for step in 0..self.steps {
            program.run(&self.batch(step).tensors(), &self.control()).unwrap();
            losses.push(scalar("loss"));
            norms.push(scalar("grad_norm"));
        }
        (losses, norms, store.read(Arena::Params).unwrap())
    }
}

/// With the kernels for this adapter, and with those for a GPU, whose products take the biases as epilogues.
#[test]
fn twenty_steps_match_step_by_step() {
    let setting = Setting::load();
    for (kind, device) in [("as it is", device::shared()), ("as a GPU", device::shared_as_gpu())] {
        let (losses, norms, finals) = setting.by_hand(&device);
        assert_close(&format!("losses {kind}"), &losses, setting.golden.floats("losses"), LOSS);
        assert_close(&format!("norms {kind}"), &norms, setting.golden.floats("norms"), NORM);
        let mut params = Params::seeded(0);
        let _ = setting.model(&mut params);
        for (spec, values) in params.iter().zip(&finals) {
            let want = setting.golden.floats(&format!("final.{}", spec.name));
            assert_close(&format!("final.{} {kind}", spec.name), values, want, PARAMETERS);
        }
    }
}

#[test]
fn the_trainer_takes_the_same_steps() {
    let setting = Setting::load();
    let (losses, _, finals) = setting.by_hand(&device::shared());
    let mut params = Params::seeded(0);
    let model = setting.model(&mut params);
    let optimizer = setting.optimizer();
    let mut trainer =
        Trainer::new(&device::shared(), params, optimizer, |g, batch: &LmBatch| model.loss(g, batch))
            .unwrap();
    setting.start(trainer.as_ref());
    for (step, expected) in losses.iter().enumerate() {
        trainer.step(&setting.batch(step)).unwrap();
        assert_same_bits(&format!("loss of step {step}"), &[trainer.loss().unwrap()], &[*expected]);
    }
    let store: &ParamStore = trainer.as_ref();
    for (spec, (got, want)) in
        store.specs().iter().zip(store.read(Arena::Params).unwrap().iter().zip(&finals))
    {
        assert_same_bits(&spec.name, got, want);
    }
}
