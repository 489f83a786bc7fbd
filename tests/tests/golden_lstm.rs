//! The LSTM layer against torch.nn.LSTM: one and two layers, rows of different lengths, an initial state; the outputs, the
//! final states and the gradient of everything that has one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test stops at the first surprise.

use seqloom_graph::{
    Arena, Control, Graph, HostData, Init, Objective, ParamStore, Params, Program, Request, StoreKind,
};
use seqloom_nn::{Lstm, LstmConfig, LstmState};
use seqloom_tests::case::weighted_sum;
use seqloom_tests::compare::{Tolerance, compare};
use seqloom_tests::device;
use seqloom_tests::golden::Golden;

/// The golden values are exact to a float32. This program rounds each of up to 14 dependent cells to 6e-8 and takes
/// sigmoid and tanh from a driver that may be off by some units in the last place; the gradients of weights add up to 35
/// such terms.
const TOLERANCE: Tolerance = Tolerance { abs: 2e-6, rel: 2e-5 };

fn matches_torch(case: &str) {
    let golden = Golden::load("lstm");
    let at = |name: &str| golden.tensor(&format!("{case}.{name}"));
    let (x, h0, lengths) = (at("x"), at("h0"), at("lengths"));
    let (batch, time, input) = (x.shape()[0], x.shape()[1], x.shape()[2]);
    let (layers, hidden) = (h0.shape()[0], h0.shape()[2]);

    let mut params = Params::seeded(0);
    let lstm = Lstm::new(&mut params, "lstm", LstmConfig { input, hidden, layers, dropout: 0.0 });
    // Operands that are not parameters in a model are here, to have their gradients.
    let leaf = |params: &mut Params, name: &str| {
        let HostData::F32(values) = at(name).data() else { panic!("{name} is f32") };
        params.add(name, &at(name).shape(), Init::Values(values.clone()))
    };
    let (x_id, h_id, c_id) = (leaf(&mut params, "x"), leaf(&mut params, "h0"), leaf(&mut params, "c0"));

    let g = Graph::training(&params);
    let state = LstmState { h: g.param(h_id), c: g.param(c_id) };
    let out = lstm.forward(g.param(x_id), Some(state), Some(g.lengths("lengths", batch, time)));
    let outputs = [out.output, out.h_n, out.c_n];
    let loss = weighted_sum(&g, &outputs, &["y", "h_n", "c_n"].map(|name| at(&format!("weight_{name}"))));

    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let names: Vec<String> =
        store.specs().iter().map(|s| s.name.trim_start_matches("lstm.").to_owned()).collect();
    for (i, name) in names.iter().enumerate() {
        store.write(Arena::Params, i, golden.floats(&format!("{case}.{name}"))).unwrap();
    }
    let request = Request {
        outputs: &[("y", outputs[0]), ("h_n", outputs[1]), ("c_n", outputs[2])],
        objective: Some(Objective { loss, update: false }),
    };
    let program = Program::compile(&store, &g, request).unwrap();
    program.run(&[("lengths", lengths)], &Control { loss_scale: 1.0, ..Control::default() }).unwrap();

    let mut failures = Vec::new();
    let mut check = |name: &str, got: &[f32]| {
        let name = format!("{case}.{name}");
        failures.extend(compare(&name, got, golden.floats(&name), TOLERANCE).err());
    };
    for name in ["y", "h_n", "c_n"] {
        check(name, &program.read(name).unwrap().wait().unwrap());
    }
    for (name, gradient) in names.iter().zip(store.read(Arena::Grads).unwrap()) {
        check(&format!("grad.{name}"), &gradient);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn one_layer() {
    matches_torch("one_layer");
}

#[test]
fn two_layers() {
    matches_torch("two_layers");
}

#[test]
fn full_length() {
    matches_torch("full_length");
}
