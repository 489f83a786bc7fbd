//! Joining along an axis: bits in, bits out, every element of the result once.

use seqloom_kernels::concat::{self, PARTS, Part, Problem};
use seqloom_kernels::{Launch, Width};
use seqloom_tests::executor::{Data, Executor, Feed};

/// All bit patterns, among them NaNs with a payload and subnormals, which arithmetic might change.
fn bits(salt: u32, len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| (i + 1000 * salt).wrapping_mul(0x9e37_79b9) | 1).collect()
}

/// Runs the problem over operands of these lengths and compares with its formula. Gives the launches of a CPU adapter.
fn check(name: &str, sources: &[usize], problem: &Problem) -> Vec<Launch> {
    let executor = Executor::shared();
    let x: Vec<Vec<u32>> = sources.iter().enumerate().map(|(at, &len)| bits(at as u32, len)).collect();
    let mut want = Vec::new();
    for outer in 0..problem.rows[0] {
        for inner in 0..problem.rows[1] {
            for (part, x) in problem.parts.iter().zip(&x) {
                let [far, near] = part.strides.map(|stride| stride as isize);
                let first = part.offset as isize + outer as isize * far + inner as isize * near;
                want.extend((0..part.width).map(|column| x[first as usize + column]));
            }
        }
    }
    let mut launches = Vec::new();
    for (kind, facts) in executor.kinds() {
        let lowered = concat::lower(problem, &facts).unwrap();
        let feed =
            Feed { ins: x.iter().map(Data::from).collect(), outs: vec![want.len()], ..Feed::default() };
        let got: Vec<u32> = executor.run(&lowered, &feed).out(0).iter().map(|x| x.to_bits()).collect();
        assert_eq!(got, want, "{name} {kind}");
        let filled = problem.parts.iter().filter(|part| part.width > 0).count();
        assert_eq!(lowered.launches.len(), filled.div_ceil(PARTS), "{name} {kind}");
        let bytes: u64 = lowered.launches.iter().map(|launch| launch.bytes).sum();
        assert_eq!(bytes, 8 * want.len() as u64, "{name} {kind}");
        launches = lowered.launches;
    }
    launches
}

/// Whole tensors of rows of these widths.
fn whole(name: &str, rows: [usize; 2], widths: &[usize]) -> Vec<Launch> {
    let parts = widths.iter().map(|&width| Part::whole(width, rows)).collect();
    let sources: Vec<_> = widths.iter().map(|width| width * rows[0] * rows[1]).collect();
    check(name, &sources, &Problem { rows, parts })
}

#[test]
fn one_part_and_many() {
    for rows in [[1, 1], [5, 1], [1, 33], [3, 7]] {
        for count in [1, 2, 3, 6, 7, 8, 14, 15, 40] {
            let name = format!("{count} parts of {rows:?} rows");
            let ragged: Vec<_> = (0..count).map(|at| 1 + at * 5 % 7).collect();
            whole(&name, rows, &ragged);
            let fours: Vec<_> = (0..count).map(|at| 4 + at % 3 * 8).collect();
            whole(&format!("{name}, by fours"), rows, &fours);
        }
    }
    whole("long rows", [2, 1], &[10_000, 3, 70_001]);
    whole("many rows", [700, 100], &[1, 2]);
}

#[test]
fn empty_parts_take_nothing_and_empty_results_no_launch() {
    whole("an empty part", [3, 2], &[0, 5, 0, 0, 2, 0]);
    whole("many empty parts", [3, 2], &[vec![0; 20], vec![1; 8], vec![0; 20], vec![2]].concat());
    for (rows, widths) in [([0, 3], [2, 3]), ([3, 0], [2, 3]), ([2, 3], [0, 0])] {
        let parts = widths.map(|width| Part::whole(width, rows)).to_vec();
        let lowered = concat::lower(&Problem { rows, parts }, Executor::shared().facts()).unwrap();
        assert!(lowered.launches.is_empty(), "{rows:?} {widths:?}");
    }
}

/// Cuts that begin anywhere, rows that are taken backwards, and rows that serve many times.
#[test]
fn parts_are_read_where_they_lie() {
    for unit in [4, 5] {
        let part = |width: i32, offset: i32, strides: [i32; 2]| Part {
            width: (width * unit) as usize,
            offset: (offset * unit) as u32,
            strides: strides.map(|stride| stride * unit),
        };
        let parts = vec![
            part(2, 3, [40, 8]),
            part(1, 0, [8, 1]),
            part(3, 57, [-30, -6]),
            part(2, 1, [0, 2]),
            part(2, 1, [7, 0]),
            part(1, 6, [0, 0]),
        ];
        let launches = check("views", &[200 * unit as usize; 6], &Problem { rows: [2, 4], parts });
        let by_fours = launches[0].label.contains(&format!("Word={}", Width::Four.elements()));
        assert_eq!(by_fours, unit == 4 && seqloom_tests::device::shared().facts().lanes().is_some());
    }
    // One number keeps all from fours: an offset, a stride, a width.
    for odd in [
        Part { width: 8, offset: 2, strides: [16, 8] },
        Part { width: 8, offset: 4, strides: [18, 8] },
        Part { width: 8, offset: 4, strides: [16, 9] },
        Part { width: 7, offset: 4, strides: [16, 8] },
    ] {
        check("odd", &[16, 100], &Problem { rows: [2, 2], parts: vec![Part::whole(4, [2, 2]), odd] });
    }
}
