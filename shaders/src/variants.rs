//! The kernels in every variant that is shipped, as text.

use crate::assemble::{AssembleError, FusedCode, Wgsl, assemble};
use crate::contract::Spec;

/// Collects the shipped variants of every family.
#[derive(Debug, Default)]
pub(crate) struct Variants(pub(crate) Vec<Result<Wgsl, AssembleError>>);

impl Variants {
    /// Adds each shipped specialisation of `S`, and for a fusable kernel each once more with sample fused code.
    pub(crate) fn shipped<S: Spec>(&mut self) {
        for spec in S::shipped() {
            self.0.push(assemble(&spec, None));
            if S::KERNEL.fusable {
                self.0.push(assemble(&spec, Some(&FusedCode::sample(spec.width()))));
            }
        }
    }
}
