//! Strided copies: bits in, bits out.

use seqloom_kernels::view::{self, AppendProblem, AppendTarget, Problem};
use seqloom_tests::executor::{Data, Executor, Feed};
use seqloom_tests::oracle::view::{Gather, gather};

fn check(name: &str, source: usize, problem: Problem) {
    let executor = Executor::shared();
    // All bit patterns, among them NaNs with a payload and subnormals, which arithmetic might change.
    let x: Vec<u32> = (0..source as u32).map(|i| i.wrapping_mul(0x9e37_79b9) | 1).collect();
    let oracle = Gather {
        dims: problem.dims.map(|x| x as usize),
        strides: problem.strides.map(|x| x as isize),
        lo: problem.lo.map(|x| x as usize),
        extent: problem.extent.map(|x| x as usize),
        offset: problem.offset as usize,
        fill: problem.fill,
    };
    let want: Vec<u32> = gather(&oracle, &x);
    for (kind, facts) in executor.kinds() {
        let lowered = view::lower(&problem, &facts).unwrap();
        let feed = Feed { ins: vec![(&x).into()], outs: vec![want.len()], ..Feed::default() };
        let got: Vec<u32> = executor.run(&lowered, &feed).out(0).iter().map(|x| x.to_bits()).collect();
        assert_eq!(got, want, "{name} {kind}");
    }
}

/// A window over the whole output.
fn whole(dims: [u32; 4], strides: [i32; 4], offset: u32) -> Problem {
    Problem { dims, strides, lo: [0; 4], extent: dims, offset, fill: 0 }
}

#[test]
fn transposes() {
    for (rows, cols) in [(1, 1), (1, 7), (7, 33), (100, 257)] {
        check("matrix", (rows * cols) as usize, whole([1, 1, cols as u32, rows as u32], [0, 0, 1, cols], 0));
    }
    // [2, 3, 5, 7] with axes 1 and 2 exchanged, and with all reversed.
    check("middle axes", 210, whole([2, 5, 3, 7], [105, 7, 35, 1], 0));
    check("reversed axes", 210, whole([7, 5, 3, 2], [1, 7, 35, 105], 0));
}

#[test]
fn slices() {
    for (len, start, size) in [(1, 0, 1), (7, 2, 4), (257, 100, 33), (100, 0, 100)] {
        let strides = [0, 3 * len, len, 1];
        check("last axis", 2 * 3 * len as usize, whole([1, 2, 3, size], strides, start));
        check("first axis", 5 * len as usize, whole([1, 1, size, 5], [0, 0, 5, 1], 5 * start));
    }
}

/// Strides that go back, along the last axis and along others, and such as pass over elements.
#[test]
fn flips_and_steps() {
    // [2, 3, 5, 8] read backwards along each axis, along two, and every other element.
    let strides = [120, 40, 8, 1];
    for (axis, last) in [(0, 120), (1, 80), (2, 32), (3, 7)] {
        let mut back = strides;
        back[axis] = -back[axis];
        check("backwards", 240, whole([2, 3, 5, 8], back, last));
    }
    check("two axes", 240, whole([2, 3, 5, 8], [-120, 40, -8, 1], 152));
    check("every other", 240, whole([2, 3, 3, 4], [120, 40, 16, 2], 1));
    check("every third, backwards", 240, whole([2, 3, 2, 3], [120, 40, 24, -3], 7));
}

#[test]
fn pads() {
    for (len, before, after) in [(1, 0, 1), (7, 3, 0), (33, 1, 100), (257, 5, 7)] {
        let dims = [1, 2, before + len + after, 3];
        let lo = [0, 0, before, 0];
        let extent = [1, 2, len, 3];
        let strides = [0, 3 * len as i32, 3, 1];
        for fill in [0, 0x7fc0_1234] {
            let problem = Problem { dims, strides, lo, extent, offset: 0, fill };
            check("middle axis", 6 * len as usize, problem);
        }
    }
}

/// Windows whose rows are multiples of four in both tensors, and windows that miss this in one number.
#[test]
fn rows_of_fours() {
    for (row, lo, size, from) in
        [(64, 16, 32, 8), (64, 0, 64, 0), (64, 18, 32, 8), (62, 16, 32, 8), (64, 16, 30, 8), (64, 16, 32, 7)]
    {
        let dims = [2, 3, 1, row];
        let problem = |strides| Problem {
            dims,
            strides,
            lo: [0, 1, 0, lo],
            extent: [2, 2, 1, size],
            offset: from,
            fill: 7,
        };
        check("rows", 1000, problem([400, 96, 5, 1]));
        check("rows apart", 1000, problem([401, 98, 4, 1]));
        check("columns", 1000, problem([400, 96, 4, 2]));
    }
}

#[test]
fn broadcasts() {
    check("rows", 33, whole([1, 4, 7, 33], [0, 0, 0, 1], 0));
    check("columns", 100, whole([1, 1, 100, 257], [0, 0, 1, 0], 0));
    check("scalar", 1, whole([3, 3, 3, 3], [0; 4], 0));
}

#[test]
fn a_window_beside_the_output_is_zero() {
    let problem = Problem {
        dims: [1, 1, 1, 7],
        strides: [0, 0, 0, 1],
        lo: [0; 4],
        extent: [1, 1, 1, 0],
        offset: 0,
        fill: 0,
    };
    check("empty window", 7, problem);
}

/// Rows at the start, in the middle and at the end of their sequences; copied, the cache stays as it was.
#[test]
fn new_rows_of_a_cache() {
    let executor = Executor::shared();
    for (batch, keys, time, channels) in [(1, 1, 1, 1), (3, 7, 2, 5), (4, 33, 1, 128), (2, 9, 9, 3)] {
        let cache: Vec<u32> =
            (0..(batch * keys * channels) as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
        let rows: Vec<u32> = (0..(batch * time * channels) as u32).map(|i| !i).collect();
        let first: Vec<u32> = (0..batch).map(|b| (b * 5 % (keys - time + 1)) as u32).collect();
        let mut want = cache.clone();
        for (b, &first) in first.iter().enumerate() {
            let size = time * channels;
            want[(b * keys + first as usize) * channels..][..size].copy_from_slice(&rows[b * size..][..size]);
        }
        let problem = AppendProblem { batch, keys, time, channels, target: AppendTarget::Copy };
        for (kind, facts) in executor.kinds() {
            let lowered = view::lower_append(&problem, &facts).unwrap();
            let ins = vec![(&cache).into(), (&rows).into(), (&first).into()];
            let feed = Feed { ins, outs: vec![want.len()], ..Feed::default() };
            let got: Vec<u32> = executor.run(&lowered, &feed).out(0).iter().map(|x| x.to_bits()).collect();
            assert_eq!(got, want, "{problem:?} {kind}");
        }
    }
}

/// Both caches of a pair hold what each would hold alone; all else of them stays.
#[test]
fn new_rows_of_two_caches() {
    let executor = Executor::shared();
    let (batch, keys, time, channels) = (3, 7, 2, 5);
    let rows = |salt: u32| (0..(batch * time * channels) as u32).map(|i| i * 7 + salt).collect::<Vec<_>>();
    let (rows_a, rows_b, first, none) = (rows(1000), rows(2000), vec![0, 5, 3], Vec::new());
    let problem = AppendProblem { batch, keys, time, channels, target: AppendTarget::PairInPlace };
    for (kind, facts) in executor.kinds() {
        let lowered = view::lower_append(&problem, &facts).unwrap();
        let ins = [&none, &rows_a, &first, &none, &rows_b].map(Data::from).to_vec();
        let outs = vec![batch * keys * channels; 2];
        let ran = executor.run(&lowered, &Feed { ins, outs, ..Feed::default() });
        for (out, rows) in [&rows_a, &rows_b].into_iter().enumerate() {
            let got: Vec<u32> = ran.out(out).iter().map(|x| x.to_bits()).collect();
            // What no row is written to is as the executor left it.
            let untouched = got[channels * 2];
            let mut want = vec![untouched; batch * keys * channels];
            for (b, &first) in first.iter().enumerate() {
                let size = time * channels;
                want[(b * keys + first as usize) * channels..][..size]
                    .copy_from_slice(&rows[b * size..][..size]);
            }
            assert_eq!(got, want, "cache {out} {kind}");
            assert!(f32::from_bits(untouched).is_nan(), "poison");
        }
    }
}
