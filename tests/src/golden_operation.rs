//! Single operations against what PyTorch computed: outputs, and the gradients of a weighted sum of them.
//!
//! The cases of a family are those of `golden/<family>.py`; its test file has the same table in Rust, with the same constants.

use seqloom_graph::Tensor;

use crate::case::{Case, Recorded, weighted_sum};
use crate::compare::{Tolerance, compare};
use crate::device;
use crate::golden::{Golden, operation_cases};

/// The golden values are exact to a float32; what is left is this program's rounding. WGSL lets exp, ln and tanh be wrong
/// by some units in the last place that grow with the argument, and a sum of n terms by about √n·6e-8 of its terms, which
/// is absolute where they cancel.
const TOLERANCE: Tolerance = Tolerance { abs: 5e-6, rel: 2e-5 };

/// Runs all cases of an operation, with the kernels for this adapter and with those for a GPU, and reports all that differ
/// at once. `apply` is the operation of a case.
///
/// # Panics
/// If a case differs or the family has none of the operation.
pub fn check(family: &str, operation: &str, apply: impl for<'g> Fn(&str, &[Tensor<'g>]) -> Vec<Tensor<'g>>) {
    let golden = Golden::load(family);
    let mut failures = Vec::new();
    let cases = &operation_cases(family)[operation];
    assert!(!cases.is_empty(), "no golden case of {operation}");
    for case in cases {
        let operands: Vec<_> = golden.numbered(&format!("{case}.in")).into_iter().cloned().collect();
        let weights = golden.numbered(&format!("{case}.weight"));
        for (kind, device) in [("as it is", device::shared()), ("as a GPU", device::shared_as_gpu())] {
            let run = Case::compile(&device, &operands, |g, x| {
                let outputs = apply(case, x);
                Recorded { loss: weighted_sum(g, &outputs, &weights), outputs }
            });
            let _ = run.loss();
            let outputs =
                run.outputs().into_iter().enumerate().map(|(i, values)| (format!("{case}.out{i}"), values));
            let gradients = run
                .gradients()
                .into_iter()
                .enumerate()
                .map(|(i, values)| (format!("{case}.grad{i}"), values));
            for (tensor, got) in outputs.chain(gradients) {
                let name = format!("{tensor}, adapter {kind}");
                failures.extend(compare(&name, &got, golden.floats(&tensor), TOLERANCE).err());
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A test for each operation of a family, and one that the family's file has no others. That each operation of the graph has a case
/// in some family, `cargo xtask tidy` checks.
#[macro_export]
macro_rules! golden_operations {
    ($family:literal, $apply:ident: $($name:ident)*) => {
        $(#[test] fn $name() { $crate::golden_operation::check($family, stringify!($name), $apply); })*

        #[test]
        fn every_operation_of_the_file_is_run() {
            let cases = $crate::golden::operation_cases($family);
            let filed: Vec<&str> = cases.keys().map(String::as_str).collect();
            let mut here = vec![$(stringify!($name)),*];
            here.sort_unstable();
            assert_eq!(filed, here, "golden/{}.json and this file", $family);
        }
    };
}
