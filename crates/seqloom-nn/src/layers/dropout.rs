//! Dropout.
//!
//! A pure function of the step's seed, the call's number in the graph and the element's index decides which elements
//! are dropped. So the backward pass recomputes the mask instead of storing it, and a replayed step repeats its bits.

use seqloom_graph::Tensor;

/// Sets elements to 0 at random while training and does nothing otherwise (Srivastava et al. 2014).
///
/// Formula: y = x·m/(1−p), where m is 0 with probability p and else 1.
///
/// Shapes: any → the same.
///
/// Errors: a `p` outside 0 ≤ p < 1 poisons the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// Dropout with probability `p`.
    #[must_use]
    pub fn new(p: f32) -> Self {
        Self { p }
    }

    /// Records the layer: x \[..\] → \[..\].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        x.dropout(self.p)
    }
}
