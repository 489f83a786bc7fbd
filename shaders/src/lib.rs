//! Seqloom's kernels: WGSL files, and beside each its contract in Rust.
//!
//! A kernel lives in `wgsl/<family>/<name>.wgsl`; `src/<family>.rs` states what Rust knows of it: spec lines,
//! immediates, bindings ([`Kernel`]). Helpers that every family uses live in `wgsl/lib/`, those of one family in
//! `wgsl/<family>/lib/`; a kernel's header ends with the names of those joined before it, and `check` compares them with the
//! contract. [`assemble`] joins helpers, file and typed values into a [`Wgsl`] that a device can compile. The crate knows no GPU
//! API and builds without a shader compiler; `tests/contract.rs` (feature
//! `check`) lets naga compare the two languages for every variant that is shipped, on a machine without a GPU.
//!
//! Why WGSL in files and not generated: a kernel should be read, diffed and profiled as it is written. The one thing
//! generated is the body of `fused`, and it only calls what `wgsl/lib/` defines.
//!
//! Dimensions, here and in every WGSL file: B batch, T time, C channels, H heads or hidden, D head width,
//! V vocabulary, N tokens.

mod assemble;
pub mod attention;
pub mod bench;
#[cfg(feature = "check")]
pub mod check;
mod contract;
pub mod ctc;
pub mod embedding;
pub mod gather;
mod libs;
mod limits;
pub mod matmul;
pub mod norm;
pub mod optimizer;
pub mod pointwise;
pub mod recurrent;
pub mod reduce;
pub mod softmax;
mod tables;
mod variants;
pub mod view;

use std::sync::LazyLock;

pub use assemble::{AssembleError, FusedCode, Wgsl, assemble, assemble_parts};
pub use contract::{
    Access, Binding, Control, Elem, Field, Kernel, Params, RATES, Spec, Value, ViewParams, Width,
};
pub use libs::*;
pub use limits::*;

static KERNELS: LazyLock<Vec<&'static Kernel>> = LazyLock::new(|| {
    [
        pointwise::KERNELS,
        reduce::KERNELS,
        matmul::KERNELS,
        view::KERNELS,
        softmax::KERNELS,
        norm::KERNELS,
        embedding::KERNELS,
        gather::KERNELS,
        ctc::KERNELS,
        recurrent::KERNELS,
        attention::KERNELS,
        optimizer::KERNELS,
        bench::KERNELS,
    ]
    .concat()
});

/// Every kernel, family by family.
pub fn kernels() -> &'static [&'static Kernel] {
    &KERNELS
}

/// The kernel of that name.
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.iter().copied().find(|kernel| kernel.name == name)
}

/// Every kernel in every variant that is shipped; a fusable one also with a sample of fused code.
///
/// An entry is an error where a file and its contract disagree on the marked lines.
pub fn variants() -> Vec<Result<Wgsl, AssembleError>> {
    let mut out = variants::Variants::default();
    pointwise::variants(&mut out);
    reduce::variants(&mut out);
    matmul::variants(&mut out);
    view::variants(&mut out);
    softmax::variants(&mut out);
    norm::variants(&mut out);
    embedding::variants(&mut out);
    gather::variants(&mut out);
    ctc::variants(&mut out);
    recurrent::variants(&mut out);
    attention::variants(&mut out);
    optimizer::variants(&mut out);
    bench::variants(&mut out);
    out.0
}
