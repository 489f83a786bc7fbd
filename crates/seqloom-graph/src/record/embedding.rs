//! The embedding: rows of a table by their numbers. The gradient sums over sorted positions, which the host derives.
//! Atomics would add in an order that differs from run to run.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::payload::Derivation;
use crate::ir::shape::{MAX_RANK, Shape};
use crate::record::tensor::{Tensor, here};

impl<'g> Tensor<'g> {
    /// Rows of this table [V, C] named by `ids` [..] → [.., C]: an embedding. Its gradient sums, for each id, the rows
    /// that took it, in the order of their positions, which the host sorts. A table of ids gives rows of ids. An id of V or
    /// more is an error when the program is run.
    #[track_caller]
    #[must_use]
    pub fn gather_rows(self, ids: Self) -> Self {
        let at = here();
        let name = "gather_rows";
        if let Some(poisoned) = self.refuse(name, &[(self, self.dtype()), (ids, DType::U32)], at) {
            return poisoned;
        }
        if self.rank() != 2 || ids.rank() + 1 > MAX_RANK {
            let detail = format!("needs a table [V, C] and ids of fewer than {MAX_RANK} dimensions");
            return self.shape_error(name, &[ids], &detail, at);
        }
        let mut dims = ids.shape().to_vec();
        let flat = ids.reshape(&[ids.shape().elements()]);
        let rows = Shape::new(&[flat.dim(0), self.dim(1)]).unwrap_or_default();
        dims.push(self.dim(1));
        if self.dtype() == DType::U32 {
            let what = Derivation::Pick { channels: self.dim(1) };
            return self.derived(what, &[self, flat], rows, at).reshape(&dims);
        }
        self.graph.push(Op::Gather, &[self, flat], rows, DType::F32, at).reshape(&dims)
    }
}
