//! Programs, trainers, generators and translators move between threads, and threads that share a program read their own
//! results.

use std::sync::Barrier;

use seqloom_device::Device;
use seqloom_graph::{
    Control, DType, Graph, GraphError, HostTensor, Init, ParamStore, Params, Program, ReadTensor, Request,
    StoreKind,
};
use seqloom_nn::{Generator, Translator};
use seqloom_tests::device;
use seqloom_train::Trainer;

const THREADS: usize = 4;
const RUNS: usize = 200;
const SIZE: usize = 64;

fn send<T: Send>() {}
fn shared<T: Send + Sync>() {}

/// That this compiles is the test: for every model, batch and closure that is itself `Send` and `Sync`.
#[allow(dead_code)]
fn what_threads_may_share<M: Send + Sync, B, F: Send + Sync>() {
    shared::<Device>();
    shared::<Params>();
    shared::<ParamStore>();
    shared::<HostTensor>();
    shared::<Program>();
    shared::<ReadTensor>();
    shared::<GraphError>();
    shared::<Generator<M>>();
    shared::<Translator<M>>();
    // A batch never stays in a trainer, so it need not be either.
    shared::<Trainer<B, F>>();
    // A graph is recorded by one thread at a time.
    send::<Graph>();
}

/// y = x·w + x and s = Σ x, over one x [SIZE].
fn program() -> Program {
    let mut params = Params::seeded(1);
    let w = params.add("w", &[SIZE], Init::Ones);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let x = g.input("x", &[SIZE], DType::F32);
    let outputs = [("y", x * g.param(w) + x), ("s", x.sum_all())];
    Program::compile(&store, &g, Request { outputs: &outputs, objective: None }).unwrap()
}

#[test]
fn threads_read_the_results_of_their_own_calls() {
    let program = program();
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (program, start) = (&program, &start);
            scope.spawn(move || {
                start.wait();
                for run in 0..RUNS {
                    let value = (thread * RUNS + run) as f32;
                    let x = HostTensor::f32(&[SIZE], vec![value; SIZE]).unwrap();
                    let [y, s] =
                        program.call(&[("x", &x)], &Control::default(), ["y", "s"]).unwrap().wait().unwrap();
                    assert_eq!(y, [2.0 * value; SIZE], "thread {thread}, run {run}");
                    assert_eq!(s, [SIZE as f32 * value], "thread {thread}, run {run}");
                }
            });
        }
    });
}

#[test]
fn a_call_for_an_unknown_output_runs_nothing() {
    let program = program();
    let [one, two] = [1.0, 2.0].map(|value| HostTensor::f32(&[SIZE], vec![value; SIZE]).unwrap());
    let [s] = program.call(&[("x", &one)], &Control::default(), ["s"]).unwrap().wait().unwrap();
    let error = program.call(&[("x", &two)], &Control::default(), ["s", "z"]).map(drop).unwrap_err();
    assert!(matches!(&error, GraphError::UnknownOutput { name, .. } if name == "z"), "{error}");
    assert_eq!(s, program.read("s").unwrap().wait().unwrap(), "the outputs of the first run");
}
