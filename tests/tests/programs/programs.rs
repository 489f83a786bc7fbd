//! A program's reports about itself are true: its memory, its dispatches, and that a step makes nothing new.

use seqloom_device::{Counts, Device};
use seqloom_graph::{
    Arena, Control, DType, Graph, HostTensor, Init, Objective, ParamId, ParamStore, Params, Program, RATES,
    Request, StoreKind,
};
use seqloom_tests::device;
use seqloom_tests::skip::skip;
use seqloom_train::AdamW;

/// Numbers of the optimizer; learning rates are the control's.
const ADAM: AdamW = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, clip_norm: None };

const ROWS: usize = 4;
const STEPS: usize = 1000;

/// Two linear layers and an LSTM between an embedding and a cross-entropy, small in every dimension.
struct Tiny {
    device: Device,
    store: ParamStore,
    program: Program,
    ids: HostTensor,
    targets: HostTensor,
}

impl Tiny {
    fn new() -> Self {
        let device = device::open();
        let mut params = Params::seeded(5);
        let table = params.add("table", &[7, 12], Init::Normal(1.0));
        let w_hh = params.add("w_hh", &[12, 3], Init::Normal(0.5));
        let head = params.add("head", &[7, 3], Init::Normal(0.5));
        let bias = params.add("bias", &[7], Init::Zeros);
        let g = Graph::training(&params);
        let x = g.param(table).gather_rows(g.ids("ids", &[ROWS, 2], 7)).dropout(0.1);
        let zero = g.full(&[ROWS, 3], 0.0);
        let y = x.lstm(g.param(w_hh), zero, zero, false, None).y;
        let logits = y.matmul_t(g.param(head)) + g.param(bias);
        let loss = logits.cross_entropy(g.ids("targets", &[ROWS, 2], 7), None);
        let store = ParamStore::new(&device, params, StoreKind::Training).unwrap();
        let request = Request {
            outputs: &[("logits", logits)],
            objective: Some(Objective { loss, update: Some(&ADAM) }),
        };
        let program = Program::compile(&store, &g, request).unwrap();
        let ids = HostTensor::u32(&[ROWS, 2], vec![0, 1, 2, 3, 4, 5, 6, 0]).unwrap();
        let targets = HostTensor::u32(&[ROWS, 2], vec![1, 2, 3, 4, 5, 6, 0, 1]).unwrap();
        Self { device, store, program, ids, targets }
    }

    fn step(&self, step: usize) {
        let control = Control { lr: [0.01; RATES], loss_scale: 1.0, seed: step as u32, ..Control::default() };
        self.program.run(&[("ids", &self.ids), ("targets", &self.targets)], &control).unwrap();
    }

    fn loss(&self) -> f32 {
        self.program.read("loss").unwrap().wait().unwrap()[0]
    }

    fn footprint(&self) -> (u64, Counts) {
        (self.device.allocated_bytes(), self.device.counts())
    }
}

#[test]
fn memory_is_what_the_device_allocated() {
    let tiny = Tiny::new();
    let memory = tiny.program.memory();
    assert_eq!(memory.total(), tiny.device.allocated_bytes(), "{memory:?}");
    assert_eq!(memory.parameters, tiny.store.bytes());
    assert_eq!(memory.own(), memory.inputs + memory.constants + memory.slots + memory.outputs);
    // Constants on their way to the device hold their buffers until the next submission.
    tiny.step(0);
    tiny.device.wait().unwrap();
    assert_eq!(memory.total(), tiny.device.allocated_bytes(), "a step allocates nothing");
    drop(tiny.program);
    assert_eq!(tiny.store.bytes(), tiny.device.allocated_bytes(), "a dropped program gives its memory back");
    drop(tiny.store);
    assert_eq!(tiny.device.allocated_bytes(), 0, "and so does a store");
}

#[test]
fn a_thousand_steps_allocate_nothing() {
    let tiny = Tiny::new();
    tiny.step(0);
    let first = tiny.loss();
    let after_one = tiny.footprint();
    for step in 1..=STEPS {
        tiny.step(step);
    }
    let last = tiny.loss();
    assert_eq!(tiny.footprint(), after_one, "bytes, buffers, pipelines and bind groups");
    assert!(last < 0.5 * first, "and they trained: the loss went from {first} to {last}");
}

#[test]
fn explain_lists_every_dispatch() {
    let tiny = Tiny::new();
    let text = tiny.program.explain();
    let kernels = ["embedding", "lstm", "matmul", "cross_entropy", "update[", "norm"];
    for kernel in kernels {
        assert!(text.contains(kernel), "no {kernel} in:\n{text}");
    }
    // A dispatch a line, each beginning with its number.
    let numbered = text
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.trim_end_matches(['.', ':']).parse::<usize>().ok())
        .count();
    assert_eq!(numbered, tiny.program.dispatches(), "{text}");
}

#[test]
fn profile_names_every_dispatch() {
    let tiny = Tiny::new();
    if !tiny.device.facts().timestamps {
        return skip("the adapter has no timestamps");
    }
    tiny.step(0);
    let times = tiny.program.profile().unwrap();
    assert_eq!(times.len(), tiny.program.dispatches());
    assert!(times.iter().any(|time| time.nanoseconds > 0));
}

#[test]
fn programs_of_two_shapes_share_parameters_and_pipelines() {
    let device = device::open();
    let mut params = Params::seeded(5);
    let w = params.add("w", &[5, 6], Init::Normal(1.0));
    let store = ParamStore::new(&device, params, StoreKind::Training).unwrap();
    let compile = |rows: usize| {
        let g = store.training_graph();
        let loss = g.input("x", &[rows, 6], DType::F32).matmul_t(g.param(w)).square().mean_all();
        Program::compile(
            &store,
            &g,
            Request { outputs: &[], objective: Some(Objective { loss, update: Some(&ADAM) }) },
        )
        .unwrap()
    };
    // Rows beyond the tallest tile: fewer may take a kernel variant of their own.
    let first = compile(40);
    let pipelines = device.counts().pipelines;
    let second = compile(41);
    assert_eq!(device.counts().pipelines, pipelines, "a new shape needs no new pipeline");
    let unshared = first.memory().unshared() + second.memory().unshared();
    assert_eq!(device.allocated_bytes(), store.bytes() + store.slot_bytes() + unshared);
}

/// Σ (softmax(x·wᵀ) + x·wᵀ)².
fn sum_of_squares(store: &ParamStore, w: ParamId, rows: usize) -> Program {
    let g = store.inference_graph();
    let y = g.input("x", &[rows, 6], DType::F32).matmul_t(g.param(w));
    let sum = (y.softmax() + y).square().sum_all();
    Program::compile(store, &g, Request { outputs: &[("sum", sum)], objective: None }).unwrap()
}

#[test]
fn programs_share_the_memory_between_their_dispatches() {
    let device = device::open();
    let mut params = Params::seeded(5);
    let w = params.add("w", &[5, 6], Init::Ones);
    let store = ParamStore::new(&device, params, StoreKind::Inference).unwrap();
    let ones = |rows: usize| HostTensor::f32(&[rows, 6], vec![1.0; rows * 6]).unwrap();
    let large = sum_of_squares(&store, w, 400);
    let bytes = store.slot_bytes();
    assert!(bytes >= 4 * 400 * 5 && bytes == large.memory().slots, "{bytes}");
    let small = sum_of_squares(&store, w, 40);
    assert_eq!(store.slot_bytes(), bytes, "the larger program's slots have room for the smaller one");
    let unshared = large.memory().unshared() + small.memory().unshared();
    assert_eq!(device.allocated_bytes(), store.bytes() + bytes + unshared);
    // Sums of 6 + 1/5, five a row: neither program sees what the other has left, whichever runs first.
    let check = |program: &Program, rows: usize| {
        for _ in 0..20 {
            program.run(&[("x", &ones(rows))], &Control::default()).unwrap();
            let sum = program.read("sum").unwrap().wait().unwrap()[0];
            let expected = rows as f32 * 5.0 * 6.2 * 6.2;
            assert!((sum - expected).abs() < 1e-4 * expected, "{rows} rows: {sum}, not {expected}");
        }
    };
    check(&large, 400);
    check(&small, 40);
    std::thread::scope(|scope| {
        // Programs of two threads, which submit as they come.
        scope.spawn(|| check(&sum_of_squares(&store, w, 400), 400));
        scope.spawn(|| check(&sum_of_squares(&store, w, 40), 40));
    });
    check(&large, 400);
    drop(large);
    assert!(store.slot_bytes() > 0, "the smaller program keeps what it uses");
    check(&small, 40);
    drop(small);
    assert_eq!((store.slot_bytes(), device.allocated_bytes()), (0, store.bytes()));
}

/// A step leaves parameters that its loss does not reach without a gradient, whatever a program over the same store that
/// does reach them has left there.
#[test]
fn programs_do_not_see_each_others_gradients() {
    let mut params = Params::seeded(5);
    let (a, b) = (params.add("a", &[3], Init::Ones), params.add("b", &[3], Init::Ones));
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let compile = |id: ParamId| {
        let g = store.training_graph();
        let loss = g.param(id).square().sum_all();
        Program::compile(
            &store,
            &g,
            Request { outputs: &[], objective: Some(Objective { loss, update: Some(&ADAM) }) },
        )
        .unwrap()
    };
    let (of_a, of_b) = (compile(a), compile(b));
    let control = Control { lr: [0.1; RATES], ..Control::default() };
    of_a.run(&[], &control).unwrap();
    let after_a = store.read(Arena::Params).unwrap();
    assert_ne!(after_a[0], [1.0; 3]);
    assert_eq!(after_a[1], [1.0; 3]);
    of_b.run(&[], &control).unwrap();
    let after_b = store.read(Arena::Params).unwrap();
    assert_eq!(after_b[0], after_a[0], "b's step moved a by the gradient that a's step left");
    assert_ne!(after_b[1], [1.0; 3]);
}

#[test]
fn a_product_over_nothing_is_its_bias() {
    let device = device::open();
    let params = Params::seeded(1);
    let g = Graph::inference(&params);
    // Computed, so that neither operand has memory from the start.
    let [a, b] = [("a", [2, 0]), ("b", [0, 3])].map(|(name, shape)| g.input(name, &shape, DType::F32).exp());
    let y = a.matmul(b) + g.literal(&[3], vec![1.0, 2.0, 3.0]);
    let store = ParamStore::new(&device, params, StoreKind::Inference).unwrap();
    let request = Request { outputs: &[("y", y)], objective: None };
    let program = Program::compile(&store, &g, request).unwrap();
    let empty = |shape: [usize; 2]| HostTensor::f32(&shape, Vec::new()).unwrap();
    let inputs = [("a", &empty([2, 0])), ("b", &empty([0, 3]))];
    program.run(&inputs, &Control::default()).unwrap();
    assert_eq!(program.read("y").unwrap().wait().unwrap(), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    assert!(program.passes().contains("units without any"));
}
