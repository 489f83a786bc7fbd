//! Dropout by its statistics. This project chooses which elements it drops, so no other program's result can be
//! compared. The rate and the scale must hold, and different calls, seeds and elements must be independent.

use seqloom_graph::{HostTensor, Params, Tensor};
use seqloom_tests::case::{Case, Recorded};
use seqloom_tests::device;

const LEN: usize = 20_000;

/// Two calls of dropout over ones.
fn two_calls(p: f32) -> Case {
    let ones = HostTensor::f32(&[LEN], vec![1.0; LEN]).unwrap();
    Case::compile(&device::shared(), &[ones], |_, x| {
        let outputs: Vec<Tensor<'_>> = vec![x[0].dropout(p), x[0].dropout(p)];
        Recorded { loss: (outputs[0] + outputs[1]).sum_all(), outputs }
    })
}

fn dropped(values: &[f32]) -> Vec<bool> {
    values.iter().map(|&v| v == 0.0).collect()
}

/// Share of elements for which both hold.
fn share(a: &[bool], b: &[bool]) -> f32 {
    a.iter().zip(b).filter(|(a, b)| **a && **b).count() as f32 / a.len() as f32
}

#[test]
fn drops_at_the_rate_and_scales_what_it_keeps() {
    for p in [0.1f32, 0.5, 0.8] {
        let case = two_calls(p);
        let _ = case.loss();
        for values in case.outputs() {
            let mask = dropped(&values);
            // The rate of 20,000 trials has a standard deviation of √(p(1−p)/20000) ≤ 0.0036: allow four of them.
            assert!((share(&mask, &mask) - p).abs() < 0.0145, "p = {p}, dropped {}", share(&mask, &mask));
            let kept = 1.0 / (1.0 - p);
            assert!(values.iter().all(|&v| v == 0.0 || (v - kept).abs() < 1e-5), "p = {p}");
        }
        // The gradient of an element is what its value was scaled by, summed over the two calls.
        let sum: Vec<f32> = case.outputs()[0].iter().zip(&case.outputs()[1]).map(|(a, b)| a + b).collect();
        assert_eq!(case.gradients()[0], sum);
    }
}

#[test]
fn calls_seeds_and_neighbours_are_independent() {
    let mut case = two_calls(0.5);
    let _ = case.loss();
    let first: Vec<_> = case.outputs().iter().map(|v| dropped(v)).collect();
    case.set_seed(8);
    let _ = case.loss();
    let second: Vec<_> = case.outputs().iter().map(|v| dropped(v)).collect();
    let pairs = [
        ("two calls", share(&first[0], &first[1])),
        ("two seeds", share(&first[0], &second[0])),
        ("call and seed exchanged", share(&first[1], &second[0])),
        ("neighbours", share(&first[0][1..], &first[0][..LEN - 1])),
        ("elements 64 apart", share(&first[0][64..], &first[0][..LEN - 64])),
    ];
    for (what, both) in pairs {
        // Independent: a quarter, with a standard deviation of 0.0031.
        assert!((both - 0.25).abs() < 0.0125, "{what}: both dropped in {both}");
    }
}

#[test]
fn the_same_seed_drops_the_same_elements() {
    let case = two_calls(0.5);
    let run = || {
        let _ = case.loss();
        case.outputs()
    };
    assert_eq!(run(), run());
}

#[test]
fn inference_passes_everything_on() {
    let g = seqloom_graph::Graph::inference(&Params::seeded(0));
    let x = g.full(&[4], 1.0);
    assert_eq!(format!("{:?}", x.dropout(0.5)), format!("{x:?}"));
    g.check().unwrap();
}
