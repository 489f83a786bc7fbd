//! Dropout.
//!
//! A pure function of the step's seed, the call's number in the graph and the element's index decides which elements
//! are dropped. So the backward pass recomputes the mask instead of storing it, and a replayed step repeats its bits.
//!
//! Variational dropout draws for one step of each sequence, and all its steps share that. Only this small mask [B, 1, C] is
//! stored.

use seqloom_graph::{Lengths, Tensor};

/// Sets elements to 0 at random while training and does nothing otherwise (Srivastava et al. 2014).
///
/// Formula: y = x·m/(1−p), where m is 0 with probability p and else 1. With [`Dropout::new`] every element has its own m; with
/// [`Dropout::variational`] the elements of a channel have one m for all steps of a sequence.
///
/// Shapes: any → the same; variational, x [B, T, ..].
///
/// Errors: a `p` outside 0 ≤ p < 1 poisons the result, and if it is variational an operand of fewer than two dimensions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f32,
    variational: bool,
}

impl Dropout {
    /// Dropout with probability `p`, of each element by itself.
    #[must_use]
    pub fn new(p: f32) -> Self {
        Self { p, variational: false }
    }

    /// Dropout with probability `p` and one mask for all steps of a sequence; each row has its own (Gal & Ghahramani 2016; locked
    /// dropout of Merity et al. 2018).
    ///
    /// Between recurrent layers it drops a channel for a whole sequence, where independent masks would be noise that a state
    /// averages out. It drops what enters and leaves a layer, not the state inside.
    #[must_use]
    pub fn variational(p: f32) -> Self {
        Self { p, variational: true }
    }

    /// Records the layer: x \[..\] → \[..\].
    #[track_caller]
    #[must_use]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        if !self.variational {
            return x.dropout(self.p);
        }
        let mut shape = x.shape().to_vec();
        let Some(steps) = shape.get_mut(1) else {
            return x.refused("variational dropout", "operands are [B, T, ..]");
        };
        *steps = 1;
        self.mask(x, &shape).map_or(x, |mask| x * mask)
    }

    /// Records the layer over packed sequences: x [N, C] → [N, C].
    #[track_caller]
    #[must_use]
    pub fn forward_packed<'g>(&self, x: Tensor<'g>, lengths: Lengths<'g>) -> Tensor<'g> {
        if !self.variational {
            return x.dropout(self.p);
        }
        let &[rows, channels] = &x.shape()[..] else {
            return x.refused("variational dropout", "packed operands are [N, C]");
        };
        if rows != lengths.rows() {
            return x.refused("variational dropout", &format!("{rows} packed rows, not {}", lengths.rows()));
        }
        let [batch, time] = [lengths.batch(), lengths.time()];
        let mask = self.mask(x, &[batch, 1, channels]);
        mask.map_or(x, |mask| x * lengths.pack(mask.broadcast_to(&[batch, time, channels])))
    }

    /// What x is multiplied by: 0 or 1/(1−p); `None` where nothing is dropped.
    #[track_caller]
    fn mask<'g>(&self, x: Tensor<'g>, shape: &[usize]) -> Option<Tensor<'g>> {
        let mask = x.graph().full(&[], 1.0).broadcast_to(shape).dropout(self.p);
        let drops = self.p != 0.0 && x.graph().is_training();
        (drops || mask.is_poisoned()).then_some(mask)
    }
}
