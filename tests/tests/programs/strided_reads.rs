//! Slices, flips and slices in steps inside fused code: read where they lie, by every kind of kernel that takes a group along, by
//! single elements and by fours.

use seqloom_device::Device;
use seqloom_graph::{Control, HostTensor, ParamStore, Params, Program, Request, StoreKind, Tensor};
use seqloom_tests::compare::{Tolerance, assert_close};
use seqloom_tests::device;
use seqloom_tests::mid_graph::wave;
use seqloom_tests::oracle::array::Array;
use seqloom_tests::oracle::{operations as oracle, operations_pointwise, operations_reductions};

const TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };

/// Both operands.
const SHAPE: [usize; 3] = [4, 8, 24];

/// A view of an operand, as the graph records it and as the oracle has it.
struct View {
    name: &'static str,
    record: for<'g> fn(Tensor<'g>) -> Tensor<'g>,
    oracle: fn(&Array) -> Array,
}

/// All of shape [1, 2, 24] or [2, 2, 12].
const VIEWS: &[View] = &[
    View {
        name: "rows in one piece",
        record: |x| x.slice(0, 1, 1).slice(1, 3, 2),
        oracle: |x| oracle::slice(&oracle::slice(x, 0, 1, 1), 1, 3, 2),
    },
    View {
        name: "rows backwards",
        record: |x| x.flip(&[1]).slice(1, 5, 2).slice(0, 2, 1),
        oracle: |x| oracle::slice(&oracle::slice(&oracle::flip(x, &[1]), 1, 5, 2), 0, 2, 1),
    },
    View {
        name: "a step",
        record: |x| x.slice_step(1, 1, 2, 5).slice(0, 3, 1),
        oracle: |x| oracle::slice(&oracle::slice_step(x, 1, 1, 2, 5), 0, 3, 1),
    },
    View {
        name: "a cut of what padding surrounds",
        record: |x| x.slice(0, 0, 1).pad_with(1, 3, 2, 7.5).slice(1, 4, 2),
        oracle: |x| oracle::slice(&oracle::slice(x, 0, 0, 1), 1, 1, 2),
    },
    View {
        name: "a cut of padding",
        record: |x| x.slice(0, 0, 1).pad_with(1, 3, 2, 7.5).slice(1, 2, 2),
        oracle: |x| oracle::slice(&oracle::pad_with(&oracle::slice(x, 0, 0, 1), 1, 3, 2, 7.5), 1, 2, 2),
    },
    View {
        name: "columns at a multiple of four",
        record: |x| x.slice(2, 4, 12).slice(0, 1, 2).slice(1, 2, 2),
        oracle: |x| oracle::slice(&oracle::slice(&oracle::slice(x, 2, 4, 12), 0, 1, 2), 1, 2, 2),
    },
    View {
        name: "columns anywhere",
        record: |x| x.slice(2, 5, 12).slice(0, 2, 2).slice(1, 0, 2),
        oracle: |x| oracle::slice(&oracle::slice(&oracle::slice(x, 2, 5, 12), 0, 2, 2), 1, 0, 2),
    },
    View {
        name: "every other column backwards",
        record: |x| x.slice_step(2, 23, 12, -2).slice(0, 0, 2).slice_step(1, 6, 2, -3),
        oracle: |x| {
            let columns = oracle::slice_step(x, 2, 23, 12, -2);
            oracle::slice_step(&oracle::slice(&columns, 0, 0, 2), 1, 6, 2, -3)
        },
    },
    View {
        name: "windows",
        record: |x| x.reshape(&[2, 384]).windows(1, 12, 372, 1),
        oracle: |x| oracle::windows(&oracle::reshape(x, &[2, 384]), 1, 12, 372, 1),
    },
    View {
        name: "windows that overlap, of every third element",
        record: |x| x.reshape(&[2, 384]).slice(1, 0, 35).windows(1, 12, 1, 3),
        oracle: |x| oracle::windows(&oracle::slice(&oracle::reshape(x, &[2, 384]), 1, 0, 35), 1, 12, 1, 3),
    },
    View {
        name: "all axes backwards",
        record: |x| x.flip(&[0, 1, 2]).slice(0, 0, 2).slice(1, 0, 2).slice(2, 3, 12),
        oracle: |x| {
            let rows = oracle::slice(&oracle::slice(&oracle::flip(x, &[0, 1, 2]), 0, 0, 2), 1, 0, 2);
            oracle::slice(&rows, 2, 3, 12)
        },
    },
];

fn array(x: &HostTensor) -> Array {
    let seqloom_graph::HostData::F32(data) = x.data() else { panic!("floats") };
    Array { shape: x.shape().to_vec(), data: data.iter().map(|&x| f64::from(x)).collect() }
}

/// What a program gives of x and y, and its dispatches.
fn run(
    device: &Device,
    operands: &[&HostTensor; 2],
    record: impl for<'g> Fn([Tensor<'g>; 2]) -> Tensor<'g>,
) -> (Vec<f32>, Program) {
    let store = ParamStore::new(device, Params::seeded(1), StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let [x, y] = [("x", operands[0]), ("y", operands[1])].map(|(name, host)| g.feed(name, host));
    let result = record([x, y]);
    let program =
        Program::compile(&store, &g, Request { outputs: &[("result", result)], objective: None }).unwrap();
    program.run(&[("x", operands[0]), ("y", operands[1])], &Control::default()).unwrap();
    let values = program.read("result").unwrap().wait().unwrap();
    (values, program)
}

fn devices() -> [Device; 2] {
    [device::shared(), device::shared_as_gpu()]
}

fn narrow(x: &Array) -> Vec<f32> {
    x.data.iter().map(|&x| x as f32).collect()
}

#[test]
fn every_view_is_read_by_a_pass_a_reduction_and_a_product() {
    let operands = [wave(&SHAPE, 1), wave(&SHAPE, 2)];
    let [x, y] = [&operands[0], &operands[1]].map(array);
    let pairs = VIEWS.iter().enumerate().flat_map(|(at, view)| VIEWS[at..].iter().map(move |b| (view, b)));
    for (view, other) in pairs {
        let (a, b) = ((view.oracle)(&x), (other.oracle)(&y));
        if a.shape != b.shape {
            continue;
        }
        let name = format!("{} and {}", view.name, other.name);
        let product = operations_pointwise::mul(&a, &b);
        let row = oracle::slice(&y, 1, 7, 1);
        let row = oracle::slice(&oracle::slice(&row, 0, 0, a.shape[0]), 2, 0, a.shape[2]);
        for device in devices() {
            let of = |record: &dyn for<'g> Fn([Tensor<'g>; 2]) -> Tensor<'g>, want: &Array, what: &str| {
                let (got, program) = run(&device, &[&operands[0], &operands[1]], record);
                let explained = program.explain();
                assert_close(&format!("{what} of {name}\n{explained}"), &got, &narrow(want), TOLERANCE);
                program.dispatches()
            };
            let pass = of(
                &|t| {
                    let (a, b) = ((view.record)(t[0]), (other.record)(t[1]));
                    a * b
                },
                &product,
                "a product of elements",
            );
            // Padding alone is a pass of its own, and so is the cut that windows are taken of.
            let alone = ["a cut of padding", "windows that overlap, of every third element"];
            let pads = [view, other].iter().filter(|view| alone.contains(&view.name)).count();
            // What is read beside another view by other dimensions is one too.
            assert!(pass <= 1 + pads + usize::from(pads > 0), "{name}: {pass}");
            let sum = operations_reductions::sum(&product, &[1]);
            let _ = of(
                &|t| {
                    let (a, b) = ((view.record)(t[0]), (other.record)(t[1]));
                    (a * b).sum(1)
                },
                &sum,
                "a sum",
            );
            let residual =
                operations_pointwise::add(&oracle::matmul_t(&a, &row), &oracle::slice(&b, 2, 5, 1));
            let _ = of(
                &|t| {
                    let (a, b) = ((view.record)(t[0]), (other.record)(t[1]));
                    let row = t[1].slice(1, 7, 1).slice(0, 0, a.dim(0)).slice(2, 0, a.dim(2));
                    a.matmul_t(row) + b.slice(2, 5, 1)
                },
                &residual,
                "a matrix product",
            );
        }
    }
}

/// Slices of one tensor at more places than one kernel has room for.
#[test]
fn more_slices_than_a_kernel_holds_are_split() {
    let operands = [wave(&SHAPE, 1), wave(&SHAPE, 2)];
    let [x, y] = [&operands[0], &operands[1]].map(array);
    for count in 1..8 {
        for width in [4, 5] {
            let mut want = oracle::slice(&y, 2, 0, width);
            for at in 0..count {
                want = operations_pointwise::add(&want, &oracle::slice(&x, 2, at, width));
            }
            for device in devices() {
                let (got, program) = run(&device, &[&operands[0], &operands[1]], |[x, y]| {
                    let first = y.slice(2, 0, width);
                    (0..count).fold(first, |sum, at| sum + x.slice(2, at, width))
                });
                assert_close(&format!("{count} slices"), &got, &narrow(&want), TOLERANCE);
                // Three with strides and one place for where they begin.
                assert!(program.dispatches() <= 1 + count / 2, "{count}: {}", program.explain());
                if count < 3 {
                    assert_eq!(program.dispatches(), 1, "{}", program.explain());
                }
            }
        }
    }
}

/// Padding and joining are read where the operands lie: one pass, also by fours where rows allow it, and by a reduction.
#[test]
fn padding_is_read_where_its_operand_lies() {
    for shape in [[2, 3, 8], [3, 2, 5]] {
        let operands = [wave(&shape, 1), wave(&shape, 2)];
        let [x, y] = [&operands[0], &operands[1]].map(array);
        for device in devices() {
            let of = |record: &dyn for<'g> Fn([Tensor<'g>; 2]) -> Tensor<'g>, want: &Array, passes: usize| {
                let (got, program) = run(&device, &[&operands[0], &operands[1]], record);
                assert_close(&program.explain(), &got, &narrow(want), TOLERANCE);
                assert!(program.dispatches() <= passes, "{passes}: {}", program.explain());
            };
            for axis in 0..3 {
                let along = axis as isize;
                for (before, after) in [(1, 0), (0, 3), (4, 4)] {
                    let [a, b] = [&x, &y].map(|t| oracle::pad_with(t, axis, before, after, -2.5));
                    let product = operations_pointwise::mul(&a, &b);
                    of(&|t| product_of(t.map(|t| t.pad_with(along, before, after, -2.5))), &product, 1);
                    let sum = operations_reductions::sum(&product, &[1]);
                    of(&|t| product_of(t.map(|t| t.pad_with(along, before, after, -2.5))).sum(1), &sum, 1);
                }
                let joined = oracle::concat(&oracle::concat(&x, &y, axis), &x, axis);
                of(&|[x, y]| Tensor::concat(x, &[y, x], along), &joined, 1);
                let six = oracle::concat(&joined, &joined, axis);
                of(&|[x, y]| Tensor::concat(x, &[y, x, x, y, x], along), &six, 2);
            }
            // A number, which lies in no memory, between others; what a kernel reads as it is lies there itself.
            let number = Array { shape: vec![3], data: vec![7.0, 0.5, 7.0] };
            of(&|[x, _]| x.graph().full(&[], 0.5).reshape(&[1]).pad_with(0, 1, 1, 7.0) * 1.0, &number, 2);
            let padded = oracle::pad(&x, 2, 1, 2);
            of(&|[x, _]| x.pad(2, 1, 2).softmax(), &oracle::softmax(&padded), 2);
        }
    }
}

fn product_of<'g>([a, b]: [Tensor<'g>; 2]) -> Tensor<'g> {
    a * b
}
