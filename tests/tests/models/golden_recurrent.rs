//! The recurrent layers against torch.nn.RNN, LSTM and GRU, and their variants against equations written out: layers,
//! directions, rows of different lengths, initial
//! states; the outputs, the final states and all gradients.

use seqloom_graph::{
    Activation, Arena, Control, Graph, HostData, Init, Objective, ParamStore, Params, Program, Request,
    StoreKind, packed_rows,
};
use seqloom_nn::{Gru, GruOptions, Lstm, LstmOptions, Recurrent, RecurrentConfig, Rnn};
use seqloom_tests::case::weighted_sum;
use seqloom_tests::compare::{Tolerance, compare};
use seqloom_tests::device;
use seqloom_tests::golden::Golden;

/// The golden values are exact to a float32. This program rounds each of up to 14 dependent cells to 6e-8 and takes
/// sigmoid and tanh from a driver that may be off by some units in the last place; the gradients of weights add up to 35
/// such terms.
const TOLERANCE: Tolerance = Tolerance { abs: 2e-6, rel: 2e-5 };

/// Layers, directions, and whether the rows have lengths of their own, of each case.
const CASES: [(&str, usize, bool, bool); 7] = [
    ("one_layer", 1, false, true),
    ("two_layers", 2, false, true),
    ("bidirectional", 1, true, true),
    ("two_bidirectional_layers", 2, true, true),
    ("full_length", 2, true, false),
    ("from_zeros", 1, false, true),
    ("padded_beyond", 1, true, true),
];

/// The cases of variants that are recorded step by step, and that PyTorch's equations were written out for.
const VARIANT_CASES: [(&str, usize, bool, bool); 3] = [
    ("one_layer", 1, false, true),
    ("two_bidirectional_layers", 2, true, true),
    ("full_length", 2, true, false),
];

fn matches_torch<L: Recurrent>(kind: &str, register: impl Fn(&mut Params, &str, RecurrentConfig) -> L) {
    matches("recurrent", kind, &CASES, register);
}

fn matches_variant<L: Recurrent>(kind: &str, register: impl Fn(&mut Params, &str, RecurrentConfig) -> L) {
    matches("recurrent_variants", kind, &VARIANT_CASES, register);
}

fn matches<L: Recurrent>(
    file: &str,
    kind: &str,
    cases: &[(&str, usize, bool, bool)],
    register: impl Fn(&mut Params, &str, RecurrentConfig) -> L,
) {
    let golden = Golden::load(file);
    let mut failures = Vec::new();
    for &(case, layers, bidirectional, ragged) in cases {
        let case = format!("{kind}.{case}");
        let at = |name: &str| golden.tensor(&format!("{case}.{name}"));
        let x_shape = at("x").shape();
        let (batch, time, input) = (x_shape[0], x_shape[1], x_shape[2]);
        // Of an LSTM h may be projected, c is not.
        let hidden = golden.get(&format!("{case}.c_n")).unwrap_or(at("h_n")).shape()[2];
        let config = RecurrentConfig { layers, bidirectional, ..RecurrentConfig::new(input, hidden) };

        let mut params = Params::seeded(0);
        let layer = register(&mut params, "net", config);
        // Operands that are not parameters in a model are here, to have their gradients.
        let mut leaf = |name: &str| {
            let tensor = golden.get(&format!("{case}.{name}"))?;
            let HostData::F32(values) = tensor.data() else { panic!("{name} is f32") };
            Some(params.add(name, &tensor.shape(), Init::Values(values.clone())))
        };
        let x_id = leaf("x").unwrap();
        let start: Vec<_> = L::STATE.iter().filter_map(|part| leaf(&format!("{part}0"))).collect();

        let g = Graph::training(&params);
        let state: Vec<_> = start.iter().map(|&id| g.param(id)).collect();
        let lengths = ragged.then(|| {
            let rows = packed_rows(golden.ids(&format!("{case}.lengths")), time);
            g.lengths("lengths", batch, time).within(rows)
        });
        let run = layer.run(g.param(x_id), (!state.is_empty()).then_some(&state[..]), lengths);
        let names: Vec<String> =
            std::iter::once("y".to_owned()).chain(L::STATE.iter().map(|part| format!("{part}_n"))).collect();
        let outputs: Vec<_> = std::iter::once(run.output).chain(run.state).collect();
        let weights: Vec<_> = names.iter().map(|name| at(&format!("weight_{name}"))).collect();
        let loss = weighted_sum(&g, &outputs, &weights);
        let asked: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();

        let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
        let of_params: Vec<String> =
            store.specs().iter().map(|s| s.name.trim_start_matches("net.").to_owned()).collect();
        for (i, name) in of_params.iter().enumerate() {
            store.write(Arena::Params, i, golden.floats(&format!("{case}.{name}"))).unwrap();
        }
        let objective = Some(Objective { loss, update: None });
        let program = Program::compile(&store, &g, Request { outputs: &asked, objective }).unwrap();
        let inputs = [("lengths", at("lengths"))];
        let control = Control { loss_scale: 1.0, ..Control::default() };
        program.run(if ragged { &inputs } else { &[] }, &control).unwrap();

        let mut check = |name: &str, got: &[f32]| {
            let name = format!("{case}.{name}");
            failures.extend(compare(&name, got, golden.floats(&name), TOLERANCE).err());
        };
        for name in &names {
            check(name, &program.read(name).unwrap().wait().unwrap());
        }
        for (name, gradient) in of_params.iter().zip(store.read(Arena::Grads).unwrap()) {
            check(&format!("grad.{name}"), &gradient);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn rnn_tanh() {
    matches_torch("rnn_tanh", |p, name, config| Rnn::new(p, name, Activation::Tanh, config));
}

#[test]
fn rnn_relu() {
    matches_torch("rnn_relu", |p, name, config| Rnn::new(p, name, Activation::Relu, config));
}

#[test]
fn lstm() {
    matches_torch("lstm", Lstm::new);
}

#[test]
fn gru() {
    matches_torch("gru", Gru::new);
}

#[test]
fn lstm_with_options() {
    let options = LstmOptions::default();
    for (kind, options) in [
        ("lstm_projection", LstmOptions { projection: Some(3), ..options }),
        ("lstm_peepholes", LstmOptions { peepholes: true, ..options }),
        ("lstm_clip", LstmOptions { clip: Some(0.75), ..options }),
        ("lstm_all", LstmOptions { projection: Some(2), peepholes: true, clip: Some(1.5) }),
    ] {
        matches_variant(kind, |p, name, config| Lstm::with_options(p, name, config, options));
    }
}

#[test]
fn gru_with_the_reset_before_the_product() {
    let options = GruOptions { reset_before: true };
    matches_variant("gru_reset_before", |p, name, config| Gru::with_options(p, name, config, options));
}
