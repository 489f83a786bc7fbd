//! A caller's mistakes while recording and running: each is a typed error that names the thing, and nothing is lost.

use seqloom_device::{AdapterKind, Device, DeviceError, DeviceOptions};
use seqloom_graph::{
    Activation, Arena, AttentionOptions, Control, CrossEntropyOptions, DType, Following, Graph, GraphError,
    HostTensor, Init, Lengths, Objective, ParamStore, Params, Program, RATES, Request, StoreKind, Tensor,
};
use seqloom_tests::device;
use seqloom_train::AdamW;

/// Numbers of the optimizer; learning rates are the control's.
const ADAM: AdamW = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, clip_norm: None };

/// Records `mistake` over x [2, 3] of f32, y [4, 5] of f32 and ids [2, 3] of u32, and checks that the error names the
/// operation, this file, the line, and each of `parts`.
#[track_caller]
fn refused(
    line: u32,
    operation: &str,
    parts: &[&str],
    mistake: impl for<'g> Fn(Tensor<'g>, Tensor<'g>, Tensor<'g>) -> Tensor<'g>,
) {
    let g = Graph::inference(&Params::seeded(0));
    let x = g.input("x", &[2, 3], DType::F32);
    let y = g.input("y", &[4, 5], DType::F32);
    let ids = g.input("ids", &[2, 3], DType::U32);
    g.check().expect("no mistake yet");
    let result = mistake(x, y, ids);
    assert!(result.is_poisoned());
    // What is computed from it is poisoned too, and keeps the first error.
    assert!((result.tanh() + x).sum_all().is_poisoned());
    let message = g.check().expect_err("the mistake").to_string();
    let place = format!("errors.rs:{line}");
    for part in [operation, place.as_str()].iter().chain(parts) {
        assert!(message.contains(part), "{operation}: no {part:?} in: {message}");
    }
}

/// Lengths of `batch` rows of up to 3 steps, in the graph of `x`.
fn lengths(x: Tensor<'_>, batch: usize) -> Lengths<'_> {
    x.graph().lengths("lengths", batch, 3)
}

/// `time` steps of four rows, in the graph of `x`.
fn steps(x: Tensor<'_>, time: usize) -> Following<'_> {
    x.graph().following("first", 4, time)
}

/// One mistake a line, so that `line!()` is the line of the operation.
macro_rules! refuse {
    ($operation:literal, $parts:expr, |$x:ident, $y:ident, $ids:ident| $mistake:expr) => {
        refused(line!(), $operation, &$parts, |$x, $y, $ids| {
            let _ = ($x, $y, $ids);
            $mistake
        })
    };
}

#[test]
fn shapes_that_do_not_fit_are_named_with_file_and_line() {
    let both = ["[2, 3]", "[4, 5]"];
    refuse!("add", both, |x, y, ids| x + y);
    refuse!("sub", both, |x, y, ids| x - y);
    refuse!("mul", both, |x, y, ids| x * y);
    refuse!("div", both, |x, y, ids| x / y);
    refuse!("maximum", both, |x, y, ids| x.maximum(y));
    refuse!("minimum", both, |x, y, ids| x.minimum(y));
    refuse!("swiglu", both, |x, y, ids| x.swiglu(y));
    refuse!("layer_norm", ["[2, 3]", "[4, 5]"], |x, y, ids| x.layer_norm(Some(y), None, 1e-5));
    refuse!("layer_norm", ["[2, 3]", "[4, 5]"], |x, y, ids| x.layer_norm(None, Some(y), 1e-5));
    refuse!("rms_norm", ["[2, 3]", "[4, 5]"], |x, y, ids| x.rms_norm(Some(y), 1e-5));
    refuse!("matmul", both, |x, y, ids| x.matmul(y));
    refuse!("matmul_t", both, |x, y, ids| x.matmul_t(y));
    refuse!("t_matmul", both, |x, y, ids| x.t_matmul(y));
    refuse!("concat", both, |x, y, ids| Tensor::concat(x, &[y], 0));
    refuse!("lstm", both, |x, y, ids| x.lstm(y, x, x, false, None).y);
    refuse!("rnn", both, |x, y, ids| x.rnn(y, x, Activation::Tanh, true, None).y);
    refuse!("gru", both, |x, y, ids| x.gru(y, x, x, false, None).h_n);
    refuse!("pack", ["[2, 3]", "[4, 3, ..]"], |x, y, ids| lengths(x, 4).pack(x));
    refuse!("unpack", ["[2, 3]", "[12, C]"], |x, y, ids| lengths(x, 4).unpack(x));
    refuse!("pack_ids", ["[2, 3]", "[4, 3]"], |x, y, ids| lengths(x, 4).pack_ids(ids, 0));
    refuse!("lengths", ["[2, 3]"], |x, y, ids| Lengths::of(ids, 3).pack(x));
    refuse!("lengths", ["13 packed rows"], |x, y, ids| lengths(x, 4).within(13).pack(x));
    refuse!("append", both, |x, y, ids| x.append(y, Following::of(ids.reshape(&[6]), 3)));
    refuse!("append", ["5 rows", "2 steps"], |x, y, ids| y.append(y, steps(y, 2)));
    refuse!("following", ["[2, 3]"], |x, y, ids| x.append(x, Following::of(ids, 3)));
    refuse!("cross_entropy", ["[4, 5]", "[2, 3]"], |x, y, ids| y.cross_entropy(ids, None));
    refuse!("reshape", ["[2, 3]", "[7]"], |x, y, ids| x.reshape(&[7]));
    refuse!("broadcast_to", ["[2, 3]", "[2, 4]"], |x, y, ids| x.broadcast_to(&[2, 4]));
    refuse!("reshape", ["[2, 3]", "more than 6 dimensions"], |x, y, ids| x.reshape(&[1, 1, 1, 1, 1, 2, 3]));
    refuse!("broadcast_to", ["more than 6 dimensions"], |x, y, ids| x.broadcast_to(&[1, 1, 1, 1, 1, 2, 3]));
    refuse!("windows", ["6 dimensions"], |x, y, ids| x.reshape(&[1, 1, 1, 1, 2, 3]).windows(5, 2, 1, 1));
    refuse!("one_hot", ["6 dimensions"], |x, y, ids| ids.reshape(&[1, 1, 1, 1, 2, 3]).one_hot(9));
    refuse!("gather_rows", ["fewer than 6"], |x, y, ids| x.gather_rows(ids.reshape(&[1, 1, 1, 1, 2, 3])));
    refuse!("input", ["6 dimensions"], |x, y, ids| x.graph().input("seven", &[1; 7], DType::F32));
    refuse!("permute", ["[2, 3]", "[0]"], |x, y, ids| x.permute(&[0]));
    refuse!("permute", ["each axis once"], |x, y, ids| x.permute(&[1, -1]));
    refuse!("permute", ["[2, 3]", "2"], |x, y, ids| x.permute(&[0, 2]));
    refuse!("slice", ["[2, 3]", "2"], |x, y, ids| x.slice(1, 2, 2));
    refuse!("slice", ["[2, 3]"], |x, y, ids| x.slice(1, usize::MAX, 2));
    refuse!("slice_step", ["[2, 3]", "2 from 1 in steps of 2"], |x, y, ids| x.slice_step(1, 1, 2, 2));
    refuse!("slice_step", ["steps of -2"], |x, y, ids| x.slice_step(1, 1, 2, -2));
    refuse!("slice_step", ["steps of 0"], |x, y, ids| x.slice_step(1, 1, 2, 0));
    refuse!("slice_step", ["2 from 1"], |x, y, ids| x.slice_step(1, 1, 2, isize::MIN));
    refuse!("flip", ["[2, 3]", "axis 0 is named twice"], |x, y, ids| x.flip(&[0, 1, -2]));
    refuse!("flip", ["[2, 3]", "2"], |x, y, ids| x.flip(&[2]));
    refuse!("windows", ["axis 1 has 3", "dilation 2"], |x, y, ids| x.windows(1, 3, 1, 2));
    refuse!("windows", ["window of 0"], |x, y, ids| x.windows(1, 0, 1, 1));
    refuse!("windows", ["step 0"], |x, y, ids| x.windows(1, 2, 0, 1));
    refuse!("windows", ["dilation 0"], |x, y, ids| x.windows(1, 2, 1, 0));
    refuse!("windows", ["window of 2"], |x, y, ids| x.windows(1, 2, 1, usize::MAX));
    refuse!("windows", ["[2, 3]", "2"], |x, y, ids| x.windows(2, 1, 1, 1));
    refuse!("tile", ["2^32-1 elements"], |x, y, ids| x.tile(&[usize::MAX, 2]));
    refuse!("tile", ["dimensions"], |x, y, ids| x.tile(&[1; 9]));
    refuse!("pad_with", ["-1.5 is no id"], |x, y, ids| ids.pad_with(0, 1, 1, -1.5));
    refuse!("transpose", ["[2, 3]", "2"], |x, y, ids| x.transpose(0, 2));
    refuse!("sum", ["[2, 3]", "-3"], |x, y, ids| x.sum(-3));
    refuse!("mean", ["[2, 3]", "2"], |x, y, ids| x.mean(2));
    refuse!("max", ["[2, 3]", "2"], |x, y, ids| x.max(2));
    refuse!("pad", ["[2, 3]", "2"], |x, y, ids| x.pad(2, 1, 1));
    refuse!("pad_with", ["[2, 3]", "2"], |x, y, ids| x.pad_with(2, 1, 1, 0.5));
}

#[test]
fn types_that_do_not_fit_are_named_with_file_and_line() {
    let both = ["f32", "u32"];
    refuse!("add", both, |x, y, ids| x + ids);
    refuse!("matmul", both, |x, y, ids| x.matmul_t(ids));
    refuse!("tanh", both, |x, y, ids| ids.tanh());
    refuse!("softmax", both, |x, y, ids| ids.softmax());
    refuse!("layer_norm", both, |x, y, ids| x.layer_norm(None, Some(ids), 1e-5));
    refuse!("sum", both, |x, y, ids| ids.sum(0));
    refuse!("cross_entropy", both, |x, y, ids| x.cross_entropy(x, None));
    refuse!("gather_rows", both, |x, y, ids| x.gather_rows(y));
    refuse!("lstm", both, |x, y, ids| ids.lstm(x, x, x, false, None).y);
    refuse!("pack", both, |x, y, ids| lengths(x, 2).pack(ids));
    refuse!("append", both, |x, y, ids| x.append(ids, x.graph().following("first", 2, 3)));
    refuse!("following", both, |x, y, ids| x.append(x, Following::of(y.reshape(&[20]), 3)));
}

#[test]
fn arguments_without_a_meaning_are_named() {
    let g = Graph::training(&Params::seeded(0));
    let x = g.input("x", &[2, 3], DType::F32);
    assert!(x.dropout(1.5).is_poisoned());
    let message = g.check().expect_err("the mistake").to_string();
    assert!(
        message.contains("dropout") && message.contains("1.5") && message.contains("errors.rs"),
        "{message}"
    );
}

#[test]
fn a_smoothing_without_a_meaning_is_named() {
    for label_smoothing in [-0.1, 1.5, f32::NAN] {
        let g = Graph::training(&Params::seeded(0));
        let (x, ids) = (g.input("x", &[2, 3], DType::F32), g.ids("ids", &[2], 3));
        let options = CrossEntropyOptions { label_smoothing, ..CrossEntropyOptions::default() };
        assert!(x.cross_entropy(ids, options).is_poisoned());
        let message = g.check().expect_err("the mistake").to_string();
        assert!(message.contains("cross_entropy") && message.contains("label_smoothing"), "{message}");
    }
}

#[test]
fn compiling_returns_the_first_mistake() {
    let mut params = Params::seeded(0);
    let w = params.add("w", &[3, 4], Init::Ones);
    let g = Graph::training(&params);
    let x = g.input("x", &[2, 3], DType::F32);
    let first = x.matmul_t(g.param(w));
    let loss = (first + x.reshape(&[5])).sum_all();
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let request = Request { outputs: &[], objective: Some(Objective { loss, update: Some(&ADAM) }) };
    let error = Program::compile(&store, &g, request).map(|_| ()).expect_err("the mistake");
    match error {
        GraphError::Shape { op, shapes, at, .. } => {
            assert_eq!(op, "matmul_t");
            assert_eq!(shapes.iter().map(|s| s.to_vec()).collect::<Vec<_>>(), [[2, 3], [3, 4]]);
            assert!(at.file().ends_with("errors.rs"), "{at}");
        }
        other => panic!("{other}"),
    }
}

/// What a kernel family refuses comes with the place of the operation: here values wider than an invocation of a CPU adapter can walk.
#[test]
fn what_no_kernel_can_take_is_named_with_file_and_line() {
    let options = DeviceOptions { kind: Some(AdapterKind::Cpu), no_cache: true, ..DeviceOptions::default() };
    let params = Params::seeded(0);
    let g = Graph::inference(&params);
    let q = g.input("q", &[1, 3, 1, 64], DType::F32);
    let v = g.input("v", &[1, 3, 1, 1_000_000], DType::F32);
    let (y, line) = (q.attention(q, v, AttentionOptions::default()), line!());
    let store = ParamStore::new(&Device::open(options).unwrap(), params, StoreKind::Inference).unwrap();
    let request = Request { outputs: &[("y", y.tanh())], objective: None };
    let error = Program::compile(&store, &g, request).map(|_| ()).expect_err("too wide");
    assert!(matches!(&error, GraphError::Kernel { at: Some(at), .. } if at.line() == line), "{error}");
    let message = error.to_string();
    assert!(message.contains("widths 64 and 1000000"), "{message}");
    assert!(message.ends_with(&format!("errors.rs:{line}")), "{message}");
}

#[test]
fn tensors_of_two_graphs_do_not_mix() {
    let params = Params::seeded(0);
    let (g, h) = (Graph::inference(&params), Graph::inference(&params));
    // Two graphs have one lifetime here, so only the recording itself can tell.
    let pair = |g: &Graph, h: &Graph| {
        let sum = g.input("x", &[2], DType::F32) + h.input("x", &[2], DType::F32);
        sum.is_poisoned()
    };
    assert!(pair(&g, &h));
    assert!(matches!(g.check(), Err(GraphError::ForeignTensor { op: "add", .. })));
}

#[test]
fn a_name_registered_twice_is_an_error() {
    let mut params = Params::seeded(0);
    params.add("w", &[2], Init::Ones);
    params.add("w", &[3], Init::Ones);
    let error =
        ParamStore::new(&device::shared(), params, StoreKind::Training).map(|_| ()).expect_err("the mistake");
    assert!(error.to_string().contains("'w'"), "{error}");
}

#[test]
fn values_that_do_not_fill_a_shape_are_an_error() {
    assert!(matches!(HostTensor::f32(&[2, 3], vec![0.0; 5]), Err(GraphError::HostShape { len: 5, .. })));
    assert!(matches!(HostTensor::u32(&[1; 7], vec![0]), Err(GraphError::HostShape { .. })));
    assert!(matches!(HostTensor::u32(&[usize::MAX, 2], vec![0]), Err(GraphError::HostShape { .. })));
}

/// An embedding and an LSTM over ragged rows, compiled to update a parameter.
struct Small {
    store: ParamStore,
    program: Program,
    tokens: HostTensor,
    lengths: HostTensor,
    control: Control,
}

impl Small {
    fn new() -> Self {
        let mut params = Params::seeded(3);
        let table = params.add("table", &[5, 8], Init::Normal(1.0));
        let w_hh = params.add("w_hh", &[8, 2], Init::Normal(1.0));
        let g = Graph::training(&params);
        let lengths = g.lengths("lengths", 2, 3).within(5);
        let x = g.param(table).gather_rows(lengths.pack_ids(g.ids("tokens", &[2, 3], 5), 0));
        let zero = g.full(&[2, 2], 0.0);
        let loss = x.lstm(g.param(w_hh), zero, zero, false, Some(lengths)).y.square().mean_all();
        let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
        let request = Request { outputs: &[], objective: Some(Objective { loss, update: Some(&ADAM) }) };
        let program = Program::compile(&store, &g, request).unwrap();
        let tokens = HostTensor::u32(&[2, 3], vec![0, 1, 2, 3, 4, 0]).unwrap();
        let lengths = HostTensor::u32(&[2], vec![3, 1]).unwrap();
        let control = Control { lr: [0.1; RATES], ..Control::default() };
        Self { store, program, tokens, lengths, control }
    }

    /// The error of a run with these inputs, after which the parameters are as before and a good run still works.
    #[track_caller]
    fn refuses(&self, inputs: &[(&str, &HostTensor)]) -> GraphError {
        let before = self.store.read(Arena::Params).unwrap();
        let error = self.program.run(inputs, &self.control).expect_err("a bad input");
        assert_eq!(self.store.read(Arena::Params).unwrap(), before, "a refused step changed the parameters");
        self.program.run(&[("tokens", &self.tokens), ("lengths", &self.lengths)], &self.control).unwrap();
        assert_ne!(self.store.read(Arena::Params).unwrap(), before, "a good step changes the parameters");
        error
    }
}

#[test]
fn a_missing_input_is_named() {
    let error = Small::new().refuses(&[("tokens", &Small::new().tokens)]);
    assert!(matches!(&error, GraphError::MissingInput { name } if name == "lengths"), "{error}");
}

#[test]
fn an_unknown_input_is_named_with_those_there_are() {
    let small = Small::new();
    let inputs = [("tokens", &small.tokens), ("lengths", &small.lengths), ("mask", &small.lengths)];
    let message = small.refuses(&inputs).to_string();
    assert!(["mask", "tokens", "lengths"].iter().all(|name| message.contains(name)), "{message}");
}

#[test]
fn an_input_of_another_shape_or_type_is_named() {
    let small = Small::new();
    let wide = HostTensor::u32(&[2, 4], vec![0; 8]).unwrap();
    let error = small.refuses(&[("tokens", &wide), ("lengths", &small.lengths)]);
    let message = error.to_string();
    assert!(matches!(error, GraphError::InputShape { .. }), "{message}");
    assert!(["tokens", "[2, 3]", "[2, 4]"].iter().all(|part| message.contains(part)), "{message}");
    let floats = HostTensor::f32(&[2, 3], vec![0.0; 6]).unwrap();
    let message = small.refuses(&[("tokens", &floats), ("lengths", &small.lengths)]).to_string();
    assert!(["tokens", "f32", "u32"].iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn an_id_beyond_the_vocabulary_is_found_on_the_host() {
    let small = Small::new();
    let tokens = HostTensor::u32(&[2, 3], vec![0, 1, 2, 3, 5, 0]).unwrap();
    match small.refuses(&[("tokens", &tokens), ("lengths", &small.lengths)]) {
        GraphError::OutOfRange { name, index, value, high, .. } => {
            assert_eq!((name.as_str(), index, value, high), ("tokens", 4, 5, 4));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_length_of_zero_or_beyond_the_time_is_found_on_the_host() {
    let small = Small::new();
    for bad in [0, 4] {
        let lengths = HostTensor::u32(&[2], vec![3, bad]).unwrap();
        match small.refuses(&[("tokens", &small.tokens), ("lengths", &lengths)]) {
            GraphError::OutOfRange { name, index, value, .. } => {
                assert_eq!((name.as_str(), index, value), ("lengths", 1, bad));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn lengths_that_are_all_padding_are_found_on_the_host() {
    let small = Small::new();
    let error = small.refuses(&[("tokens", &small.tokens), ("lengths", &host_lengths([0, 0]))]);
    assert!(matches!(&error, GraphError::OutOfRange { name, index: 0, .. } if name == "lengths"), "{error}");
}

#[test]
fn lengths_that_together_pass_the_packed_rows_are_named_with_both_numbers() {
    let small = Small::new();
    let error = small.refuses(&[("tokens", &small.tokens), ("lengths", &host_lengths([3, 3]))]);
    assert!(
        matches!(&error, GraphError::TooManySteps { name, has: 6, holds: 5 } if name == "lengths"),
        "{error}"
    );
}

fn host_lengths(lengths: [u32; 2]) -> HostTensor {
    HostTensor::u32(&[2], lengths.to_vec()).unwrap()
}

#[test]
fn an_unknown_output_is_named() {
    let error = Small::new().program.read("logits").map(|_| ()).expect_err("no such output");
    assert!(matches!(&error, GraphError::UnknownOutput { name, .. } if name == "logits"), "{error}");
}

#[test]
fn a_batch_larger_than_the_device_can_hold_says_bytes_and_limit() {
    let device = device::open();
    let facts = device.facts();
    let limit = facts.max_binding_bytes.min(facts.max_buffer_bytes);
    // Rows of 1024 floats, one row more than one binding can hold.
    let rows = usize::try_from(limit / 4096).unwrap() + 1;
    let mut params = Params::seeded(0);
    let w = params.add("w", &[8, 1024], Init::Ones);
    let g = Graph::training(&params);
    let loss = g.input("x", &[rows, 1024], DType::F32).matmul_t(g.param(w)).mean_all();
    let store = ParamStore::new(&device, params, StoreKind::Training).unwrap();
    let before = device.allocated_bytes();
    let request = Request { outputs: &[], objective: Some(Objective { loss, update: Some(&ADAM) }) };
    let error = Program::compile(&store, &g, request).map(|_| ()).expect_err("too large");
    match error {
        GraphError::TooLarge { needs: bytes, limit: named, .. }
        | GraphError::Device(DeviceError::TooLarge { bytes, limit: named, .. })
        | GraphError::Device(DeviceError::OutOfMemory { bytes, limit: named, .. }) => {
            assert!(bytes >= rows as u64 * 4096, "{bytes}");
            assert!(named < bytes && named >= limit, "{named}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(device.allocated_bytes(), before, "a program that does not fit keeps nothing");
}

#[test]
fn a_gradient_too_large_to_be_spread_is_an_error() {
    let mut params = Params::seeded(1);
    let w = params.add("w", &[1], Init::Ones);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let g = store.training_graph();
    let size = 3 << 29;
    let x = g.input("x", &[size], DType::F32) * g.param(w);
    let loss = x.slice_step(0, 0, 2, size as isize - 1).sum_all();
    g.check().unwrap();
    let objective = Some(Objective { loss, update: None });
    let error = Program::compile(&store, &g, Request { objective, outputs: &[] }).unwrap_err();
    assert!(matches!(error, GraphError::TooLarge { .. }), "{error}");
}
