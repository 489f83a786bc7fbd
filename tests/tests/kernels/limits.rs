//! Problems that must be refused, with the operation and the numbers in the message. Needs no device.

use seqloom_device::{AdapterKind, Facts, Subgroups};
use seqloom_kernels::{
    Elem, Fusion, KernelError, concat, cross_entropy, embedding, matmul, optimizer, pointwise, recurrent,
    reduce, softmax, view,
};

use crate::fusion;

pub(crate) fn facts() -> Facts {
    Facts {
        index: 0,
        name: "made up".into(),
        backend: "vulkan".into(),
        kind: AdapterKind::Discrete,
        driver: String::new(),
        subgroups: Some(Subgroups { min: 32, max: 32 }),
        timestamps: false,
        pipeline_cache: false,
        immediates: true,
        f16: false,
        cooperative: None,
        max_buffer_bytes: 1 << 30,
        max_binding_bytes: 1 << 30,
        max_storage_buffers: 12,
        max_immediate_bytes: 128,
        max_workgroup_invocations: 256,
        max_workgroup_bytes: 16384,
        max_grid: 65535,
        offset_alignment: 256,
    }
}

const HUGE: usize = 1 << 32;

const SQUARE: matmul::Problem = matmul::Problem {
    batch: 1,
    m: 64,
    n: 64,
    k: 64,
    trans_a: false,
    trans_b: false,
    a_batched: false,
    b_batched: false,
};

const SEQUENCE: recurrent::Problem = recurrent::Problem {
    cell: recurrent::Cell::Lstm,
    rows: 6,
    batch: 2,
    time: 3,
    hidden: 8,
    packed: false,
    reverse: false,
};

#[track_caller]
fn says<T>(result: Result<T, KernelError>, parts: &[&str]) {
    let Err(error) = result else { panic!("no error; expected one with {parts:?}") };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }
}

#[test]
fn sizes_that_do_not_fit_32_bits() {
    let facts = facts();
    let plain = fusion("value", 0, [1; 4], &[]);
    says(pointwise::lower(HUGE, false, &facts, &plain), &["pointwise", "4294967296"]);
    let reduction = reduce::Problem { outer: 1 << 16, len: 1 << 16, inner: 2, op: reduce::ReduceOp::Sum };
    says(reduce::lower(&reduction, &facts, &plain), &["reduce", "[65536, 65536, 2]"]);
    let copy = view::Problem {
        dims: [1, 1, 3, 2],
        strides: [0, 0, i32::MAX, 1],
        lo: [0; 4],
        extent: [1, 1, 3, 2],
        offset: 7,
        fill: 0,
    };
    says(view::lower(&copy, &facts), &["view", "input", "4294967302"]);
    let cache = view::AppendProblem {
        batch: 1,
        keys: 1 << 20,
        time: 1,
        channels: 1 << 12,
        target: view::AppendTarget::InPlace,
    };
    says(view::lower_append(&cache, &facts), &["append", "cache", "[1, 1048576, 4096]"]);
    let many = view::AppendProblem { keys: 2, time: 3, ..cache };
    says(view::lower_append(&many, &facts), &["append", "3 new rows", "cache of 2"]);
    let part = concat::Part::whole(1 << 20, [1 << 11, 1]);
    let joined = concat::Problem { rows: [1 << 11, 1], parts: vec![part, part] };
    says(concat::lower(&joined, &facts), &["concat", "out", "[2048, 1, 2097152]"]);
    let far = concat::Part { width: 2, offset: 1, strides: [i32::MAX, 0] };
    let apart = concat::Problem { rows: [3, 1], parts: vec![far] };
    says(concat::lower(&apart, &facts), &["concat", "address in a part", "4294967296"]);
    let rows = softmax::Problem { rows: 1 << 20, cols: 1 << 20, log: false };
    says(softmax::lower(&rows, &facts), &["softmax", "[1048576, 1048576]"]);
    let losses = cross_entropy::Problem { rows: 1 << 20, cols: 1 << 20, ignore_index: None, smoothing: 0.0 };
    says(cross_entropy::lower_forward(&losses, &facts), &["cross_entropy", "[1048576, 1048576]"]);
    let table = embedding::Problem { tokens: 1, vocab: HUGE, channels: 1 };
    says(embedding::lower_forward(&table, &facts, None), &["embedding", "4294967296"]);
    says(optimizer::norm(&updated(&[1, HUGE]), &facts), &["optimizer", "4294967296"]);
    let run = optimizer::Run { len: HUGE, first: 0 };
    says(optimizer::update(run, &facts, &Fusion::identity()), &["optimizer", "4294967296"]);
    says(optimizer::accumulate(HUGE, &facts), &["optimizer", "4294967296"]);
    says(optimizer::keep(HUGE, &facts), &["optimizer", "4294967296"]);
    let wide = matmul::Problem { m: 1 << 16, n: 1 << 16, k: 1, ..SQUARE };
    says(matmul::lower(&wide, &facts, None), &["matmul", "[1, 65536, 65536]"]);
    let long =
        recurrent::Problem { rows: 1 << 24, batch: 1 << 12, time: 1 << 12, hidden: 1 << 10, ..SEQUENCE };
    says(recurrent::lower_forward(&long, &facts), &["lstm", "16777216"]);
    says(recurrent::lower_backward(&long, &facts), &["lstm", "16777216"]);
}

#[test]
fn what_the_device_cannot_hold() {
    let small = Facts { max_grid: 2, ..facts() };
    says(
        pointwise::lower(5000, false, &small, &fusion("value", 0, [1; 4], &[])),
        &["pointwise", "20 workgroups", "4"],
    );
    says(
        matmul::lower(
            &matmul::Problem { batch: 9, a_batched: true, b_batched: true, ..SQUARE },
            &small,
            None,
        ),
        &["matmul", "36 workgroups", "4"],
    );
    let narrow = Facts { max_immediate_bytes: 64, ..facts() };
    says(matmul::lower(&SQUARE, &narrow, None), &["matmul", "bytes of immediates", "64"]);
    let few = Facts { max_storage_buffers: 4, ..facts() };
    let two_leaves = fusion("add(leaf0[index], leaf1[index])", 2, [1; 4], &[]);
    says(matmul::lower(&SQUARE, &few, Some(&two_leaves)), &["matmul", "5 storage buffers", "4"]);
}

#[test]
fn tiles_that_no_kernel_has() {
    let odd = matmul::Tile::Shared { size: [48, 64], depth: 16, thread: [4, 4] };
    says(matmul::lower_as(odd, &SQUARE, &facts(), None), &["matmul", "tile 48x64x16 by 4x4"]);
    says(matmul::lower_as(matmul::Tile::Rows(64), &SQUARE, &facts(), None), &["matmul", "rows 64"]);
    says(matmul::lower_biased(&SQUARE, &facts()), &["matmul", "takes no bias"]);
}

#[test]
fn variants_that_need_a_subgroup_size() {
    let varying = Facts { subgroups: Some(Subgroups { min: 8, max: 32 }), ..facts() };
    let none = Facts { subgroups: None, kind: AdapterKind::Cpu, ..facts() };
    for facts in [varying, none] {
        says(matmul::lower_as(matmul::Tile::Rows(8), &SQUARE, &facts, None), &["matmul", "made up"]);
        let form = recurrent::Form::Cpu;
        says(recurrent::lower_forward_as(form, &SEQUENCE, &facts), &["lstm", "made up"]);
        says(recurrent::lower_backward_as(form, &SEQUENCE, &facts), &["lstm", "made up"]);
        // Left to itself a family finds a variant that runs.
        assert!(matmul::lower(&SQUARE, &facts, None).is_ok());
        assert!(recurrent::lower_forward(&SEQUENCE, &facts).is_ok());
        assert!(recurrent::lower_backward(&SEQUENCE, &facts).is_ok());
    }
}

#[test]
fn fusions_and_problems_without_meaning() {
    let facts = facts();
    let five = Fusion { strides: vec![[0; 4]; 5], ..Fusion::default() };
    says(pointwise::lower(1, false, &facts, &five), &["pointwise", "5 strided"]);
    let mut many = Fusion::default();
    many.code.body = "return value;".into();
    many.code.leaves = vec![Elem::F32; 12];
    says(pointwise::lower(1, false, &facts, &many), &["pointwise", "12"]);
    let empty_axis = reduce::Problem { outer: 3, len: 0, inner: 5, op: reduce::ReduceOp::Max };
    says(reduce::lower(&empty_axis, &facts, &fusion("value", 0, [1; 4], &[])), &["reduce", "[3, 0, 5]"]);
    let inner = reduce::Problem { outer: 3, len: 4, inner: 5, op: reduce::ReduceOp::Sum };
    says(
        reduce::lower_as(
            reduce::Cut::of(reduce::Variant::Rows, &inner),
            &inner,
            &facts,
            &fusion("value", 0, [1; 4], &[]),
        ),
        &["reduce", "Rows", "[3, 4, 5]"],
    );
    says(softmax::lower(&softmax::Problem { rows: 3, cols: 0, log: true }, &facts), &["softmax", "3 rows"]);
    let cpu = Facts { kind: AdapterKind::Cpu, ..facts };
    assert!(!matmul::takes_epilogue(&SQUARE, &cpu) && matmul::takes_epilogue(&SQUARE, &self::facts()));
    says(matmul::lower(&SQUARE, &cpu, Some(&Fusion::default())), &["matmul_cpu", "no fused code"]);
}

#[test]
fn empty_results_take_no_launch() {
    let facts = facts();
    assert!(
        pointwise::lower(0, false, &facts, &fusion("value", 0, [1; 4], &[])).unwrap().launches.is_empty()
    );
    assert!(matmul::lower(&matmul::Problem { m: 0, ..SQUARE }, &facts, None).unwrap().launches.is_empty());
    assert!(optimizer::norm(&updated(&[0, 0]), &facts).unwrap().launches.is_empty());
}

#[test]
fn a_wide_grid_is_folded_into_two_dimensions() {
    let small = Facts { max_grid: 100, ..facts() };
    let lowered = pointwise::lower(256 * 1001, false, &small, &fusion("0.5f", 0, [1; 4], &[])).unwrap();
    let [x, y, z] = lowered.launches[0].grid;
    assert!(x <= 100 && y <= 100 && z == 1 && x * y >= 1001, "{x} x {y} x {z}");
}

#[test]
fn costs_are_counted() {
    let bias =
        fusion("add(value, leaf0[strided(index, view.dims, view.s0)])", 1, [1, 1, 64, 64], &[[0, 0, 0, 1]]);
    let launch = &matmul::lower(&SQUARE, &facts(), Some(&bias)).unwrap().launches[0];
    assert_eq!(launch.flops, 2 * 64 * 64 * 64 + 64 * 64);
    assert_eq!(launch.bytes, 4 * (3 * 64 * 64 + 64));
}

/// An update of runs of these lengths, a parameter each.
fn updated(lens: &[usize]) -> optimizer::Problem {
    let runs = lens.to_vec();
    optimizer::Problem { runs, members: lens.len(), carried: Vec::new() }
}
