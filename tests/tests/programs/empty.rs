//! Tensors without elements: they read back as nothing, a sum over nothing is 0, and an empty batch trains nothing.

use seqloom_graph::{
    Activation, Arena, AttentionOptions, Control, DType, Following, Graph, GraphError, HostTensor, Init,
    Lengths, Objective, Optimizer, ParamId, ParamStore, Params, Program, RATES, Request, StoreKind, Tensor,
};
use seqloom_nn::{
    AttentionConfig, Conv1d, Conv1dConfig, LayerNorm, Linear, Lstm, MultiHeadAttention, Padding,
    RecurrentConfig,
};
use seqloom_tests::device;
use seqloom_train::AdamW;

/// Numbers of the optimizer; learning rates are the control's.
const ADAM: AdamW = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, clip_norm: None };

/// What a row of the table records with: parameters and inputs, some of them empty.
#[derive(Clone, Copy)]
struct Given<'g> {
    g: &'g Graph,
    /// w [2, 3] of 1s.
    w: Tensor<'g>,
    /// A parameter [0, 3].
    e: Tensor<'g>,
    /// Inputs [0, 3], [2, 0] and [0, 2, 3].
    rows: Tensor<'g>,
    columns: Tensor<'g>,
    batch: Tensor<'g>,
    /// Inputs [0] and [0, 2] of u32.
    none: Tensor<'g>,
    ids: Tensor<'g>,
}

type Record = for<'g> fn(Given<'g>) -> Tensor<'g>;

/// What is recorded, the shape of it, and the value of all its elements if it has any.
const TABLE: &[(&str, Record, &[usize], f32)] = &[
    ("an input", |x| x.rows, &[0, 3], 0.0),
    ("a parameter", |x| x.e, &[0, 3], 0.0),
    ("a literal", |x| x.g.full(&[3, 0], 1.0), &[3, 0], 0.0),
    ("a state", |x| x.g.state("s", &[0, 3]), &[0, 3], 0.0),
    ("numbers of ids", |x| x.ids.to_f32(), &[0, 2], 0.0),
    ("pointwise", |x| x.rows.tanh() + x.e, &[0, 3], 0.0),
    ("stretched along an empty axis", |x| x.rows + x.w.slice(0, 0, 1), &[0, 3], 0.0),
    ("stretched to nothing", |x| x.w.slice(1, 0, 1).broadcast_to(&[2, 0]), &[2, 0], 0.0),
    ("stretched from a column", |x| (x.rows.slice(1, 0, 1) * 2.0).broadcast_to(&[0, 5]) + 1.0, &[0, 5], 0.0),
    ("a slice", |x| x.w.slice(0, 1, 0), &[0, 3], 0.0),
    ("a slice of a slice", |x| (x.w * 2.0).slice(0, 1, 0).slice(1, 1, 2), &[0, 2], 0.0),
    ("a transpose", |x| x.rows.transpose(0, 1), &[3, 0], 0.0),
    ("a transpose that is read", |x| x.columns.transpose(0, 1).softmax(), &[0, 2], 0.0),
    ("a reshape", |x| x.rows.reshape(&[5, 0, 2]), &[5, 0, 2], 0.0),
    ("padding of nothing", |x| (x.rows * 2.0).pad(0, 1, 1), &[2, 3], 0.0),
    ("joined with nothing", |x| Tensor::concat(x.e * 1.0, &[x.w, x.rows], 0), &[2, 3], 1.0),
    ("nothing joined", |x| Tensor::concat(x.columns, &[x.columns], 1), &[2, 0], 0.0),
    (
        "ids joined with nothing",
        |x| {
            let some = x.g.literal_u32(&[1, 2], vec![1, 0]);
            x.w.gather_rows(Tensor::concat(x.ids, &[some, x.ids], 0))
        },
        &[1, 2, 3],
        1.0,
    ),
    ("dropout", |x| x.rows.dropout(0.5), &[0, 3], 0.0),
    ("a sum along an empty axis", |x| x.rows.sum(0), &[3], 0.0),
    ("a sum along another axis", |x| x.rows.sum(1), &[0], 0.0),
    ("a sum of the middle", |x| x.batch.transpose(0, 1).sum(1), &[2, 3], 0.0),
    ("a sum of what is computed", |x| (x.columns.exp() * 2.0).sum(1) + 1.0, &[2], 1.0),
    ("a sum of all", |x| x.columns.sum_all(), &[], 0.0),
    ("a mean along another axis", |x| x.rows.mean(1), &[0], 0.0),
    ("a greatest along another axis", |x| x.rows.max(1), &[0], 0.0),
    ("a product over nothing", |x| x.columns.matmul(x.rows), &[2, 3], 0.0),
    ("a product over nothing and a bias", |x| x.columns.matmul(x.rows) + x.w.slice(0, 0, 1), &[2, 3], 1.0),
    ("a transposed product over nothing", |x| x.rows.t_matmul(x.rows), &[3, 3], 0.0),
    ("a product of no rows", |x| x.rows.matmul_t(x.w), &[0, 2], 0.0),
    ("a product of no columns", |x| x.w.matmul_t(x.rows), &[2, 0], 0.0),
    ("products of an empty batch", |x| x.batch.matmul_t(x.batch), &[0, 2, 2], 0.0),
    ("one matrix for an empty batch", |x| x.batch.matmul_t(x.w).tanh(), &[0, 2, 2], 0.0),
    ("softmax of no rows", |x| x.rows.softmax(), &[0, 3], 0.0),
    ("softmax of empty rows", |x| x.columns.softmax(), &[2, 0], 0.0),
    ("log_softmax of empty rows", |x| x.columns.log_softmax(), &[2, 0], 0.0),
    ("layer_norm of no rows", |x| x.rows.layer_norm(Some(first(x.w)), Some(first(x.w)), 1e-5), &[0, 3], 0.0),
    ("layer_norm of empty rows", |x| x.columns.layer_norm(None, None, 1e-5), &[2, 0], 0.0),
    (
        "layer_norm of empty rows with an empty weight",
        |x| {
            let none = x.columns.slice(0, 0, 1).reshape(&[0]);
            x.columns.layer_norm(Some(none), Some(none), 1e-5)
        },
        &[2, 0],
        0.0,
    ),
    ("rms_norm of no rows, computed", |x| (x.rows + x.e).rms_norm(None, 1e-5), &[0, 3], 0.0),
    ("rows of no ids", |x| x.w.gather_rows(x.ids), &[0, 2, 3], 0.0),
    ("rows without elements", |x| x.columns.gather_rows(x.g.literal_u32(&[3], vec![1, 0, 1])), &[3, 0], 0.0),
    ("the loss of no targets", |x| x.rows.cross_entropy(x.none, None), &[], 0.0),
    ("the loss of no targets, some not counting", |x| x.rows.cross_entropy(x.none, Some(1)), &[], 0.0),
    (
        "a cache of no sequences",
        |x| x.batch.append(x.batch.slice(1, 0, 1), x.g.following("before", 0, 1)),
        &[0, 2, 3],
        0.0,
    ),
    (
        "no new rows",
        |x| {
            let cache = x.w.reshape(&[2, 3, 1]);
            cache.append(cache.slice(1, 0, 0), Following::of(x.g.literal_u32(&[2], vec![3, 1]), 0))
        },
        &[2, 3, 1],
        1.0,
    ),
    (
        "packed and unpacked",
        |x| {
            let lengths = Lengths::of(x.none, 2);
            lengths.unpack(lengths.pack(x.batch) * 2.0)
        },
        &[0, 2, 3],
        0.0,
    ),
    ("packed ids", |x| x.w.gather_rows(Lengths::of(x.none, 2).pack_ids(x.ids, 0)), &[0, 3], 0.0),
    (
        "a recurrence of an empty batch",
        |x| {
            let w = x.g.full(&[3, 3], 1.0);
            x.batch.rnn(w, x.rows, Activation::Tanh, false, None).y
        },
        &[0, 2, 3],
        0.0,
    ),
    (
        "a recurrence of an empty batch with lengths",
        |x| {
            let (w, lengths) = (x.g.full(&[12, 3], 1.0), Lengths::of(x.none, 2));
            let packed = Tensor::concat(lengths.pack(x.batch), &[x.rows; 3], 1);
            packed.lstm(w, x.rows, x.rows, true, Some(lengths)).c_n
        },
        &[0, 3],
        0.0,
    ),
    (
        "attention of an empty batch",
        |x| {
            let q = x.batch.reshape(&[0, 2, 1, 3]);
            q.attention(q, q, AttentionOptions::default())
        },
        &[0, 2, 1, 3],
        0.0,
    ),
    (
        "attention of no queries",
        |x| {
            let (q, k) = (x.rows.reshape(&[1, 0, 1, 3]), x.w.reshape(&[1, 2, 1, 3]));
            q.attention(k, k, AttentionOptions { causal: true, ..AttentionOptions::default() })
        },
        &[1, 0, 1, 3],
        0.0,
    ),
    (
        "attention to no keys",
        |x| {
            let (q, k) = (x.w.reshape(&[1, 2, 1, 3]), x.rows.reshape(&[1, 0, 1, 3]));
            q.attention(k, k, AttentionOptions::default())
        },
        &[1, 2, 1, 3],
        0.0,
    ),
    (
        "weights of no keys",
        |x| {
            let (q, k) = (x.w.reshape(&[1, 2, 1, 3]), x.rows.reshape(&[1, 0, 1, 3]));
            q.attention_weights(k, AttentionOptions::default())
        },
        &[1, 1, 2, 0],
        0.0,
    ),
];

fn squares(x: Tensor<'_>) -> Tensor<'_> {
    x.square().sum_all()
}

fn first(w: Tensor<'_>) -> Tensor<'_> {
    w.slice(0, 0, 1).reshape(&[3])
}

/// The parameters and the inputs of the table.
struct Table {
    store: ParamStore,
    w: ParamId,
    e: ParamId,
    inputs: Vec<(&'static str, HostTensor)>,
}

impl Table {
    fn new() -> Self {
        let mut params = Params::seeded(1);
        // The empty one alone, before and between others.
        let e = params.add("e", &[0, 3], Init::Zeros);
        let w = params.add("w", &[2, 3], Init::Ones);
        params.add("f", &[0], Init::Normal(1.0));
        let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
        let floats = |shape: &[usize]| HostTensor::f32(shape, Vec::new()).unwrap();
        let ids = |shape: &[usize]| HostTensor::u32(shape, Vec::new()).unwrap();
        let inputs = vec![
            ("rows", floats(&[0, 3])),
            ("columns", floats(&[2, 0])),
            ("batch", floats(&[0, 2, 3])),
            ("none", ids(&[0])),
            ("ids", ids(&[0, 2])),
            ("before", ids(&[0])),
        ];
        Self { store, w, e, inputs }
    }

    fn given<'g>(&self, g: &'g Graph) -> Given<'g> {
        let _ = g.following("before", 0, 1);
        Given {
            g,
            w: g.param(self.w),
            e: g.param(self.e),
            rows: g.input("rows", &[0, 3], DType::F32),
            columns: g.input("columns", &[2, 0], DType::F32),
            batch: g.input("batch", &[0, 2, 3], DType::F32),
            none: g.input("none", &[0], DType::U32),
            ids: g.input("ids", &[0, 2], DType::U32),
        }
    }

    fn inputs(&self) -> Vec<(&str, &HostTensor)> {
        self.inputs.iter().map(|(name, tensor)| (*name, tensor)).collect()
    }
}

#[test]
fn tensors_without_elements_read_back_as_nothing() {
    let table = Table::new();
    for (name, record, shape, value) in TABLE {
        // The state that keeps them takes another shape.
        table.store.reset_states(false);
        let g = table.store.inference_graph();
        let y = record(table.given(&g));
        assert_eq!(&y.shape()[..], *shape, "{name}: {:?}", g.check());
        // Beside what is computed of it, and kept.
        let twice = y * 2.0;
        let _ = g.state("kept", shape);
        g.keep("kept", y);
        let outputs = [("y", y), ("twice", twice)];
        let program = Program::compile(&table.store, &g, Request { outputs: &outputs, objective: None })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let [y, twice] =
            program.call(&table.inputs(), &Control::default(), ["y", "twice"]).unwrap().wait().unwrap();
        let want = vec![*value; shape.iter().product()];
        assert_eq!(y, want, "{name}");
        assert_eq!(twice, want.iter().map(|x| 2.0 * x).collect::<Vec<_>>(), "{name}");
    }
}

/// What is 0 of nothing has gradient 0 and moves nothing; what has elements is trained beside it.
#[test]
fn what_is_made_of_nothing_has_a_gradient_of_0() {
    let table = Table::new();
    for (name, record, ..) in TABLE {
        for update in [None, Some(&ADAM as &dyn Optimizer)] {
            let g = table.store.training_graph();
            let given = table.given(&g);
            let loss = squares(record(given) * 3.0) + squares(given.w) + squares(given.e.tanh());
            let request = Request { outputs: &[], objective: Some(Objective { loss, update }) };
            let program =
                Program::compile(&table.store, &g, request).unwrap_or_else(|error| panic!("{name}: {error}"));
            let control = Control { loss_scale: 1.0, ..Control::default() };
            let [loss] = program.call(&table.inputs(), &control, ["loss"]).unwrap().wait().unwrap();
            assert!(loss[0].is_finite(), "{name}");
            let gradients = table.store.read(Arena::Grads).unwrap();
            assert!(gradients[0].is_empty() && gradients[2].is_empty());
            assert!(gradients[1].iter().all(|dw| dw.is_finite() && *dw >= 2.0), "{name}: {gradients:?}");
        }
    }
}

/// One step of training over an empty batch of everything that has parameters: the loss is 0, the parameters stay.
#[test]
fn an_empty_batch_trains_nothing() {
    let mut params = Params::seeded(1);
    let [table, w_ih, w_hh, norm, head] =
        [("table", &[5, 4][..]), ("w_ih", &[9, 4]), ("w_hh", &[9, 3]), ("norm", &[3]), ("head", &[5, 3])]
            .map(|(name, shape)| params.add(name, shape, Init::Normal(1.0)));
    let [b_hn, bias, slopes] = [("b_hn", &[3][..]), ("bias", &[5]), ("slopes", &[3])]
        .map(|(name, shape)| params.add(name, shape, Init::Normal(1.0)));
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let before = store.read(Arena::Params).unwrap();
    for ragged in [false, true] {
        let g = store.training_graph();
        let p = |id| g.param(id);
        let ids = g.ids("ids", &[0, 2], 5);
        let lengths = ragged.then(|| g.lengths("lengths", 0, 2));
        let mut x = p(table).gather_rows(ids).matmul_t(p(w_ih));
        if let Some(lengths) = lengths {
            x = lengths.pack(x);
        }
        let h0 = g.full(&[0, 3], 0.0);
        let mut y = x.gru(p(w_hh), p(b_hn), h0, false, lengths).y;
        if let Some(lengths) = lengths {
            y = lengths.unpack(y);
        }
        let q = y.reshape(&[0, 2, 3, 1]);
        let options =
            AttentionOptions { causal: true, slopes: Some(p(slopes)), ..AttentionOptions::default() };
        let y =
            q.attention(q, q, options).reshape(&[0, 2, 3]).layer_norm(Some(p(norm)), None, 1e-5).dropout(0.1);
        let logits = y.matmul_t(p(head)) + p(bias);
        let loss = logits.cross_entropy(g.ids("targets", &[0, 2], 5), None);
        let request = Request {
            outputs: &[("logits", logits)],
            objective: Some(Objective { loss, update: Some(&ADAM) }),
        };
        let program = Program::compile(&store, &g, request).unwrap();
        let ids = HostTensor::u32(&[0, 2], Vec::new()).unwrap();
        let none = HostTensor::u32(&[0], Vec::new()).unwrap();
        let mut inputs = vec![("ids", &ids), ("targets", &ids)];
        inputs.extend(ragged.then_some(("lengths", &none)));
        let control = Control { lr: [0.1; RATES], loss_scale: 1.0, ..Control::default() };
        let told = program.call(&inputs, &control, ["loss", "logits", "grad_norm", "skipped"]).unwrap();
        let told = told.wait().unwrap();
        assert_eq!(told, [vec![0.0], vec![], vec![0.0], vec![0.0]]);
        for (spec, gradient) in store.specs().iter().zip(store.read(Arena::Grads).unwrap()) {
            assert!(gradient.iter().all(|dx| *dx == 0.0), "{}: {gradient:?}", spec.name);
        }
        assert_eq!(store.read(Arena::Params).unwrap(), before);
        assert!(program.explain().lines().count() > 1 && program.memory().total() > 0);
    }
}

/// The layers over a batch of no sequences: the results have their shapes, and every parameter that is reached a gradient of 0.
#[test]
fn layers_take_an_empty_batch() {
    let mut params = Params::seeded(1);
    let linear = Linear::new(&mut params, "linear", 4, 4);
    let norm = LayerNorm::new(&mut params, "norm", 4, 1e-5);
    let config =
        RecurrentConfig { layers: 2, bidirectional: true, dropout: 0.1, ..RecurrentConfig::new(4, 2) };
    let lstm = Lstm::new(&mut params, "lstm", config);
    let attention = MultiHeadAttention::new(&mut params, "attention", AttentionConfig::new(4, 2));
    let conv = Conv1dConfig { padding: Padding::Causal, ..Conv1dConfig::new(4, 4, 3) };
    let conv = Conv1d::new(&mut params, "conv", conv);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    for ragged in [false, true] {
        let g = store.training_graph();
        let x = g.input("x", &[0, 2, 4], DType::F32);
        let lengths = ragged.then(|| g.lengths("lengths", 0, 2));
        let y = lstm.forward(norm.forward(linear.forward(x)), None, lengths).output;
        let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
        let y = conv.forward(attention.forward(y, causal));
        assert_eq!(y.shape()[..], [0, 2, 4], "{:?}", g.check());
        let request = Request {
            outputs: &[("y", y)],
            objective: Some(Objective { loss: y.sum_all(), update: Some(&ADAM) }),
        };
        let program = Program::compile(&store, &g, request).unwrap();
        let x = HostTensor::f32(&[0, 2, 4], Vec::new()).unwrap();
        let none = HostTensor::u32(&[0], Vec::new()).unwrap();
        let mut inputs = vec![("x", &x)];
        inputs.extend(ragged.then_some(("lengths", &none)));
        let control = Control { loss_scale: 1.0, ..Control::default() };
        let told = program.call(&inputs, &control, ["y", "loss", "skipped"]).unwrap().wait().unwrap();
        assert_eq!(told, [vec![], vec![0.0], vec![0.0]]);
        for (spec, gradient) in store.specs().iter().zip(store.read(Arena::Grads).unwrap()) {
            assert!(gradient.iter().all(|dx| *dx == 0.0), "{}: {gradient:?}", spec.name);
        }
    }
}

/// A mean and a greatest of nothing have no value, and say so where they are recorded.
#[test]
fn nothing_has_no_mean_and_no_greatest() {
    let table = Table::new();
    for (op, record) in [
        ("mean", (|x| x.rows.mean(0)) as Record),
        ("mean", |x| x.columns.mean_all()),
        ("max", |x| x.columns.max(1)),
        ("cross_entropy", |x| x.columns.cross_entropy(x.g.literal_u32(&[2], vec![0; 2]), None)),
        ("attention", |x| {
            let q = x.columns.reshape(&[1, 2, 1, 0]);
            q.attention(q, q, AttentionOptions::default())
        }),
        ("rnn", |x| {
            let w = x.g.full(&[3, 3], 1.0);
            x.rows.reshape(&[2, 0, 3]).rnn(w, x.w, Activation::Tanh, false, None).h_n
        }),
    ] {
        let g = table.store.inference_graph();
        assert!(record(table.given(&g)).is_poisoned(), "{op}");
        let error = g.check().unwrap_err();
        assert!(matches!(error, GraphError::Shape { op: of, .. } if of == op), "{error}");
        assert!(error.to_string().contains("empty.rs:"), "{error}");
    }
}
