//! What models carry from step to step: shapes of state tensors, and the state left by earlier steps.
//!
//! Language models and encoder–decoders share both. A state is a list of plain tensors, because models differ only in
//! their number and shapes.

use seqloom_graph::{Following, Tensor};

/// A tensor that rows carry from step to step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StateShape {
    /// Its dimensions, outermost first.
    pub dims: Vec<usize>,
    /// The axis of rows.
    pub rows: usize,
    /// Whether it is a cache [R, S, ..] that grows by one index of S per step; only the filled part is ever read.
    pub cache: bool,
}

impl StateShape {
    /// A tensor of these dimensions; `rows` is the axis of rows.
    #[must_use]
    pub fn new(dims: &[usize], rows: usize) -> Self {
        Self { dims: dims.to_vec(), rows, cache: false }
    }

    /// A cache [R, S, ..] that grows with the steps.
    #[must_use]
    pub fn cache(dims: &[usize]) -> Self {
        Self { cache: true, ..Self::new(dims, 0) }
    }
}

/// What rows have read before the present tokens.
#[derive(Clone, Debug)]
pub struct Past<'g> {
    /// The state that it left.
    pub state: Vec<Tensor<'g>>,
    /// How many steps were read, and the steps that follow.
    pub steps: Following<'g>,
}
