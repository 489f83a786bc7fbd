//! How the losses of all elements become one: mean, sum or as they are, with weights or a mask.

use seqloom_graph::Tensor;

/// How the losses l of all elements become one tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Σ w·l / Σ w, with all weights w = 1 if there are none. If all weights are 0, it is 0.
    #[default]
    Mean,
    /// Σ w·l
    Sum,
    /// w·l, as they are.
    None,
}

/// What is done with the loss of each element. A [`Reduction`] stands for itself without weights.
///
/// A mask is a weight of zeros and ones. PyTorch's `weight` of a binary cross-entropy is another: its mean divides by the
/// number of elements.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossOptions<'g> {
    /// How losses are joined.
    pub reduction: Reduction,
    /// Weight of each loss, 0 or above, of any shape that stretches to the losses': one of each row [B, 1], a mask [B, T].
    pub weight: Option<Tensor<'g>>,
}

impl<'g> LossOptions<'g> {
    /// The mean with these weights.
    #[must_use]
    pub fn weighted(weight: Tensor<'g>) -> Self {
        Self { reduction: Reduction::Mean, weight: Some(weight) }
    }
}

impl From<Reduction> for LossOptions<'_> {
    fn from(reduction: Reduction) -> Self {
        Self { reduction, weight: None }
    }
}

impl<'g> LossOptions<'g> {
    /// Joins the losses of all elements.
    #[track_caller]
    pub(super) fn reduce(self, losses: Tensor<'g>) -> Tensor<'g> {
        let Some(weight) = self.weight else {
            return match self.reduction {
                Reduction::Mean => losses.mean_all(),
                Reduction::Sum => losses.sum_all(),
                Reduction::None => losses,
            };
        };
        let weight = weight.broadcast_to(&losses.shape());
        self.joined(losses * weight, weight)
    }

    /// Joins losses that are multiplied by their weights already.
    #[track_caller]
    pub(super) fn joined(self, weighted: Tensor<'g>, weight: Tensor<'g>) -> Tensor<'g> {
        match self.reduction {
            Reduction::Mean => {
                // Of nothing the mean is 0: 0 over the least number that is no 0.
                let least = weighted.graph().full(&[], f32::MIN_POSITIVE);
                weighted.sum_all() / weight.sum_all().maximum(least)
            }
            Reduction::Sum => weighted.sum_all(),
            Reduction::None => weighted,
        }
    }
}
