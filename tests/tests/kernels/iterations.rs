//! Long walks: llvmpipe silently leaves every loop of an invocation after 65535 iterations, so no kernel for CPU
//! adapters may need more.
//!
//! A problem of some megabytes that goes beyond the limit is run; for larger ones the launches' grids are counted.

use seqloom_device::{AdapterKind, Facts, Subgroups};
use seqloom_kernels::reduce::{self, ReduceOp};
use seqloom_kernels::{
    FusedCode, Fusion, Launch, cross_entropy, embedding, matmul, norm, pointwise, softmax, view,
};
use seqloom_kernels::{KernelError, optimizer};
use seqloom_tests::compare::{assert_close, assert_same_bits};
use seqloom_tests::executor::{Executor, Feed, narrow, random};
use seqloom_tests::oracle::cross_entropy::{Options, cross_entropy as cross_entropy_oracle};
use seqloom_tests::oracle::{softmax as oracle, widen};

use crate::{TIGHT, fusion};

/// What llvmpipe allows one invocation.
const LIMIT: u64 = 65_535;

/// Three walks along the shorter row pass the limit, and one along the longer.
const COLUMNS: [usize; 2] = [25_000, 70_000];

fn executor() -> (Executor, Facts) {
    let executor = Executor::shared();
    let [_, (_, cpu)] = executor.kinds();
    (executor, cpu)
}

/// A CPU adapter, for launches that are only counted.
fn cpu() -> Facts {
    let subgroups = Some(Subgroups { min: 8, max: 8 });
    Facts { kind: AdapterKind::Cpu, subgroups, ..crate::limits::facts() }
}

/// Logits within 1 of each other, so the error of such a long sum is rounding and not cancellation.
fn rows(cols: usize) -> Vec<f32> {
    random(1, 2 * cols)
}

#[test]
fn softmax_of_long_rows() {
    let (executor, facts) = executor();
    for cols in COLUMNS {
        let x = rows(cols);
        for log in [false, true] {
            let lowered = softmax::lower(&softmax::Problem { rows: 2, cols, log }, &facts).unwrap();
            let feed = Feed { ins: vec![(&x).into()], outs: vec![2 * cols], ..Feed::default() };
            let got = executor.run(&lowered, &feed).out(0);
            let want = if log {
                oracle::log_softmax(cols, &widen(&x))
            } else {
                // Scaled up to the size that the tolerance is meant for.
                oracle::softmax(cols, &widen(&x)).iter().map(|y| y * cols as f64).collect()
            };
            let got: Vec<f32> = if log { got } else { got.iter().map(|y| y * cols as f32).collect() };
            assert_close(&format!("{cols} log {log}"), &got, &narrow(&want), TIGHT);
        }
    }
}

#[test]
fn cross_entropy_of_many_classes() {
    let (executor, facts) = executor();
    for cols in COLUMNS {
        let x = rows(cols);
        let targets = vec![cols as u32 - 1, 3];
        let problem = cross_entropy::Problem { rows: 2, cols, ignore_index: None, smoothing: 0.1 };
        let options = Options { cols, ignore: None, smoothing: 0.1 };
        let want = cross_entropy_oracle(options, &widen(&x), &targets);
        let lowered = cross_entropy::lower_forward(&problem, &facts).unwrap();
        let ins = vec![(&x).into(), (&targets).into()];
        let ran = executor.run(&lowered, &Feed { ins, outs: vec![2; 3], ..Feed::default() });
        assert_close(&format!("losses {cols}"), &ran.out(0), &narrow(&want.losses), TIGHT);

        let (tops, totals, dlosses) = (ran.out(1), ran.out(2), vec![cols as f32; 2]);
        let ins = vec![(&x).into(), (&targets).into(), (&tops).into(), (&totals).into(), (&dlosses).into()];
        let lowered = cross_entropy::lower_backward(&problem, false, &facts).unwrap();
        let ran = executor.run(&lowered, &Feed { ins, outs: vec![2 * cols], ..Feed::default() });
        // The size that the tolerance is meant for.
        let want: Vec<f64> = want.dlogits.iter().map(|d| d * cols as f64).collect();
        assert_close(&format!("dlogits {cols}"), &ran.out(0), &narrow(&want), TIGHT);
    }
}

#[test]
fn products_with_long_sums() {
    let (executor, facts) = executor();
    // Beyond the limit in steps of 4 values, and not a multiple of them.
    let (m, n, k) = (3, 2, 4 * LIMIT as usize + 20_003);
    for (trans_a, trans_b) in [(false, false), (true, true)] {
        let problem =
            matmul::Problem { batch: 1, m, n, k, trans_a, trans_b, a_batched: false, b_batched: false };
        let lowered = matmul::lower(&problem, &facts, None).unwrap();
        // Whole numbers, whose sums are exact: any value left out shows.
        let a = vec![1.0f32; m * k];
        let b: Vec<f32> = (0..n * k).map(|i| if trans_b { i / k + 1 } else { i % n + 1 } as f32).collect();
        let feed = Feed { ins: vec![(&a).into(), (&b).into()], outs: vec![m * n], ..Feed::default() };
        let want: Vec<f32> = (0..m * n).map(|i| ((i % n + 1) * k) as f32).collect();
        assert_same_bits(&format!("{trans_a} {trans_b}"), &executor.run(&lowered, &feed).out(0), &want);
    }
    let nothing = matmul::Problem {
        batch: 1,
        m: 2,
        n: 3,
        k: 0,
        trans_a: false,
        trans_b: false,
        a_batched: true,
        b_batched: true,
    };
    let lowered = matmul::lower(&nothing, &facts, None).unwrap();
    let feed = Feed { ins: vec![(&vec![0.0f32]).into(); 2], outs: vec![6], ..Feed::default() };
    assert_same_bits("a sum of nothing", &executor.run(&lowered, &feed).out(0), &[0.0; 6]);
}

#[test]
fn gradients_of_rows_that_many_tokens_share() {
    let (executor, facts) = executor();
    let (tokens, vocab, channels) = (130_001, 3, 2);
    let dy = vec![1.0f32; tokens * channels];
    // Of id 1 there are three, of id 2 all others, and of id 0 none.
    let order: Vec<u32> = (0..tokens as u32).rev().collect();
    let starts = vec![0, 0, 3, tokens as u32];
    let lowered = embedding::lower_backward(&embedding::Problem { tokens, vocab, channels }, &facts).unwrap();
    let feed = Feed {
        ins: vec![(&dy).into(), (&order).into(), (&starts).into()],
        outs: vec![vocab * channels],
        ..Feed::default()
    };
    let rest = (tokens - 3) as f32;
    assert_same_bits("dtable", &executor.run(&lowered, &feed).out(0), &[0.0, 0.0, 3.0, 3.0, rest, rest]);
}

/// A head that needs no memory: 1 at every 4096th element, so that the sum is exact.
#[test]
fn sums_along_a_long_axis() {
    let (executor, facts) = executor();
    let code = FusedCode {
        body: "    return select(0.0f, 1.0f, (index & 4095u) == 0u);\n".into(),
        leaves: Vec::new(),
        states: 0,
    };
    let head = Fusion { code, ..Fusion::default() };
    // As many results as the fewest invocations that there are, so that the axis is not cut for the sake of the device; and
    // more of them, so that an invocation meets several.
    for (outer, len, inner) in [(1, 65_600, 4096), (4, 5000, 4 * 4096)] {
        let problem = reduce::Problem { outer, len, inner, op: ReduceOp::Sum };
        let lowered = reduce::lower(&problem, &facts, &head).unwrap();
        let feed = Feed { outs: vec![outer * inner], ..Feed::default() };
        let got = executor.run(&lowered, &feed).out(0);
        let want: Vec<f32> =
            (0..outer * inner).map(|i| if i % inner % 4096 == 0 { len as f32 } else { 0.0 }).collect();
        assert_same_bits(&format!("[{outer}, {len}, {inner}]"), &got, &want);
    }
}

/// The number of Values of this many elements in a launch's kernel: the same, or a quarter.
fn values(launch: &Launch, elements: u64) -> u64 {
    let fours = ["Value=4", "Word=4"].iter().any(|width| launch.label.contains(width));
    if fours { elements / 4 } else { elements }
}

/// Iterations of an invocation that strides over `items`, with `inner` for each.
fn walked(launch: &Launch, items: u64, inner: u64) -> u64 {
    let text = launch.label.split("WORKGROUP=").nth(1).unwrap();
    let workgroup: u64 = text.split([' ', ']']).next().unwrap().parse().unwrap();
    let invocations = launch.grid.iter().map(|&side| u64::from(side)).product::<u64>() * workgroup;
    items.div_ceil(invocations) * (inner + 1)
}

#[test]
fn no_invocation_strides_beyond_the_limit() {
    let facts = cpu();
    let (len, many) = (2_000_000_000usize, 2_000_000_000u64);
    let one = |lowered: seqloom_kernels::Lowered| lowered.launches[0].clone();
    let head = fusion("0.5f", 0, [1; 4], &[]);

    let map = one(pointwise::lower(len, false, &facts, &head).unwrap());
    assert!(walked(&map, values(&map, many), 0) <= LIMIT, "{map:?}");

    let dims = [1, 1, 2000, 1_000_000];
    let copy = view::Problem { dims, strides: [0; 4], lo: [0; 4], extent: dims, offset: 0, fill: 0 };
    let gather = one(view::lower(&copy, &facts).unwrap());
    assert!(walked(&gather, values(&gather, many), 0) <= LIMIT, "{gather:?}");

    let table = embedding::Problem { tokens: 1_000_000, vocab: 5, channels: 2000 };
    let forward = one(embedding::lower_forward(&table, &facts, None).unwrap());
    assert!(walked(&forward, values(&forward, many), 0) <= LIMIT, "{forward:?}");
    // Every token may be of one id, and an invocation may meet that id in each of its turns.
    let table = embedding::Problem { tokens: 20_000, vocab: 5, channels: 100_000 };
    let backward = one(embedding::lower_backward(&table, &facts).unwrap());
    assert!(walked(&backward, values(&backward, 500_000), 20_000) <= LIMIT, "{backward:?}");

    let problem = optimizer::Problem { runs: vec![len], members: 1, carried: vec![] };
    let mut launches = optimizer::norm(&problem, &facts).unwrap().launches;
    launches.extend(
        optimizer::update(optimizer::Run { len, first: 0 }, &facts, &Fusion::identity()).unwrap().launches,
    );
    launches.extend(optimizer::accumulate(len, &facts).unwrap().launches);
    for launch in &launches {
        let items = if launch.label.starts_with("norm_finish") { 16 * 40 } else { values(launch, many) };
        assert!(walked(launch, items, 0) <= LIMIT, "{launch:?}");
    }

    let rows = softmax::Problem { rows: 1_000_000, cols: 2000, log: false };
    let launch = one(softmax::lower(&rows, &facts).unwrap());
    assert!(walked(&launch, 1_000_000, 3 * 2001) <= LIMIT, "{launch:?}");
    let rows = norm::Problem { rows: 1_000_000, cols: 2000, centred: true, eps: 1e-5 };
    for lowered in [
        norm::lower_forward(&rows, &facts),
        norm::lower_residual(&rows, &head, &facts),
        norm::lower_backward(&rows, &facts, None),
    ] {
        let launch = one(lowered.unwrap());
        assert!(walked(&launch, 1_000_000, 3 * (values(&launch, 2000) + 1)) <= LIMIT, "{launch:?}");
    }
    let rows = cross_entropy::Problem { rows: 1_000_000, cols: 2000, ignore_index: None, smoothing: 0.0 };
    let launch = one(cross_entropy::lower_forward(&rows, &facts).unwrap());
    assert!(walked(&launch, 1_000_000, 3 * 2001) <= LIMIT, "{launch:?}");
    let launch = one(cross_entropy::lower_backward(&rows, true, &facts).unwrap());
    // A row is a whole workgroup's, whose invocations share the columns.
    assert!(walked(&launch, 8_000_000, 251) <= LIMIT, "{launch:?}");

    let sums = reduce::Problem { outer: 1, len, inner: 1, op: ReduceOp::Sum };
    let lowered = reduce::lower(&sums, &facts, &head).unwrap();
    let chunks = lowered.scratch[0] / 4;
    assert!(walked(&lowered.launches[0], chunks, many.div_ceil(chunks)) <= LIMIT);
    assert!(walked(&lowered.launches[1], 1, chunks) <= LIMIT);
}

#[test]
fn rows_too_long_for_any_invocation_are_refused() {
    let cols = 20_000_000;
    let refused = |result: Result<_, KernelError>| {
        let message = result.map(|_: seqloom_kernels::Lowered| ()).unwrap_err().to_string();
        assert!(message.contains("loop iterations") && message.contains("60000"), "{message}");
    };
    refused(softmax::lower(&softmax::Problem { rows: 1, cols, log: false }, &cpu()));
    let rows = cross_entropy::Problem { rows: 1, cols, ignore_index: None, smoothing: 0.0 };
    refused(cross_entropy::lower_forward(&rows, &cpu()));
    refused(cross_entropy::lower_backward(&rows, true, &cpu()));
    let rows = norm::Problem { rows: 1, cols, centred: true, eps: 1e-5 };
    refused(norm::lower_forward(&rows, &cpu()));
    refused(norm::lower_backward(&rows, &cpu(), None));
    let walk = softmax::Problem { rows: 1, cols: 30_000, log: false };
    refused(softmax::lower_as(softmax::Variant::Invocation, &walk, &cpu()));
}
