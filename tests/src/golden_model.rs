//! Compares a model with a golden case: it takes the case's parameters, and its loss, outputs and all gradients are
//! compared.
//!
//! A case holds its parameters under their names in the model, `loss`, each output under its name, and the gradients as
//! `grad.<parameter>`, all prefixed with the case's name and a point.

use seqloom_graph::{
    Arena, Control, Graph, HostTensor, Objective, ParamStore, Params, Program, Request, StoreKind, Tensor,
};

use crate::compare::{Tolerance, compare};
use crate::device;
use crate::golden::Golden;

/// A model's results for a case.
#[derive(Debug)]
pub struct Recorded<'g> {
    /// The scalar to differentiate.
    pub loss: Tensor<'g>,
    /// Tensors to compare, by the names that the golden file has for them.
    pub outputs: Vec<(String, Tensor<'g>)>,
}

/// Runs the model that `record` records over `params`, with the case's parameters, on `inputs`.
///
/// # Panics
/// With every tensor that is farther off than `tolerance` allows; if the case lacks a tensor or the model does not run.
pub fn assert_golden(
    golden: &Golden,
    case: &str,
    params: Params,
    inputs: &[(&str, &HostTensor)],
    tolerance: Tolerance,
    record: impl for<'g> FnOnce(&'g Graph) -> Recorded<'g>,
) {
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).expect("parameters");
    let named = |name: &str| format!("{case}.{name}");
    for (i, spec) in store.specs().iter().enumerate() {
        store.write(Arena::Params, i, golden.floats(&named(&spec.name))).expect("the case's own shapes");
    }
    let g = store.training_graph();
    let Recorded { loss, outputs } = record(&g);
    let outputs: Vec<_> = outputs.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    let request = Request { outputs: &outputs, objective: Some(Objective { loss, update: None }) };
    let program = Program::compile(&store, &g, request).unwrap_or_else(|error| panic!("{case}: {error}"));
    let control = Control { loss_scale: 1.0, ..Control::default() };
    program.run(inputs, &control).unwrap_or_else(|error| panic!("{case}: {error}"));
    let mut failures = Vec::new();
    let mut check = |name: &str, got: &[f32]| {
        failures.extend(compare(&named(name), got, golden.floats(&named(name)), tolerance).err());
    };
    for name in outputs.iter().map(|(name, _)| *name).chain(["loss"]) {
        check(name, &program.read(name).and_then(|read| read.wait()).expect("an output that was asked for"));
    }
    for (spec, gradient) in store.specs().iter().zip(store.read(Arena::Grads).expect("gradients")) {
        check(&format!("grad.{}", spec.name), &gradient);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
