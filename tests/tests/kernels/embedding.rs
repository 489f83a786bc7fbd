//! Embedding lookup and its gradient.

use seqloom_kernels::embedding::{self, Problem};
use seqloom_tests::compare::{assert_close, assert_same_bits};
use seqloom_tests::executor::{Executor, Feed, narrow, random, random_ids};
use seqloom_tests::oracle::{embedding as oracle, widen};

use crate::{LOOSE, TIGHT, fusion, with_fours};

#[test]
fn forward_and_backward() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (tokens, vocab, channels) in
            [(1, 1, 1), (7, 3, 1), (1, 7, 33), (33, 100, 7), (257, 65, 100), (1000, 2, 33), (100, 257, 1)]
        {
            let problem = Problem { tokens, vocab, channels };
            let name = format!("N={tokens} V={vocab} C={channels} {kind}");
            let (table, dy) = (random(1, vocab * channels), random(2, tokens * channels));
            let ids = random_ids(3, tokens, vocab);

            let forward = embedding::lower_forward(&problem, &facts, None).unwrap();
            let feed = Feed {
                ins: vec![(&table).into(), (&ids).into()],
                outs: vec![tokens * channels],
                ..Feed::default()
            };
            let want = narrow(&oracle::forward(channels, &widen(&table), &ids));
            assert_same_bits(&format!("forward {name}"), &executor.run(&forward, &feed).out(0), &want);

            // An id that is no row of the table stands for a row of zeros.
            let beyond: Vec<u32> = ids.iter().enumerate().map(|(n, &id)| id + (n % 3) as u32).collect();
            let feed = Feed { ins: vec![(&table).into(), (&beyond).into()], ..feed };
            let want = narrow(&oracle::forward(channels, &widen(&table), &beyond));
            assert_same_bits(&format!("zero rows {name}"), &executor.run(&forward, &feed).out(0), &want);

            // The vectors of positions that repeat, added to scaled rows.
            let positions = random(4, channels);
            let tail = "add(mul(value, Value(0.5f)), leaf0[repeated(index, view.s0.x)])";
            let tail = with_fours(fusion(tail, 1, [1; 4], &[[channels as u32, 0, 0, 0]]));
            let lowered = embedding::lower_forward(&problem, &facts, Some(&tail)).unwrap();
            let with_tail = Feed { leaves: vec![(&positions).into()], ..feed.clone() };
            let want: Vec<f32> =
                want.iter().enumerate().map(|(i, x)| x * 0.5 + positions[i % channels]).collect();
            let got = executor.run(&lowered, &with_tail).out(0);
            assert_close(&format!("with a tail {name}"), &got, &want, TIGHT);

            let (order, starts) = oracle::segments(vocab, &ids);
            let backward = embedding::lower_backward(&problem, &facts).unwrap();
            let feed = Feed {
                ins: vec![(&dy).into(), (&order).into(), (&starts).into()],
                outs: vec![vocab * channels],
                ..Feed::default()
            };
            let want = narrow(&oracle::backward(vocab, channels, &widen(&dy), &ids));
            assert_close(&format!("backward {name}"), &executor.run(&backward, &feed).out(0), &want, LOOSE);
        }
    }
}
