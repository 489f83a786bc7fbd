//! Softmax over the last axis, and its logarithm: one operation with its own kernel, because every element of a row
//! needs the row's maximum and sum.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::record::tensor::{Tensor, here};

impl<'g> Tensor<'g> {
    /// eˣ / Σ eˣ over the last axis.
    #[track_caller]
    #[must_use]
    pub fn softmax(self) -> Self {
        self.normalised("softmax", false)
    }

    /// x − ln Σ eˣ over the last axis.
    #[track_caller]
    #[must_use]
    pub fn log_softmax(self) -> Self {
        self.normalised("log_softmax", true)
    }

    #[track_caller]
    fn normalised(self, name: &'static str, log: bool) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32)], at) {
            return poisoned;
        }
        match self.rows(name, at) {
            Ok(rows) => rows.unary_node(Op::Softmax { log }, rows.shape(), at).unary_node(
                Op::Reshape,
                self.shape(),
                at,
            ),
            Err(poisoned) => poisoned,
        }
    }
}
