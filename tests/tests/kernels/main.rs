//! Every kernel family on the device under test, against the f64 oracles.
//!
//! There is one module per family, all in one binary, so they share a device and its compiled kernels. Each family runs
//! with the device's own facts and with those of the other kind of adapter, and in every variant by force, over sizes
//! that are no multiple of anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arg;
mod attention;
mod bench;
mod concat;
mod ctc;
mod embedding;
mod gather;
mod grids;
mod iterations;
mod limits;
mod matmul;
mod norm;
mod optimizer;
mod pointwise;
mod recurrent;
mod recurrent_oracle;
mod reduce;
mod scan;
mod softmax;
mod sums;
mod view;

use seqloom_kernels::{Elem, FusedCode, Fusion};
use seqloom_tests::compare::Tolerance;

/// For results of a few operations.
const TIGHT: Tolerance = Tolerance { abs: 2e-6, rel: 2e-6 };

/// For sums of some hundred terms of size 1.
const LOOSE: Tolerance = Tolerance { abs: 2e-5, rel: 2e-5 };

/// Fused code over f32 leaves with these views; `[]` for leaves that are read by `index`.
fn fusion(body: &str, leaves: usize, dims: [u32; 4], strides: &[[u32; 4]]) -> Fusion {
    let body = format!("    let view = params.view;\n    return {body};\n");
    let code = FusedCode { body, leaves: vec![Elem::F32; leaves], states: 0 };
    Fusion { code, dims, strides: strides.to_vec(), offsets: Vec::new(), four: None }
}

/// The same fusion with its form for tensors whose elements are fours: the code, over leaves that it reads by neighbours.
fn with_fours(fusion: Fusion) -> Fusion {
    let Fusion { code, dims: [a, b, c, row], strides, .. } = &fusion;
    let quarters = |&[a, b, c, d]: &[u32; 4]| [a / 4, b / 4, c / 4, d];
    let four = Fusion {
        code: FusedCode { leaves: vec![Elem::F32x4; code.leaves.len()], ..code.clone() },
        dims: [*a, *b, *c, row / 4],
        strides: strides.iter().map(quarters).collect(),
        offsets: Vec::new(),
        four: None,
    };
    Fusion { four: Some(Box::new(four)), ..fusion }
}
