//! Constants of a model: what it computes with them, that training and its checkpoint leave them as they are, that no gradient
//! and no moment is kept for them, and that a file that is loaded brings its own.

use seqloom::prelude::custom::*;
use seqloom::train::{CheckpointFault, Error};
use seqloom_graph::{Arena, GraphError};
use seqloom_tests::device;

/// Numbers that f32 has no short form for.
const MEAN: [f32; 2] = [0.1, -7.3];
const SPREAD: [f32; 2] = [3.7, 0.013];

/// y = 2·a − b + 1 of the normalised channels a, b.
fn points() -> Inputs {
    let normalised: Vec<[f32; 2]> =
        (0..12).map(|i| [(i as f32 * 1.3).sin(), (i as f32 * 0.7).cos()]).collect();
    let x = normalised.iter().flat_map(|n| [0, 1].map(|c| MEAN[c] + SPREAD[c] * n[c])).collect();
    let y = normalised.iter().map(|[a, b]| 2.0 * a - b + 1.0).collect();
    Inputs::new().floats("x", &[12, 2], x).floats("y", &[12, 1], y)
}

struct Normalised {
    mean: ParamId,
    spread: ParamId,
    line: Linear,
}

impl Normalised {
    /// The constants come before, between and behind the parameters.
    fn new(params: &mut Params, mean: &[f32], spread: &[f32]) -> Self {
        params.scope("model", |params| Self {
            mean: params.constant("mean", &[mean.len()], mean.to_vec()),
            line: Linear::new(params, "line", 2, 1),
            spread: params.constant("spread", &[spread.len()], spread.to_vec()),
        })
    }
}

impl Model<Inputs> for Normalised {
    fn loss<'g>(&self, g: &'g Graph, batch: &Inputs) -> Tensor<'g> {
        let batch = batch.bind(g);
        let x = (batch.get("x") - g.param(self.mean)) / g.param(self.spread);
        losses::mse(self.line.forward(x), batch.get("y"), losses::Reduction::Mean)
    }
}

const NAMES: [&str; 4] = ["model.mean", "model.line.weight", "model.line.bias", "model.spread"];

/// A decay that would show in the constants if it reached them.
fn trainer(mean: &[f32], spread: &[f32]) -> Trainer<Inputs, Normalised> {
    let mut params = Params::seeded(3);
    let model = Normalised::new(&mut params, mean, spread);
    assert_eq!(params.count(), 3, "constants are not trained");
    let adam = AdamW { lr: 0.1, weight_decay: 1e-4, clip_norm: None, ..AdamW::default() };
    Trainer::for_model(&device::shared(), params, adam, model).unwrap()
}

fn values(trainer: &Trainer<Inputs, Normalised>) -> Vec<Vec<f32>> {
    trainer.store().read(Arena::Params).unwrap()
}

#[test]
fn training_leaves_them_as_they_are() {
    let mut trainer = trainer(&MEAN, &SPREAD);
    let names: Vec<_> = trainer.store().specs().iter().map(|spec| spec.name.clone()).collect();
    assert_eq!(names, NAMES);
    let points = points();
    for _ in 0..300 {
        trainer.step(&points).unwrap();
    }
    let loss = trainer.loss().unwrap();
    assert!(loss < 1e-4, "the line is found in the normalised channels; loss {loss}");
    let [mean, weight, bias, spread] = &values(&trainer)[..] else { panic!("four tensors") };
    assert_eq!((&mean[..], &spread[..]), (&MEAN[..], &SPREAD[..]));
    assert!((weight[0] - 2.0).abs() < 0.05 && (weight[1] + 1.0).abs() < 0.05 && (bias[0] - 1.0).abs() < 0.05);
    // Neither gradients nor moments nor counts.
    for arena in [Arena::Grads, Arena::State("m"), Arena::State("v")] {
        let sizes: Vec<_> = trainer.store().read(arena).unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [0, 2, 1, 0]);
        let error = trainer.store().write(arena, 0, &MEAN).unwrap_err();
        assert!(matches!(&error, GraphError::NotTrained { name } if name == "model.mean"), "{error}");
    }
    assert_eq!(trainer.store().updates().unwrap().of_params, [0, 300, 300, 0]);
}

#[test]
fn a_checkpoint_has_them_and_loading_brings_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut first = trainer(&MEAN, &SPREAD);
    let points = points();
    for _ in 0..20 {
        first.step(&points).unwrap();
    }
    first.save(&path).unwrap();
    let checkpoint = Checkpoint::read(&path).unwrap();
    for name in NAMES {
        assert!(checkpoint.contains(name), "{name}");
        let trained = name.contains("line");
        for prefix in ["adamw.m.", "adamw.v.", "adamw.step."] {
            assert_eq!(checkpoint.contains(&format!("{prefix}{name}")), trained, "{prefix}{name}");
        }
    }
    // A model with other constants takes those of the file, and goes on to the same bits.
    let mut second = trainer(&[0.0; 2], &[1.0; 2]);
    second.load(&path).unwrap();
    for trainer in [&mut first, &mut second] {
        trainer.step(&points).unwrap();
        trainer.finish().unwrap();
    }
    assert_eq!(values(&first), values(&second));
    let store = ParamStore::new(&device::shared(), registered(&[0.0; 2]), StoreKind::Inference).unwrap();
    checkpoint.restore_parameters(&store).unwrap();
    assert_eq!(store.read(Arena::Params).unwrap()[0], MEAN);
    // Of another shape they are refused by name.
    let store = ParamStore::new(&device::shared(), registered(&[0.0; 3]), StoreKind::Inference).unwrap();
    let Err(Error::Checkpoint { fault: CheckpointFault::Mismatch { misshapen, .. }, .. }) =
        checkpoint.restore_parameters(&store)
    else {
        panic!("another shape was taken")
    };
    let told: Vec<_> = misshapen.iter().map(|m| (m.name.as_str(), &m.has[..], &m.needs[..])).collect();
    assert_eq!(told, [("model.mean", &[2][..], &[3][..])]);
}

/// The parameters of a model with this mean.
fn registered(mean: &[f32]) -> Params {
    let mut params = Params::seeded(3);
    let _ = Normalised::new(&mut params, mean, &SPREAD);
    params
}

/// Mistakes are told as those of parameters; a loss of constants alone has nothing to train.
#[test]
fn mistakes_are_told() {
    let store = |register: &dyn Fn(&mut Params)| {
        let mut params = Params::seeded(1);
        register(&mut params);
        ParamStore::new(&device::shared(), params, StoreKind::Training).map(|_| ())
    };
    let short = store(&|params| {
        params.constant("mean", &[3], vec![0.0; 2]);
    });
    assert!(matches!(short, Err(GraphError::HostShape { len: 2, .. })), "{short:?}");
    let twice = store(&|params| {
        params.add("mean", &[1], Init::Zeros);
        params.constant("mean", &[1], vec![0.0]);
    });
    assert!(matches!(&twice, Err(GraphError::ParamTwice { name }) if name == "mean"), "{twice:?}");
    let mut params = Params::seeded(1);
    let mean = params.constant("mean", &[1], vec![2.0]);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let g = store.training_graph();
    let objective = Some(Objective { loss: g.param(mean).sum_all(), update: Some(&AdamW::default()) });
    let refused = Program::compile(&store, &g, Request { outputs: &[], objective });
    assert!(matches!(refused, Err(GraphError::ConstantLoss { .. })), "{refused:?}");
}
