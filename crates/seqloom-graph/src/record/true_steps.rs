//! What the true steps of each row come to: their mask, sum, mean, greatest element, and the last of them.
//!
//! Composed of a comparison of step numbers with lengths and a reduction over time, which fuse into one kernel. Padded steps
//! are selected away, not multiplied by 0, so an infinity or a NaN that stands there does no harm. Packing first
//! ([`Lengths::pack`]) would read less, and write a copy.

use crate::record::lengths::Lengths;
use crate::record::tensor::{Tensor, here};

impl<'g> Lengths<'g> {
    /// 1 at each row's true steps and 0 at padded ones, [B, T] of f32: PyTorch's negated `key_padding_mask`, as a factor, a weight
    /// of losses, or a condition of [`Tensor::select`]. A row of length 0 has none.
    #[track_caller]
    #[must_use]
    pub fn mask(self) -> Tensor<'g> {
        let steps = (0..self.time()).map(|t| t as f32).collect();
        let steps = self.tensor().graph().literal(&[self.time()], steps);
        steps.less(self.numbers())
    }

    /// Sum over each row's true steps: x [B, T, ..] of f32 → [B, ..]; 0 of a row of length 0. Padded steps are not part of it, and get
    /// no gradient. Another shape poisons the result.
    #[track_caller]
    #[must_use]
    pub fn sum(self, x: Tensor<'g>) -> Tensor<'g> {
        self.selected("lengths.sum", self.mask(), x, 0.0).map_or_else(|poisoned| poisoned, |x| x.sum(1))
    }

    /// Mean over each row's true steps, Σ_t x / length: x [B, T, ..] of f32 → [B, ..]; 0 of a row of length 0. Else as [`Self::sum`].
    #[track_caller]
    #[must_use]
    pub fn mean(self, x: Tensor<'g>) -> Tensor<'g> {
        let sum = match self.selected("lengths.mean", self.mask(), x, 0.0) {
            Ok(x) => x.sum(1),
            Err(poisoned) => return poisoned,
        };
        let least = self.tensor().graph().full(&[], 1.0);
        sum / self.of_row(self.numbers().maximum(least), sum.rank())
    }

    /// Greatest element over each row's true steps: x [B, T, ..] of f32 → [B, ..]; 0 of a row of length 0. Steps with equal
    /// elements share the gradient. Else as [`Self::sum`].
    #[track_caller]
    #[must_use]
    pub fn max(self, x: Tensor<'g>) -> Tensor<'g> {
        let greatest = match self.selected("lengths.max", self.mask(), x, f32::NEG_INFINITY) {
            Ok(x) => x.max(1),
            Err(poisoned) => return poisoned,
        };
        let nothing = greatest.graph().full(&[], 0.0);
        self.of_row(self.numbers(), greatest.rank()).select(greatest, nothing)
    }

    /// Each row's last true step, x\[b, length − 1\]: x [B, T, ..] of f32 → [B, ..]; 0 of a row of length 0. Else as [`Self::sum`].
    #[track_caller]
    #[must_use]
    pub fn last(self, x: Tensor<'g>) -> Tensor<'g> {
        let ends = (1..=self.time()).map(|t| t as f32).collect();
        let ends = self.tensor().graph().literal(&[self.time()], ends);
        let last = ends.equal(self.numbers());
        self.selected("lengths.last", last, x, 0.0).map_or_else(|poisoned| poisoned, |x| x.sum(1))
    }

    /// The lengths as numbers, [B, 1].
    #[track_caller]
    fn numbers(self) -> Tensor<'g> {
        self.tensor().to_f32().reshape(&[self.batch(), 1])
    }

    /// A number of each row [B, 1] as [B, 1, ..] of this rank.
    #[track_caller]
    fn of_row(self, number: Tensor<'g>, rank: usize) -> Tensor<'g> {
        let mut shape = vec![1; rank];
        if let Some(first) = shape.first_mut() {
            *first = self.batch();
        }
        number.reshape(&shape)
    }

    /// x [B, T, ..] where `taken` [B, T] is 1, else `fill`.
    #[track_caller]
    fn selected(
        self,
        op: &'static str,
        taken: Tensor<'g>,
        x: Tensor<'g>,
        fill: f32,
    ) -> Result<Tensor<'g>, Tensor<'g>> {
        if let Some(poisoned) = self.refuse(op, x) {
            return Err(poisoned);
        }
        let mut shape = x.shape().to_vec();
        if shape.get(..2) != Some(&[self.batch(), self.time()]) {
            let detail = format!("needs sequences [{}, {}, ..]", self.batch(), self.time());
            return Err(x.shape_error(op, &[], &detail, here()));
        }
        shape[2..].fill(1);
        Ok(taken.reshape(&shape).select(x, x.graph().full(&[], fill)))
    }
}
