//! The kernels that measure ceilings do the work that is counted for them.

use seqloom_kernels::bench;
use seqloom_tests::compare::assert_close;
use seqloom_tests::executor::{Executor, Feed, random};

use crate::TIGHT;

#[test]
fn chains_end_where_the_map_contracts_to() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        let lowered = bench::arithmetic(2, &facts).unwrap();
        let invocations = 2 * bench::workgroup(&facts) as usize;
        let feed = Feed { outs: vec![invocations], ..Feed::default() };
        let got = executor.run(&lowered, &feed).out(0);
        assert_close(kind, &got, &vec![12.0; invocations], TIGHT);
        let launch = &lowered.launches[0];
        assert_eq!(launch.flops, invocations as u64 * 4096 * 12 * 4 * 2, "{kind}");
    }
}

#[test]
fn triads_of_every_length_that_is_a_multiple_of_four() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for len in [4, 100, 70_000] {
            let (a, b) = (random(1, len), random(2, len));
            let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| b.mul_add(3.0, *a)).collect();
            let feed = Feed { ins: vec![(&a).into(), (&b).into()], outs: vec![len], ..Feed::default() };
            let lowered = bench::triad(len, &facts).unwrap();
            assert_close(&format!("{kind} {len}"), &executor.run(&lowered, &feed).out(0), &want, TIGHT);
            assert_eq!(lowered.launches[0].bytes, 12 * len as u64);
        }
        assert!(bench::triad(3, &facts).unwrap().launches.is_empty());
    }
}
