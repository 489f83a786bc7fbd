//! Views of every element type in every position: a view as an operand of each kind of operation gives the same as an
//! input of the view's elements.

use seqloom_device::Device;
use seqloom_graph::{
    Arena, AttentionOptions, Control, DType, Following, Graph, GraphError, HostData, HostTensor, Init,
    Lengths, Objective, ParamStore, Params, Program, ReadTensors, Request, StoreKind, Tensor,
};
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::device;
use seqloom_tests::mid_graph::wave;

/// Every view has this shape.
const SHAPE: [usize; 2] = [2, 3];

/// A view, and in plain words which element of its operand each of its elements is; none where it pads, with 0 if its name
/// says nothing else.
struct View {
    name: &'static str,
    from: &'static [usize],
    record: for<'g> fn(Tensor<'g>) -> Tensor<'g>,
    element: fn(usize, usize) -> Option<usize>,
}

const VIEWS: &[View] = &[
    View { name: "reshape", from: &[3, 2], record: |x| x.reshape(&SHAPE), element: |r, c| Some(3 * r + c) },
    View { name: "transpose", from: &[3, 2], record: |x| x.transpose(0, 1), element: |r, c| Some(2 * c + r) },
    View { name: "broadcast rows", from: &[3], record: |x| x.broadcast_to(&SHAPE), element: |_, c| Some(c) },
    View {
        name: "broadcast columns",
        from: &[2, 1],
        record: |x| x.broadcast_to(&SHAPE),
        element: |r, _| Some(r),
    },
    View {
        name: "broadcast a scalar",
        from: &[],
        record: |x| x.broadcast_to(&SHAPE),
        element: |_, _| Some(0),
    },
    View { name: "slice", from: &[2, 5], record: |x| x.slice(1, 1, 3), element: |r, c| Some(5 * r + c + 1) },
    View {
        name: "slice rows",
        from: &[4, 3],
        record: |x| x.slice(0, 1, 2),
        element: |r, c| Some(3 * r + c + 3),
    },
    View {
        name: "slice in steps",
        from: &[2, 7],
        record: |x| x.slice_step(1, 1, 3, 2),
        element: |r, c| Some(7 * r + 1 + 2 * c),
    },
    View {
        name: "slice backwards",
        from: &[5, 3],
        record: |x| x.slice_step(0, 4, 2, -3),
        element: |r, c| Some(3 * (4 - 3 * r) + c),
    },
    View { name: "flip", from: &[2, 3], record: |x| x.flip(&[0, 1]), element: |r, c| Some(5 - 3 * r - c) },
    View { name: "windows", from: &[4], record: |x| x.windows(0, 3, 1, 1), element: |r, c| Some(r + c) },
    View {
        name: "windows in steps",
        from: &[7, 1],
        record: |x| x.windows(0, 3, 2, 2).reshape(&SHAPE),
        element: |r, c| Some(2 * r + 2 * c),
    },
    View {
        name: "pad with 2",
        from: &[2, 2],
        record: |x| x.pad_with(1, 1, 0, 2.0),
        element: |r, c| (2 * r + c).checked_sub(1).filter(|_| c > 0),
    },
    View { name: "tile", from: &[1, 3], record: |x| x.tile(&[2, 1]), element: |_, c| Some(c) },
    View {
        name: "tile columns",
        from: &[2, 1],
        record: |x| x.slice(1, 0, 1).tile(&[1, 3]),
        element: |r, _| Some(r),
    },
    View {
        name: "pad",
        from: &[2, 2],
        record: |x| x.pad(1, 1, 0),
        element: |r, c| (2 * r + c).checked_sub(1).filter(|_| c > 0),
    },
    View {
        name: "pad rows",
        from: &[1, 3],
        record: |x| x.pad(0, 0, 1),
        element: |r, c| Some(c).filter(|_| r == 0),
    },
    View {
        name: "concat",
        from: &[2, 3],
        record: |x| Tensor::concat(x.slice(1, 2, 1), &[x.slice(1, 0, 1), x.slice(1, 1, 1)], 1),
        element: |r, c| Some(3 * r + (c + 2) % 3),
    },
    View {
        name: "concat rows",
        from: &[1, 3],
        record: |x| Tensor::concat(x, &[x.slice(0, 0, 0), x], 0),
        element: |_, c| Some(c),
    },
    View {
        name: "gather",
        from: &[4, 3],
        record: |x| x.gather_rows(x.graph().literal_u32(&[2], vec![3, 1])),
        element: |r, c| Some([9, 3][r] + c),
    },
    View {
        name: "several",
        from: &[3, 4],
        record: |x| {
            x.transpose(0, 1).slice(0, 1, 2).reshape(&[3, 2]).transpose(-1, -2).slice(1, 0, 2).pad(1, 0, 1)
        },
        // [4, 3], then its rows 1 and 2, as [3, 2], turned.
        element: |r, c| {
            let at = 2 * c + r;
            (c < 2).then(|| 4 * (at % 3) + 1 + at / 3)
        },
    },
];

/// An operation that takes the view at one position; the other operand is a table [7, 3] that is trained.
type Position = for<'g> fn(&'g Graph, Tensor<'g>, Tensor<'g>) -> Tensor<'g>;

const FLOATS: &[(&str, Position)] = &[
    ("an output", |_, _, x| x),
    ("pointwise", |_, w, x| (x * w.slice(0, 0, 2)).tanh()),
    ("a stretched operand", |_, w, x| x.reshape(&[2, 3, 1]) + w.slice(0, 0, 1)),
    ("the left of a product", |_, w, x| x.matmul_t(w)),
    ("the right of a product", |_, w, x| w.matmul_t(x)),
    ("a batch of products", |_, w, x| {
        let both = w.slice(0, 0, 4).reshape(&[2, 2, 3]);
        both.matmul(x.reshape(&[2, 3, 1]))
    }),
    ("a sum", |_, w, x| x.sum(0) * w.slice(0, 0, 1)),
    ("softmax", |_, w, x| x.softmax() * w.slice(0, 0, 2)),
    ("layer_norm", |_, w, x| x.layer_norm(Some(w.slice(0, 0, 1).reshape(&[3])), None, 1e-5)),
    ("the table of a gather", |g, w, x| {
        x.gather_rows(g.literal_u32(&[4], vec![1, 0, 1, 1])) * w.slice(0, 0, 4)
    }),
    ("logits", |g, w, x| (x * w.slice(0, 0, 2)).cross_entropy(g.literal_u32(&[2], vec![2, 0]), None)),
    ("a cache", |g, w, x| {
        let first = Following::of(g.literal_u32(&[2], vec![1, 0]), 1);
        x.reshape(&[2, 3, 1]).append(w.slice(0, 0, 2).slice(1, 0, 1).reshape(&[2, 1, 1]), first)
    }),
    ("rows of a cache", |g, w, x| {
        let first = Following::of(g.literal_u32(&[1], vec![4]), 2);
        w.reshape(&[1, 7, 3]).append(x.reshape(&[1, 2, 3]), first)
    }),
    ("queries", |_, w, x| heads(x).attention(heads(w), heads(w), AttentionOptions::default())),
    ("keys", |_, w, x| heads(w).attention(heads(x), heads(x), AttentionOptions::default())),
    ("packed rows", |g, w, x| {
        let lengths = Lengths::of(g.literal_u32(&[2], vec![1, 3]), 3);
        lengths.unpack(lengths.pack(x) * w.slice(0, 0, 6).slice(1, 0, 1)).reshape(&SHAPE)
    }),
    ("a recurrence", |_, w, x| {
        let (w_hh, h0) = (w.slice(0, 0, 3), w.slice(0, 3, 1));
        x.reshape(&[1, 2, 3]).rnn(w_hh, h0, seqloom_graph::Activation::Tanh, false, None).y
    }),
];

const IDS: &[(&str, Position)] = &[
    ("ids", |_, w, ids| w.gather_rows(ids)),
    ("ids of a table of ids", |g, w, ids| {
        w.gather_rows(g.literal_u32(&[7, 2], (0..14).map(|i| i / 2).collect()).gather_rows(ids))
            .reshape(&[12, 3])
    }),
    ("a table of ids", |g, w, ids| w.gather_rows(ids.gather_rows(g.literal_u32(&[3], vec![1, 0, 1])))),
    ("targets", |_, w, ids| logits(w).cross_entropy(ids, None)),
    ("targets of which some do not count", |_, w, ids| logits(w).cross_entropy(ids, Some(2))),
    ("numbers", |_, w, ids| ids.to_f32() * w.slice(0, 0, 2)),
    ("numbers that are stretched", |_, w, ids| ids.to_f32().reshape(&[2, 3, 1]) * w.slice(0, 0, 1)),
    ("lengths", |_, w, ids| {
        let lengths = Lengths::of(ids.reshape(&[6]), 5);
        lengths.unpack(lengths.pack(sequences(w))).reshape(&[30, 1])
    }),
    ("packed ids", |g, w, ids| {
        w.gather_rows(Lengths::of(g.literal_u32(&[2], vec![3, 1]), 3).pack_ids(ids, 0))
    }),
    ("lengths of keys", |_, w, ids| {
        let q = sequences(w).reshape(&[6, 5, 1, 1]);
        q.attention(
            q,
            q,
            AttentionOptions { lengths: Some(ids.reshape(&[6])), ..AttentionOptions::default() },
        )
    }),
    ("steps before", |_, w, ids| {
        sequences(w).append(w.slice(0, 0, 2).reshape(&[6, 1, 1]), Following::of(ids.reshape(&[6]), 1))
    }),
    ("positions", |_, w, ids| w.gather_rows(Following::of(ids.reshape(&[6]), 2).positions().transpose(0, 1))),
];

fn heads(x: Tensor<'_>) -> Tensor<'_> {
    x.reshape(&[1, x.dim(0), 1, x.dim(1)])
}

/// [2, 3, 7] of the table.
fn logits(w: Tensor<'_>) -> Tensor<'_> {
    w.slice(0, 0, 6).matmul_t(w).reshape(&[2, 3, 7])
}

/// [6, 5, 1] of the table.
fn sequences(w: Tensor<'_>) -> Tensor<'_> {
    w.slice(0, 0, 6).matmul_t(w.slice(0, 0, 5)).reshape(&[6, 5, 1])
}

/// What a program gives: its output and the gradient of the table, or the refusal of its input.
type Told = Result<[Vec<f32>; 2], GraphError>;

/// Runs `position` over what `source` makes of an input x, for training.
fn told(
    device: &Device,
    x: &HostTensor,
    position: Position,
    source: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>,
) -> Told {
    let mut params = Params::seeded(1);
    let HostData::F32(values) = wave(&[7, 3], 1).data().clone() else { panic!("floats") };
    let w = params.add("w", &[7, 3], Init::Values(values));
    let store = ParamStore::new(device, params, StoreKind::Training)?;
    let g = store.training_graph();
    let w = g.param(w);
    let y = position(&g, w, source(g.feed("x", x)));
    let loss = y.square().sum_all() + w.sum_all();
    let objective = Some(Objective { loss, update: None });
    let program = Program::compile(&store, &g, Request { outputs: &[("y", y)], objective })?;
    let control = Control { loss_scale: 1.0, ..Control::default() };
    let [y] = program.call(&[("x", x)], &control, ["y"])?.wait()?;
    Ok([y, store.read(Arena::Grads)?.remove(0)])
}

fn len(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Compares each view at each position with an input of its elements. `known` views a literal in place of the input.
fn compare(positions: &[(&str, Position)], make: impl Fn(&[usize]) -> HostTensor, known: bool) {
    let tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };
    for view in VIEWS {
        let x = make(view.from);
        let outside = if view.name == "pad with 2" { 2 } else { 0 };
        let elements = (0..2).flat_map(|r| (0..3).map(move |c| (view.element)(r, c)));
        let seen = match x.data() {
            HostData::F32(x) => {
                HostTensor::f32(&SHAPE, elements.map(|at| at.map_or(outside as f32, |at| x[at])).collect())
                    .unwrap()
            }
            HostData::U32(x) => {
                HostTensor::u32(&SHAPE, elements.map(|at| at.map_or(outside, |at| x[at])).collect()).unwrap()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(x.shape().elements(), len(view.from));
        for (name, position) in positions {
            let what = format!("{} as {name}", view.name);
            let want = told(&device::shared(), &seen, *position, |x| x);
            for device in [device::shared(), device::shared_as_gpu()] {
                let got = told(&device, &x, *position, |input| match x.data() {
                    HostData::U32(values) if known => {
                        let literal = input.graph().literal_u32(view.from, values.clone());
                        (view.record)(literal)
                    }
                    _ => (view.record)(input),
                });
                match (&got, &want) {
                    (Ok(got), Ok(want)) => {
                        assert_close(&what, &got[0], &want[0], tolerance);
                        assert_close(&format!("gradient of {what}"), &got[1], &want[1], tolerance);
                    }
                    // Padding is 0, which no length is.
                    (Err(GraphError::OutOfRange { .. }), Err(GraphError::OutOfRange { value: 0, .. })) => {}
                    _ => panic!("{what}: {got:?}, not {want:?}"),
                }
            }
        }
    }
}

#[test]
fn views_of_floats_work_in_every_position() {
    compare(FLOATS, |shape| wave(shape, 3), false);
}

/// From 1 to 4, which ids, targets, lengths and numbers of steps may all be.
fn ids(shape: &[usize]) -> HostTensor {
    HostTensor::u32(shape, (0..len(shape) as u32).map(|i| 1 + (i * 7 + i / 3) % 4).collect()).unwrap()
}

#[test]
fn views_of_ids_work_in_every_position() {
    compare(IDS, ids, false);
}

#[test]
fn views_of_ids_known_when_recorded_work_in_every_position() {
    compare(IDS, ids, true);
}

/// Tokens [2, 4]: all except the last are ids of a table of 5, and all except the first are targets; 9 is ignored.
fn shifted(tokens: [u32; 8]) -> Result<f32, GraphError> {
    let mut params = Params::seeded(1);
    let w = params.add("w", &[5, 3], Init::Normal(1.0));
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training)?;
    let g = store.training_graph();
    let (w, all) = (g.param(w), g.input("tokens", &[2, 4], DType::U32));
    let logits = w.gather_rows(all.slice(1, 0, 3)).matmul_t(w);
    let loss = logits.cross_entropy(all.slice(1, 1, 3), Some(9));
    let objective = Some(Objective { loss, update: None });
    let program = Program::compile(&store, &g, Request { outputs: &[], objective })?;
    let tokens = HostTensor::u32(&[2, 4], tokens.to_vec())?;
    let [loss] = program.call(&[("tokens", &tokens)], &Control::default(), ["loss"])?.wait()?;
    Ok(loss[0])
}

#[test]
fn each_view_has_limits_of_its_own() {
    assert!(shifted([1, 2, 3, 4, 0, 1, 2, 3]).unwrap() > 0.0);
    // A target that does not count may stand where no id is taken.
    assert!(shifted([1, 2, 3, 9, 0, 1, 2, 9]).unwrap() > 0.0);
    match shifted([1, 2, 3, 9, 0, 9, 2, 3]).unwrap_err() {
        GraphError::OutOfRange { name, derived: true, index: 4, value: 9, high: 4, .. } => {
            assert_eq!(name, "tokens")
        }
        other => panic!("{other}"),
    }
    let error = shifted([1, 2, 3, 5, 0, 1, 2, 3]).unwrap_err();
    assert!(error.to_string().contains("'tokens'") && error.to_string().contains("is 5"), "{error}");
}

/// One input as ids and as targets: what targets may be makes no id.
#[test]
fn what_does_not_count_as_a_target_is_no_id() {
    let mut params = Params::seeded(1);
    let w = params.add("w", &[5, 3], Init::Normal(1.0));
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let g = store.training_graph();
    let (w, ids) = (g.param(w), g.input("ids", &[2], DType::U32));
    let loss = w.gather_rows(ids).matmul_t(w).cross_entropy(ids, Some(9));
    let objective = Some(Objective { loss, update: None });
    let program = Program::compile(&store, &g, Request { outputs: &[], objective }).unwrap();
    let loss = |values: [u32; 2]| {
        let ids = HostTensor::u32(&[2], values.to_vec()).unwrap();
        program.call(&[("ids", &ids)], &Control::default(), ["loss"]).and_then(ReadTensors::wait)
    };
    assert!(loss([0, 4]).is_ok());
    assert!(matches!(loss([9, 1]), Err(GraphError::OutOfRange { index: 0, value: 9, high: 4, .. })));
}

#[test]
fn ids_of_an_empty_table_are_refused() {
    let store = ParamStore::new(&device::shared(), Params::seeded(1), StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let y = g.ids("ids", &[2], 0).to_f32();
    let program = Program::compile(&store, &g, Request { outputs: &[("y", y)], objective: None }).unwrap();
    let error = program.run(&[("ids", &HostTensor::u32(&[2], vec![0, 0]).unwrap())], &Control::default());
    assert!(error.unwrap_err().to_string().contains("allowed are none"));
}

#[test]
fn types_are_not_joined_and_views_stay_within_what_a_device_counts() {
    let store = ParamStore::new(&device::shared(), Params::seeded(1), StoreKind::Inference).unwrap();
    for dtype in [DType::F32, DType::U32] {
        let g = store.inference_graph();
        let (x, other) = (g.full(&[2], 1.0), g.literal_u32(&[2], vec![1; 2]));
        let (a, b) = if dtype == DType::F32 { (x, other) } else { (other, x) };
        assert!(Tensor::concat(a, &[b], 0).is_poisoned());
        assert!(matches!(g.check(), Err(GraphError::DType { op: "concat", needs, .. }) if needs == dtype));
        for mistake in [
            |x: Tensor<'_>| x.slice(0, 0, 1).broadcast_to(&[1 << 20, 1 << 20]).is_poisoned(),
            |x: Tensor<'_>| x.slice(0, 0, 1).broadcast_to(&[usize::MAX, usize::MAX]).is_poisoned(),
            |x: Tensor<'_>| x.pad(0, usize::MAX, usize::MAX).is_poisoned(),
        ] {
            let g = store.inference_graph();
            let x = if dtype == DType::F32 { g.full(&[2], 1.0) } else { g.literal_u32(&[2], vec![1; 2]) };
            assert!(mistake(x), "{dtype}");
        }
    }
}
