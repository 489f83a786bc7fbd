//! Attention over an encoder's outputs: every score against PyTorch over ragged rows, and its program's memory.

use seqloom_graph::{Control, HostTensor, Init, Objective, ParamStore, Params, Program, Request, StoreKind};
use seqloom_nn::{Attention, Score};
use seqloom_tests::case::weighted_sum;
use seqloom_tests::compare::Tolerance;
use seqloom_tests::device;
use seqloom_tests::golden::Golden;
use seqloom_tests::golden_model::{Recorded, assert_golden};

/// The golden values are exact to a float32; sums of at most some hundred terms of size 1 round each to 6e-8, and tanh and
/// exp come from a driver that may be off by some units in the last place.
const TOLERANCE: Tolerance = Tolerance { abs: 5e-6, rel: 2e-5 };

fn matches_torch(case: &str, score: Score) {
    let golden = Golden::load("attention");
    let at = |name: &str| golden.tensor(&format!("{case}.{name}"));
    let (queries, values) = (at("queries").shape(), at("values").shape());
    let mut params = Params::seeded(0);
    // The operands are parameters here, to have their gradients.
    let leaves = [("queries", queries), ("values", values)];
    let [q, m] = leaves.map(|(name, shape)| params.add(name, &shape, Init::Zeros));
    let attention = Attention::new(&mut params, "", score, queries[2], values[2]);
    let inputs = [("lengths", at("lengths"))];
    assert_golden(&golden, case, params, &inputs, TOLERANCE, |g| {
        let memory = attention.memory(g.param(m), Some(g.lengths("lengths", values[0], values[1])));
        let out = attention.forward(g.param(q), &memory);
        let weights = ["context", "weights"].map(|name| at(&format!("weight_{name}")));
        let loss = weighted_sum(g, &[out.context, out.weights], &weights);
        let outputs = vec![("context".to_owned(), out.context), ("weights".to_owned(), out.weights)];
        Recorded { loss, outputs }
    });
}

#[test]
fn dot() {
    matches_torch("dot", Score::Dot);
}

#[test]
fn general() {
    matches_torch("general", Score::General);
}

#[test]
fn additive() {
    matches_torch("additive", Score::Additive(6));
}

/// The additive score adds every query to every key, [B, T, S, A] numbers: nothing of that size may be in memory.
#[test]
fn the_sums_of_all_pairs_are_never_stored() {
    let (rows, steps, positions, width) = (4, 24, 32, 48);
    let mut params = Params::seeded(1);
    let queries = params.add("queries", &[rows, steps, 16], Init::Normal(1.0));
    let values = params.add("values", &[rows, positions, 16], Init::Normal(1.0));
    let attention = Attention::new(&mut params, "attention", Score::Additive(width), 16, 16);
    let g = seqloom_graph::Graph::training(&params);
    let memory = attention.memory(g.param(values), Some(g.lengths("lengths", rows, positions)));
    let loss = attention.forward(g.param(queries), &memory).context.square().sum_all();
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let request = Request { outputs: &[], objective: Some(Objective { loss, update: None }) };
    let program = Program::compile(&store, &g, request).unwrap();
    println!("{}", program.explain());
    let pairs = (rows * steps * positions * width * 4) as u64;
    assert!(
        program.memory().own() < pairs,
        "{:?}, all pairs are {pairs}\n{}",
        program.memory(),
        program.explain()
    );
    let lengths = HostTensor::u32(&[rows], vec![32, 1, 7, 20]).unwrap();
    program.run(&[("lengths", &lengths)], &Control { loss_scale: 1.0, ..Control::default() }).unwrap();
    assert!(program.read("loss").unwrap().wait().unwrap()[0].is_finite());
}

#[test]
fn a_row_without_positions_is_an_error() {
    let mut params = Params::seeded(1);
    let values = params.add("values", &[2, 3, 4], Init::Normal(1.0));
    let attention = Attention::new(&mut params, "attention", Score::General, 4, 4);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let memory = attention.memory(g.param(values), Some(g.lengths("source_lengths", 2, 3)));
    let context = attention.forward(g.param(values), &memory).context;
    let request = Request { outputs: &[("context", context)], objective: None };
    let program = Program::compile(&store, &g, request).unwrap();
    for wrong in [0, 4] {
        let lengths = HostTensor::u32(&[2], vec![3, wrong]).unwrap();
        let error = program.run(&[("source_lengths", &lengths)], &Control::default()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("source_lengths") && message.contains("element 1"), "{message}");
    }
}
