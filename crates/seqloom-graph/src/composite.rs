//! Operations with kernels of their own: softmax, the embedding gather.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::shape::Shape;
use crate::tensor::{Tensor, here};

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

    /// Rows of this table [V, C] named by `ids` [..] → [.., C]: an embedding. Its gradient sums, for each id, the rows
    /// that took it, in the order of their positions; for that `ids` must be an input, so that the host can sort them.
    /// An id of V or more is an error when the program is run.
    #[track_caller]
    #[must_use]
    pub fn gather_rows(self, ids: Self) -> Self {
        let at = here();
        let name = "gather_rows";
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32), (ids, DType::U32)], at) {
            return poisoned;
        }
        if self.rank() != 2 || ids.rank() + 1 > crate::ir::shape::MAX_RANK {
            return self.shape_error(
                name,
                &[ids],
                "needs a table [V, C] and ids of at most 3 dimensions",
                at,
            );
        }
        let mut dims = ids.shape().to_vec();
        let flat = ids.reshape(&[ids.shape().len()]);
        let rows = Shape::new(&[flat.dim(0), self.dim(1)]).unwrap_or_default();
        dims.push(self.dim(1));
        self.graph.push(Op::Gather, &[self, flat], rows, DType::F32, at).reshape(&dims)
    }
}
