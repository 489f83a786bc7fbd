//! Every optimizer against PyTorch's, parameter by parameter after each of twenty steps; the settings are those of
//! `tests/golden/optimizers.py`.
//!
//! The gradients follow from the parameters, so an error of one step is in all later ones.

use seqloom_device::Device;
use seqloom_graph::{Arena, Control, HostTensor, Init, Objective, Optimizer, ParamStore, Params, Program};
use seqloom_graph::{DType, DispatchInfo, RATES, Request, StoreKind, Tensor};
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::device;
use seqloom_tests::golden::Golden;
use seqloom_train::{Adafactor, Adagrad, Adam, AdamW, Lion, Muon, RmsProp, Sgd};

const NAMES: [&str; 4] = ["wide", "tall", "vector", "cube"];

/// A step's error is some roundings of numbers of size 1, and twenty steps add up.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };
/// Newton–Schulz iterations amplify errors in small singular values up to 3.4445⁵ = 485 times before lr takes a twentieth of them.
const OF_MUON: Tolerance = Tolerance { abs: 2e-4, rel: 1e-4 };

/// A loss whose gradient follows from the parameters, a program of its steps, and the inputs of each.
struct Setting {
    store: ParamStore,
    program: Program,
}

impl Setting {
    fn new(device: &Device, golden: &Golden, optimizer: &dyn Optimizer) -> Self {
        let mut params = Params::seeded(1);
        let shape = |name: &str| golden.tensor(&format!("initial.{name}")).shape();
        let ids = NAMES.map(|name| {
            let values = golden.floats(&format!("initial.{name}")).to_vec();
            params.add(name, &shape(name), Init::Values(values))
        });
        let store = ParamStore::new(device, params, StoreKind::Training).unwrap();
        let g = store.training_graph();
        let of =
            |(id, name): (_, &str)| (g.param(id).sin() * g.input(name, &shape(name), DType::F32)).sum_all();
        let loss = ids.into_iter().zip(NAMES).map(of).reduce(|a: Tensor<'_>, b| a + b).unwrap();
        let objective = Some(Objective { loss, update: Some(optimizer) });
        let program = Program::compile(&store, &g, Request { outputs: &[], objective }).unwrap();
        Self { store, program }
    }

    fn step(&self, golden: &Golden, step: usize, lr: f64) {
        let weights = NAMES.map(|name| {
            let shape = golden.tensor(&format!("initial.{name}")).shape();
            let len: usize = shape.iter().product();
            let all = golden.floats(&format!("weights.{name}"));
            HostTensor::f32(&shape, all[step * len..(step + 1) * len].to_vec()).unwrap()
        });
        let inputs: Vec<_> = NAMES.into_iter().zip(&weights).collect();
        let control = Control { lr: [lr as f32; RATES], ..Control::default() };
        self.program.run(&inputs, &control).unwrap();
    }
}

/// The dispatches behind those that compute gradients: of the norm, which all optimizers have, and of the update.
fn of_update(program: &Program) -> Vec<&DispatchInfo> {
    program.infos().iter().skip_while(|info| !info.label.starts_with("norm_finish")).skip(1).collect()
}

#[track_caller]
fn check(case: &str, optimizer: &dyn Optimizer, tolerance: Tolerance) -> Setting {
    optimizer.check().unwrap();
    let golden = Golden::load("optimizers");
    let setting = Setting::new(&device::shared(), &golden, optimizer);
    for step in 0..20 {
        setting.step(&golden, step, optimizer.lr());
        for (name, values) in NAMES.iter().zip(setting.store.read(Arena::Params).unwrap()) {
            let all = golden.floats(&format!("{case}.{name}"));
            let want = &all[step * values.len()..(step + 1) * values.len()];
            assert_close(&format!("{case}.{name} after step {step}"), &values, want, tolerance);
        }
    }
    setting
}

/// One that updates each element on its own, and so all parameters by one kernel that moves this many bytes for each element.
#[track_caller]
fn elementwise(case: &str, optimizer: &dyn Optimizer, bytes: u64) {
    let Setting { store, program } = check(case, optimizer, TOLERANCE);
    let [update] = of_update(&program)[..] else { panic!("{case}: {}", program.explain()) };
    // Each parameter takes blocks of 64 elements.
    let elements: u64 =
        store.specs().iter().map(|spec| spec.shape.elements().next_multiple_of(64) as u64).sum();
    // Besides, the numbers of the step are read.
    let moved = update.bytes / elements;
    assert_eq!(moved, bytes, "{case}: {}", update.label);
}

#[test]
fn sgd_is_pytorchs() {
    let plain = Sgd { lr: 0.1, ..Sgd::default() };
    elementwise("sgd", &plain, 12);
    elementwise("sgd_decay", &Sgd { weight_decay: 0.1, ..plain }, 12);
    let momentum = Sgd { lr: 0.05, momentum: 0.9, ..plain };
    elementwise("sgd_momentum", &Sgd { weight_decay: 0.01, ..momentum }, 20);
    elementwise("sgd_dampening", &Sgd { dampening: 0.5, ..momentum }, 20);
    elementwise("sgd_nesterov", &Sgd { nesterov: true, ..momentum }, 20);
}

#[test]
fn adam_and_adamw_are_pytorchs() {
    let (lr, beta1, beta2, eps, weight_decay) = (0.03, 0.9, 0.98, 1e-4, 0.1);
    elementwise("adam", &Adam { lr, beta1, beta2, eps, weight_decay }, 28);
    elementwise("adamw", &AdamW { lr, beta1, beta2, eps, weight_decay, clip_norm: None }, 28);
}

#[test]
fn rms_prop_is_pytorchs() {
    let plain = RmsProp { lr: 0.02, alpha: 0.95, eps: 1e-3, weight_decay: 0.05, ..RmsProp::default() };
    elementwise("rmsprop", &plain, 20);
    let centered = RmsProp { eps: 1e-2, weight_decay: 0.0, momentum: 0.8, centered: true, ..plain };
    elementwise("rmsprop_centered", &centered, 36);
}

#[test]
fn adagrad_is_pytorchs() {
    let adagrad =
        Adagrad { lr: 0.1, lr_decay: 0.02, weight_decay: 0.05, initial_accumulator_value: 0.1, eps: 1e-4 };
    elementwise("adagrad", &adagrad, 20);
}

#[test]
fn lion_is_its_papers() {
    elementwise("lion", &Lion { lr: 0.02, beta1: 0.9, beta2: 0.99, weight_decay: 0.1 }, 20);
}

#[test]
fn adafactor_is_pytorchs() {
    let adafactor = Adafactor { lr: 0.1, eps1: 1e-4, weight_decay: 0.05, ..Adafactor::default() };
    let Setting { store, .. } = check("adafactor", &adafactor, TOLERANCE);
    let sizes = |name| store.read(Arena::State(name)).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes("row_var"), [3, 6, 0, 6]);
    assert_eq!(sizes("col_var"), [5, 4, 0, 8]);
    assert_eq!(sizes("variance"), [0, 0, 7, 0]);
}

#[test]
fn muon_is_pytorchs_for_matrices_and_adamw_for_the_rest() {
    let nesterov = Muon { lr: 0.05, momentum: 0.9, adam_lr: 0.5, adam_eps: 1e-4, ..Muon::default() };
    let Setting { store, .. } = check("muon", &nesterov, OF_MUON);
    let sizes = |name| store.read(Arena::State(name)).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes("momentum_buffer"), [15, 24, 0, 0]);
    assert_eq!((sizes("m"), sizes("v")), (vec![0, 0, 7, 24], vec![0, 0, 7, 24]));
    let plain = Muon { weight_decay: 0.0, nesterov: false, adam_lr: 1.0, ..nesterov };
    check("muon_plain", &plain, OF_MUON);
}

/// A step whose gradient is not finite changes nothing, also where the update is a graph.
#[test]
fn a_skipped_step_changes_no_state_of_any_optimizer() {
    let golden = Golden::load("optimizers");
    let (sgd, muon) = (Sgd { momentum: 0.9, ..Sgd::default() }, Muon::default());
    let all: [(&dyn Optimizer, &[&'static str]); 3] = [
        (&sgd, &["momentum_buffer"]),
        (&Adafactor::default(), &["row_var", "col_var", "variance"]),
        (&muon, &["momentum_buffer", "m", "v"]),
    ];
    for (optimizer, states) in all {
        let setting = Setting::new(&device::shared(), &golden, optimizer);
        setting.step(&golden, 0, 0.1);
        let held = || {
            let arenas = states.iter().map(|name| Arena::State(name)).chain([Arena::Params]);
            arenas.map(|arena| setting.store.read(arena).unwrap()).collect::<Vec<_>>()
        };
        let before = held();
        let shape = golden.tensor("initial.vector").shape();
        let good = HostTensor::f32(&shape, vec![1.0; 7]).unwrap();
        let bad = HostTensor::f32(&shape, vec![f32::NAN; 7]).unwrap();
        let others = ["wide", "tall", "cube"].map(|name| {
            let shape = golden.tensor(&format!("initial.{name}")).shape();
            HostTensor::f32(&shape, vec![1.0; shape.iter().product()]).unwrap()
        });
        for (vector, changes) in [(&bad, false), (&good, true)] {
            let inputs =
                [("wide", &others[0]), ("tall", &others[1]), ("cube", &others[2]), ("vector", vector)];
            let control = Control { lr: [0.1; RATES], ..Control::default() };
            setting.program.run(&inputs, &control).unwrap();
            assert_eq!(held() != before, changes, "{}", optimizer.name());
        }
    }
}

/// What an optimizer keeps belongs to it.
#[test]
fn a_store_has_one_optimizer() {
    let mut params = Params::seeded(1);
    params.add("w", &[3], Init::Ones);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let sgd = Sgd { momentum: 0.9, ..Sgd::default() };
    store.attach(&sgd).unwrap();
    store.attach(&Sgd { lr: 0.5, ..sgd }).unwrap();
    for other in [&Sgd::default() as &dyn Optimizer, &AdamW::default()] {
        let error = store.attach(other).unwrap_err();
        assert!(error.to_string().contains("updated by 'sgd'"), "{error}");
    }
}
