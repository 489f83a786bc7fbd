//! What models carry from step to step: the shapes of a state's tensors, and the state of what was read before.
//!
//! Language models and encoder–decoders share both. A state is a list of plain tensors, because models differ in nothing but
//! their number and shapes.

use seqloom_graph::{Following, Tensor};

/// A tensor that rows carry from step to step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StateShape {
    /// Its dimensions, outermost first.
    pub dims: Vec<usize>,
    /// The axis of rows.
    pub rows: usize,
    /// Whether it is a cache [R, S, ..] that grows by an index of S with each step, of which no more is ever read.
    pub cache: bool,
}

impl StateShape {
    /// A tensor of these dimensions, of which `rows` is the axis of rows.
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

/// What rows have read before the tokens at hand.
#[derive(Clone, Debug)]
pub struct Past<'g> {
    /// The state that it left.
    pub state: Vec<Tensor<'g>>,
    /// How many steps it was, and the steps that follow.
    pub steps: Following<'g>,
}
