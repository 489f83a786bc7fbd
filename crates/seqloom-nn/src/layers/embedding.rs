//! The embedding layer.
//!
//! Its gradient is summed row by row in a fixed order, from an index that the host builds. Scattering with atomics
//! would be simpler but give other bits in every run.

use seqloom_graph::{Graph, Init, ParamId, Params, Tensor};

/// A vector for each id.
///
/// Formula: y\[..\] = W[ids\[..\]].
///
/// Shapes: ids \[..\] of u32, at most five dimensions, → [.., C]; parameter `weight` [V, C], normal(0, 1) initially.
///
/// Errors: an id of V or more is found on the host when the program is run.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    weight: ParamId,
}

impl Embedding {
    /// Registers the table as `name.weight` [vocab, channels].
    pub fn new(params: &mut Params, name: &str, vocab: usize, channels: usize) -> Self {
        Self::with(params, name, vocab, channels, Init::Normal(1.0))
    }

    /// As [`Self::new`], with other initial values.
    pub fn with(params: &mut Params, name: &str, vocab: usize, channels: usize, start: Init) -> Self {
        params.scope(name, |params| Self { weight: params.add("weight", &[vocab, channels], start) })
    }

    /// Records the layer: ids \[..\] → [.., C].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, ids: Tensor<'g>) -> Tensor<'g> {
        ids.graph().param(self.weight).gather_rows(ids)
    }

    /// Records the table itself [V, C].
    #[track_caller]
    #[must_use]
    pub fn table<'g>(&self, g: &'g Graph) -> Tensor<'g> {
        g.param(self.weight)
    }
}
