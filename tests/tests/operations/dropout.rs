//! Dropout by its statistics. This project chooses which elements it drops, so no other program's result can be
//! compared. The rate and the scale must hold, and different calls, seeds and elements must be independent.

use seqloom_graph::{
    Activation, Arena, Control, HostTensor, ParamStore, Params, Program, Request, StoreKind, Tensor,
};
use seqloom_nn::{Dropout, RecurrentConfig, Rnn};
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

/// One mask for all steps of a row and channel; other rows and channels have others.
#[test]
fn a_variational_mask_is_that_of_all_steps() {
    const ROWS: usize = 40;
    const STEPS: usize = 6;
    const CHANNELS: usize = 250;
    let ones = HostTensor::f32(&[ROWS, STEPS, CHANNELS], vec![1.0; ROWS * STEPS * CHANNELS]).unwrap();
    let mut case = Case::compile(&device::shared(), &[ones], |_, x| {
        let y = Dropout::variational(0.3).forward(x[0]);
        Recorded { loss: y.sum_all(), outputs: vec![y] }
    });
    let run = |case: &Case| {
        let _ = case.loss();
        let values = case.outputs().remove(0);
        assert_eq!(case.gradients()[0], values, "an element's gradient is what its value was scaled by");
        values
    };
    let values = run(&case);
    let mut firsts = Vec::new();
    for row in values.chunks(STEPS * CHANNELS) {
        let (first, rest) = row.split_at(CHANNELS);
        assert!(rest.chunks(CHANNELS).all(|step| step == first));
        firsts.extend(dropped(first));
    }
    // 10,000 trials have a standard deviation of at most √(0.25/10000) = 0.005: allow four of them.
    assert!((share(&firsts, &firsts) - 0.3).abs() < 0.02, "dropped {}", share(&firsts, &firsts));
    let pairs = [
        ("two rows", share(&firsts[CHANNELS..], &firsts[..(ROWS - 1) * CHANNELS])),
        ("two channels", share(&firsts[1..], &firsts[..ROWS * CHANNELS - 1])),
    ];
    for (what, both) in pairs {
        assert!((both - 0.09).abs() < 0.02, "{what}: both dropped in {both}");
    }
    let kept = 1.0 / 0.7;
    assert!(values.iter().all(|&v| v == 0.0 || (v - kept).abs() < 1e-5));
    assert_eq!(run(&case), values, "the same seed");
    case.set_seed(8);
    assert_ne!(run(&case), values, "another seed");
}

/// Between recurrent layers too, padded and packed. The first layer gives 0.5 at every step and the second hands on what it gets.
#[test]
fn recurrent_layers_share_a_mask_over_steps() {
    const LENGTHS: [u32; 3] = [4, 1, 3];
    for (variational, ragged) in [(true, false), (true, true), (false, false)] {
        let mut params = Params::seeded(1);
        let sizes = RecurrentConfig { layers: 2, dropout: 0.5, variational, ..RecurrentConfig::new(64, 64) };
        let layer = Rnn::new(&mut params, "rnn", Activation::Relu, sizes);
        let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
        for (i, spec) in store.specs().iter().enumerate() {
            let value = |k: usize| match spec.name.as_str() {
                "rnn.weight_ih_l1" => f32::from(u8::from(k.is_multiple_of(65))),
                "rnn.bias_ih_l0" => 0.5,
                _ => 0.0,
            };
            let values: Vec<_> = (0..spec.shape.elements()).map(value).collect();
            store.write(Arena::Params, i, &values).unwrap();
        }
        let g = store.training_graph();
        let lengths = ragged.then(|| g.lengths("lengths", 3, 4).within(8));
        let y = layer.forward(g.full(&[3, 4, 64], 1.0), None, lengths).output;
        let request = Request { outputs: &[("y", y)], objective: None };
        let program = Program::compile(&store, &g, request).unwrap();
        let given = HostTensor::u32(&[3], LENGTHS.to_vec()).unwrap();
        let inputs = if ragged { vec![("lengths", &given)] } else { Vec::new() };
        program.run(&inputs, &Control { seed: 5, ..Control::default() }).unwrap();
        let y = program.read("y").unwrap().wait().unwrap();
        assert!(y.contains(&0.0) && y.contains(&1.0) && y.iter().all(|y| [0.0, 1.0].contains(y)));
        let rows: Vec<Vec<&[f32]>> = y.chunks(4 * 64).map(|row| row.chunks(64).collect()).collect();
        let true_steps = |row: usize| if ragged { LENGTHS[row] as usize } else { 4 };
        let same = (0..3).all(|row| rows[row][..true_steps(row)].iter().all(|step| *step == rows[row][0]));
        assert_eq!(same, variational, "ragged: {ragged}");
        assert!(rows[0][0] != rows[1][0] && rows[0][0] != rows[2][0], "each row has its own");
    }
}

#[test]
fn variational_dropout_does_nothing_in_inference_and_refuses_what_it_cannot_do() {
    let g = seqloom_graph::Graph::inference(&Params::seeded(0));
    let x = g.full(&[2, 3, 4], 1.0);
    assert!(Dropout::variational(0.5).forward(x).shape() == x.shape() && g.dropout_calls() == 0);
    g.check().unwrap();
    for (p, shape) in [(1.0, &[2, 3, 4][..]), (f32::NAN, &[2, 3]), (0.5, &[4])] {
        for g in [seqloom_graph::Graph::inference, seqloom_graph::Graph::training] {
            let g = g(&Params::seeded(0));
            let _ = Dropout::variational(p).forward(g.full(shape, 1.0));
            assert!(g.check().unwrap_err().to_string().contains("dropout"));
        }
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
