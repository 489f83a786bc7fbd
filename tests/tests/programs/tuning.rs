//! The tuner on the device under test, as a CPU adapter and as a GPU: a wrong, failing or hanging variant is never
//! chosen, findings are used and kept, and nothing is measured unasked.

use std::path::Path;
use std::time::Duration;

use seqloom_device::{AdapterKind, Device, DeviceError, DeviceOptions, Facts, Tuning};
use seqloom_graph::{DType, GraphError, HostTensor, ParamStore, Params, Program, Request, StoreKind};
use seqloom_kernels::attention::{self, Bias, Dropout, Pass, Start};
use seqloom_kernels::matmul::{self, Tile};
use seqloom_kernels::recurrent::{self, Activation, Cell, Form};
use seqloom_kernels::reduce;
use seqloom_kernels::tune::{
    Candidate, Limits, Operands, Outcome, Report, Skip, Task, Trial, Tuned, compare, tune,
};
use seqloom_kernels::{Control, KernelError, Operand};
use seqloom_tests::device;
use seqloom_tests::skip::skip;

/// Everything, in one round. A slow driver on a busy machine needs a minute and more to compile one candidate.
const LIMITS: Limits = Limits { wait: Duration::from_secs(300), cost: f64::INFINITY, rounds: 1 };

const PRODUCT: matmul::Problem = matmul::Problem {
    batch: 1,
    m: 40,
    n: 48,
    k: 33,
    trans_a: false,
    trans_b: false,
    a_batched: true,
    b_batched: true,
};

fn devices() -> [Device; 2] {
    [device::shared(), device::shared_as_gpu()]
}

/// The product's candidates and its operands, made here so that a test may spoil them.
fn product(facts: &Facts) -> (Vec<Candidate>, Operands) {
    let words = |len: usize| (0..len).map(|i| ((i * 7 % 11) as f32 - 5.0).to_bits()).collect();
    let matmul::Problem { m, n, k, .. } = PRODUCT;
    let operands = Operands { ins: vec![words(m * k), words(k * n)], leaves: Vec::new(), outs: vec![m * n] };
    (Task::Matmul(PRODUCT).candidates(facts), operands)
}

fn skipped(trial: &Trial) -> &Skip {
    match &trial.outcome {
        Outcome::Skipped(why) => why,
        Outcome::Timed(time) => panic!("{} was timed: {time}", trial.candidate),
    }
}

fn timed(report: &Report) -> Vec<&str> {
    report
        .trials
        .iter()
        .filter(|trial| trial.time().is_some())
        .map(|trial| trial.candidate.as_str())
        .collect()
}

#[test]
fn right_candidates_are_timed_and_one_of_them_is_chosen() {
    for device in devices() {
        let (candidates, operands) = product(device.facts());
        let report = compare(&device, "product", &operands, &candidates, &LIMITS).unwrap();
        assert_eq!(timed(&report).len(), candidates.len(), "{report:#?}");
        assert!(candidates.len() > 2);
        assert_eq!(report.heuristic().unwrap().candidate, Tile::suited(&PRODUCT, device.facts()).to_string());
        assert!(report.chosen().is_some() && report.gain().unwrap() >= 1.0);
    }
}

#[test]
fn a_candidate_that_is_wrong_refused_or_fails_is_not_timed() {
    for device in devices() {
        let (mut candidates, operands) = product(device.facts());
        // One sums a term less: K is the third number of a tile's parameters, the end of the sum the fourth of a row's.
        let short = if device.facts().is_cpu() { 12 } else { 8 };
        candidates[1].lowered.as_mut().unwrap().launches[0].immediates[short] -= 1;
        // One leaves the last columns out.
        let mut lazy = candidates[0].clone();
        lazy.name = "lazy".into();
        lazy.lowered.as_mut().unwrap().launches[0].grid[0] -= 1;
        // One needs more memory than any device has.
        let mut large = candidates[0].clone();
        large.name = "large".into();
        large.lowered.as_mut().unwrap().scratch = vec![u64::MAX / 2];
        // One does not compile, one binds what there is not, one takes no such problem.
        let mut broken = candidates[0].clone();
        broken.name = "broken".into();
        broken.lowered.as_mut().unwrap().launches[0].wgsl.source.push_str("nonsense");
        let mut unbound = candidates[0].clone();
        unbound.name = "unbound".into();
        unbound.lowered.as_mut().unwrap().launches[0].bindings[0] = Operand::In(9);
        let mut refused = candidates[0].clone();
        refused.name = "refused".into();
        refused.lowered = Err(KernelError::Problem { op: "matmul", detail: "no".into() });
        let right = candidates.len();
        candidates.extend([lazy, large, broken, unbound, refused]);
        let report = compare(&device, "product", &operands, &candidates, &LIMITS).unwrap();
        assert_eq!(timed(&report).len(), right - 1, "{report:#?}");
        let why = |index: usize| skipped(&report.trials[index]);
        assert!(matches!(why(1), Skip::Wrong { output: 0, .. }), "{}", why(1));
        assert!(matches!(why(right), Skip::Wrong { has, .. } if has.is_nan()), "{}", why(right));
        assert!(matches!(why(right + 1), Skip::Failed(DeviceError::TooLarge { .. })), "{}", why(right + 1));
        assert!(matches!(why(right + 2), Skip::Failed(DeviceError::Shader { .. })), "{}", why(right + 2));
        assert!(matches!(why(right + 3), Skip::Refused(_)), "{}", why(right + 3));
        assert!(matches!(why(right + 4), Skip::Refused(_)), "{}", why(right + 4));
        assert!(timed(&report).contains(&report.chosen().unwrap().candidate.as_str()));
    }
}

#[test]
fn what_the_model_rules_out_is_not_run_and_the_heuristic_always_is() {
    let device = device::shared();
    let (mut candidates, operands) = product(device.facts());
    candidates[0].cost = 1e9;
    candidates[1].cost = 1.0;
    candidates[2].cost = 3.1;
    let report =
        compare(&device, "product", &operands, &candidates, &Limits { cost: 3.0, ..LIMITS }).unwrap();
    assert!(report.trials[0].time().is_some() && report.trials[1].time().is_some());
    assert!(matches!(skipped(&report.trials[2]), Skip::Dear));
}

#[test]
fn without_the_heuristics_results_nothing_is_chosen() {
    let device = device::shared();
    let (mut candidates, mut operands) = product(device.facts());
    candidates[0].lowered = Err(KernelError::Problem { op: "matmul", detail: "no".into() });
    let report = compare(&device, "product", &operands, &candidates, &LIMITS).unwrap();
    assert!(report.chosen().is_none() && report.gain().is_none());
    assert!(matches!(skipped(&report.trials[1]), Skip::Alone));
    // Nor where they are no numbers.
    let (candidates, _) = product(device.facts());
    operands.ins[0][5] = f32::NAN.to_bits();
    let report = compare(&device, "product", &operands, &candidates, &LIMITS).unwrap();
    assert!(report.chosen().is_none());
    assert!(compare(&device, "none", &operands, &[], &LIMITS).unwrap().trials.is_empty());
}

/// A task of every other family, small.
fn tasks() -> Vec<Task> {
    let sum =
        |outer, len, inner| Task::Reduce(reduce::Problem { outer, len, inner, op: reduce::ReduceOp::Sum });
    let mut tasks = vec![sum(3, 1000, 1), sum(2, 300, 5)];
    for cell in [Cell::Rnn(Activation::Tanh), Cell::Gru, Cell::Lstm] {
        for packed in [false, true] {
            let (batch, time) = (5, 6);
            // Packed, a few rows less than all, so that sequences end early and rows are left over.
            let rows = if packed { batch * time - 4 } else { batch * time };
            let problem = recurrent::Problem { cell, rows, batch, time, hidden: 12, packed, reverse: packed };
            tasks.extend([Task::RecurrentForward(problem), Task::RecurrentBackward(problem)]);
        }
    }
    tasks
}

/// Attention with everything, and with nothing.
fn attentions() -> Vec<Task> {
    let plain = attention::Problem { scale: 0.3, ..attention::Problem::plain([2, 2, 1, 9, 20, 8, 6]) };
    let full = attention::Problem {
        after: Some(0),
        lengths: true,
        start: Start::AtEnd,
        bias: Some(Bias { batched: false, per_head: true }),
        slopes: true,
        radius: Some(2),
        dropout: Some(Dropout { keep: 0.9, stream: 3 }),
        ..plain
    };
    let passes = [Pass::Forward, Pass::Query { learned: true }, Pass::Key];
    let every = |problem| passes.map(|pass| Task::Attention(pass, problem));
    [&every(plain)[..], &every(full), &[Task::Attention(Pass::Bias, full)]].concat()
}

#[test]
fn the_candidates_of_every_family_are_right() {
    for (device, others) in devices().into_iter().zip([attentions(), Vec::new()]) {
        for task in [tasks(), others].concat() {
            let report = tune(&device, &[task], &LIMITS).unwrap().remove(0);
            assert_eq!(timed(&report).len(), report.trials.len(), "{report:#?}");
            assert!(report.trials.len() > 1 || device.facts().lanes() != Some(8), "{report:#?}");
        }
    }
}

fn opened(folder: &Path, tuning: Tuning, kind: Option<AdapterKind>) -> Device {
    let cache_dir = Some(folder.to_path_buf());
    Device::open(DeviceOptions { cache_dir, tuning, kind, ..DeviceOptions::default() }).unwrap()
}

#[test]
fn a_candidate_that_hangs_ends_the_tuning_and_is_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let device = opened(folder.path(), Tuning::Full, None);
    let task = Task::Matmul(matmul::Problem { m: 512, n: 512, k: 512, ..PRODUCT });
    // Nothing is done at once, so the first candidate counts as hung.
    let impatient = Limits { wait: Duration::ZERO, ..LIMITS };
    let error = tune(&device, &[task], &impatient).unwrap_err();
    let first = task.candidates(device.facts()).remove(0);
    assert_eq!((error.bucket.as_str(), &error.candidate), (task.bucket().as_str(), &first.name));
    assert!(matches!(error.source, DeviceError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains(&first.name), "{error}");
    device.wait().unwrap();
    // The next run knows.
    let device = opened(folder.path(), Tuning::Full, None);
    let reports = tune(&device, &[task], &LIMITS).unwrap();
    assert!(matches!(skipped(&reports[0].trials[0]), Skip::Ended(_)), "{reports:#?}");
    assert!(reports[0].chosen().is_none() && !device.notes().contains_key(&task.bucket()));
}

#[test]
fn a_lost_device_ends_the_tuning_with_what_was_found_before() {
    let device = device::open();
    let task = Task::Matmul(PRODUCT);
    tune(&device, &[task], &LIMITS).unwrap();
    device.destroy();
    let other = Task::Matmul(matmul::Problem { m: 200, ..PRODUCT });
    let error = tune(&device, &[other], &LIMITS).unwrap_err();
    assert!(matches!(error.source, DeviceError::Lost { .. }), "{error}");
    assert!(device.notes().contains_key(&task.bucket()));
    assert!(!device.notes().contains_key(&other.bucket()));
}

/// A program of one product of the sizes of [`PRODUCT`].
fn program(device: &Device) -> Result<Program, GraphError> {
    let store = ParamStore::new(device, Params::seeded(1), StoreKind::Inference)?;
    let graph = store.inference_graph();
    let matmul::Problem { m, n, k, .. } = PRODUCT;
    let (a, b) = (graph.input("a", &[m, k], DType::F32), graph.input("b", &[k, n], DType::F32));
    Program::compile(&store, &graph, Request { outputs: &[("y", a.matmul(b))], ..Request::default() })
}

fn run(program: &Program) -> Vec<f32> {
    let matmul::Problem { m, n, k, .. } = PRODUCT;
    let values = |len: usize| (0..len).map(|i| (i % 13) as f32 / 13.0).collect::<Vec<_>>();
    let [a, b] = [(m, k), (k, n)].map(|(r, c)| HostTensor::f32(&[r, c], values(r * c)).unwrap());
    program.run(&[("a", &a), ("b", &b)], &Control::default()).unwrap();
    program.read("y").unwrap().wait().unwrap()
}

/// The kernel that multiplies in a program.
fn kernel(program: &Program) -> String {
    program.infos().iter().map(|info| info.label.clone()).find(|name| name.contains("matmul")).unwrap()
}

#[test]
fn a_program_takes_what_the_notes_say_and_measures_only_if_asked() {
    for kind in [None, Some(AdapterKind::Discrete)] {
        let folder = tempfile::tempdir().unwrap();
        // By the rules: one pipeline, nothing noted, nothing on disk.
        for tuning in [Tuning::Heuristic, Tuning::Cached] {
            let device = opened(folder.path(), tuning, kind);
            program(&device).unwrap();
            assert_eq!(device.counts().pipelines, 1, "{tuning:?}");
            assert!(device.notes().is_empty());
            device.save_notes().unwrap();
        }
        let plain = opened(folder.path(), Tuning::Heuristic, kind);
        let (want, ruled) = (run(&program(&plain).unwrap()), kernel(&program(&plain).unwrap()));

        // Asked to measure, it does so once.
        let device = opened(folder.path(), Tuning::Full, kind);
        program(&device).unwrap();
        let (bucket, tuned) = (Task::Matmul(PRODUCT).bucket(), device.counts().pipelines);
        assert!(tuned > 1 && device.notes().contains_key(&bucket), "{:?}", device.notes());
        program(&device).unwrap();
        assert_eq!(device.counts().pipelines, tuned);

        // What is noted is what is taken, whatever was the fastest today.
        let other =
            Tile::all(device.facts()).into_iter().find(|t| *t != Tile::suited(&PRODUCT, device.facts()));
        device.note(&bucket, &other.unwrap().to_string());
        device.save_notes().unwrap();
        let cached = opened(folder.path(), Tuning::Cached, kind);
        let program_cached = program(&cached).unwrap();
        assert_eq!(cached.counts().pipelines, 1);
        assert_ne!(kernel(&program_cached), ruled);
        assert_eq!(run(&program_cached), want, "tiles do not change a bit");

        // A note that names nothing, and none at all, leave the rules.
        cached.note(&bucket, "tile 7x7");
        assert_eq!(kernel(&program(&cached).unwrap()), ruled);
        assert_eq!(kernel(&program(&opened(folder.path(), Tuning::Heuristic, kind)).unwrap()), ruled);
    }
}

#[test]
fn only_problems_with_a_choice_are_asked_about_and_one_of_a_bucket() {
    let facts = device::shared().facts().clone();
    let tuned = Tuned::default();
    let tile = |m| tuned.tile(&matmul::Problem { m, ..PRODUCT }, &facts);
    assert_eq!(tile(40), Tile::suited(&PRODUCT, &facts));
    tile(0);
    tile(33);
    tile(64);
    assert_eq!(tuned.unknown().len(), 1);
    tile(65);
    assert_eq!(tuned.unknown().len(), 2);
}

#[test]
fn compiling_with_a_lost_device_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let device = opened(folder.path(), Tuning::Full, None);
    let store = ParamStore::new(&device, Params::seeded(1), StoreKind::Inference).unwrap();
    let graph = store.inference_graph();
    let (a, b) = (graph.input("a", &[40, 33], DType::F32), graph.input("b", &[33, 48], DType::F32));
    let outputs = [("y", a.matmul(b))];
    device.destroy();
    let error =
        Program::compile(&store, &graph, Request { outputs: &outputs, ..Request::default() }).unwrap_err();
    assert!(matches!(&error, GraphError::Tune(e) if matches!(e.source, DeviceError::Lost { .. })), "{error}");
}

#[test]
fn what_another_problem_of_the_bucket_cannot_take_is_lowered_by_the_rules() {
    let device = device::open();
    if !device.facts().is_cpu() || device.facts().lanes().is_none() {
        return skip("only the form of a CPU adapter with subgroups of one size refuses widths");
    }
    let form = |hidden: usize| {
        let store = ParamStore::new(&device, Params::seeded(1), StoreKind::Inference).unwrap();
        let graph = store.inference_graph();
        let of = |name, dims: &[usize]| graph.input(name, dims, DType::F32);
        let (x, w_hh, h0) = (of("x", &[2, 3, hidden]), of("w_hh", &[hidden, hidden]), of("h0", &[2, hidden]));
        let y = x.rnn(w_hh, h0, Activation::Tanh, false, None).y;
        let request = Request { outputs: &[("y", y)], ..Request::default() };
        let program = Program::compile(&store, &graph, request).unwrap();
        let kernel = |name: &str| program.infos().iter().any(|info| info.label.starts_with(name));
        [kernel("rnn_forward_cpu"), kernel("rnn_forward_step"), kernel("rnn_forward_loop")]
    };
    let problem = |hidden| recurrent::Problem {
        cell: Cell::Rnn(Activation::Tanh),
        rows: 6,
        batch: 2,
        time: 3,
        hidden,
        packed: false,
        reverse: false,
    };
    // Of two widths with one bucket, the form for CPUs takes the multiple of 4 alone.
    let [even, odd] = [8, 7];
    let buckets = [even, odd].map(|hidden| Task::RecurrentForward(problem(hidden)).bucket());
    assert_eq!(buckets[0], buckets[1]);
    assert_eq!((form(even), form(odd)), ([true, false, false], [false, true, false]));
    device.note(&buckets[0], &Form::Loop.to_string());
    assert_eq!((form(even), form(odd)), ([false, false, true], [false, false, true]));
    device.note(&buckets[0], &Form::Cpu.to_string());
    assert_eq!((form(even), form(odd)), ([true, false, false], [false, true, false]));
}
