//! Picks along an axis, and their gradient: picks of one element, of few and of many.

use seqloom_kernels::gather::{self, Problem};
use seqloom_tests::compare::{assert_close, assert_same_bits};
use seqloom_tests::executor::{Executor, Feed, narrow, random, random_ids};
use seqloom_tests::oracle::embedding::segments;

use crate::LOOSE;

#[test]
fn picks_and_their_gradient() {
    let executor = Executor::shared();
    for (kind, facts) in executor.kinds() {
        for (outer, len, inner, count) in [
            (1, 1, 1, 1),
            (7, 3, 1, 1),
            (1, 7, 33, 2),
            (5, 100, 1, 3),
            (3, 33, 7, 40),
            (1, 1000, 1, 70_000),
            (1, 1, 1, 70_000),
        ] {
            // llvmpipe leaves the loops of an invocation after 65,535 iterations, and a GPU's kernel does not know.
            let cut_short = executor.facts().is_cpu() && !facts.is_cpu();
            let count = if cut_short && len == 1 { count.min(5000) } else { count };
            let problem = Problem { outer, len, inner, count };
            let (picks, elements) = (outer * count * inner, outer * len * inner);
            let (x, dy) = (random(1, elements), random(2, picks));
            let index = random_ids(3, picks, len);
            let element = |pick: usize| {
                let (line, i) = (pick / inner, pick % inner);
                ((line / count) * len + index[pick] as usize) * inner + i
            };
            let name = format!("{problem:?} {kind}");

            let forward = gather::lower_forward(&problem, &facts).unwrap();
            let feed = Feed { ins: vec![(&x).into(), (&index).into()], outs: vec![picks], ..Feed::default() };
            let want: Vec<f32> = (0..picks).map(|pick| x[element(pick)]).collect();
            assert_same_bits(&format!("forward {name}"), &executor.run(&forward, &feed).out(0), &want);

            // As an embedding's segments, of the elements that were picked alone.
            let taken: Vec<u32> = (0..picks).map(|pick| element(pick) as u32).collect();
            let (order, all) = segments(elements, &taken);
            let (mut starts, mut places) = (Vec::new(), Vec::new());
            for place in (0..elements).filter(|&place| all[place] < all[place + 1]) {
                starts.push(all[place]);
                places.push(place as u32);
            }
            starts.resize(picks + 1, picks as u32);
            places.resize(picks, u32::MAX);
            let backward = gather::lower_backward(&problem, &facts).unwrap();
            let feed = Feed {
                ins: vec![(&dy).into(), (&order).into(), (&starts).into(), (&places).into()],
                outs: vec![elements],
                ..Feed::default()
            };
            let mut want = vec![0.0; elements];
            for (pick, &place) in taken.iter().enumerate() {
                want[place as usize] += f64::from(dy[pick]);
            }
            assert_close(
                &format!("backward {name}"),
                &executor.run(&backward, &feed).out(0),
                &narrow(&want),
                LOOSE,
            );
        }
    }
}
