//! Matrix products.

use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::record::tensor::{Tensor, here};

impl<'g> Tensor<'g> {
    /// Matrix product over the last two dimensions: [.., M, K] · [.., K, N] → [.., M, N]; 0 where K is. A right operand of two
    /// dimensions serves every matrix of the left one; otherwise the leading dimensions must agree.
    #[track_caller]
    #[must_use]
    pub fn matmul(self, rhs: Self) -> Self {
        self.product("matmul", rhs, false, false)
    }

    /// x·rhsᵀ: [.., M, K] and [.., N, K] → [.., M, N], as a linear layer with a PyTorch weight takes it.
    #[track_caller]
    #[must_use]
    pub fn matmul_t(self, rhs: Self) -> Self {
        self.product("matmul_t", rhs, false, true)
    }

    /// xᵀ·rhs: [.., K, M] and [.., K, N] → [.., M, N].
    #[track_caller]
    #[must_use]
    pub fn t_matmul(self, rhs: Self) -> Self {
        self.product("t_matmul", rhs, true, false)
    }

    #[track_caller]
    pub(crate) fn product(self, name: &'static str, rhs: Self, trans_a: bool, trans_b: bool) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32), (rhs, DType::F32)], at) {
            return poisoned;
        }
        let (a, b) = (self.shape(), rhs.shape());
        let (rank_a, rank_b) = (self.rank(), rhs.rank());
        if rank_a < 2 || rank_b < 2 {
            return self.shape_error(name, &[rhs], "both operands need two dimensions or more", at);
        }
        // One matrix on the right: all rows of the left are one tall matrix, so a batch costs no batch.
        if rank_b == 2 && rank_a > 2 && !trans_a {
            let tall = match self.rows(name, at) {
                Ok(tall) => tall.product(name, rhs, trans_a, trans_b),
                Err(poisoned) => return poisoned,
            };
            if tall.is_poisoned() {
                return tall;
            }
            return tall.unary_node(Op::Reshape, a.with(rank_a - 1, tall.dim(1)), at);
        }
        let (m, k) = if trans_a { (a[rank_a - 1], a[rank_a - 2]) } else { (a[rank_a - 2], a[rank_a - 1]) };
        let (k_b, n) = if trans_b { (b[rank_b - 1], b[rank_b - 2]) } else { (b[rank_b - 2], b[rank_b - 1]) };
        if rank_a != rank_b || a[..rank_a - 2] != b[..rank_b - 2] || k != k_b {
            let detail = format!("inner dimensions {k} and {k_b} and the leading ones must agree");
            return self.shape_error(name, &[rhs], &detail, at);
        }
        let dims = a.with(rank_a - 2, m).with(rank_a - 1, n);
        let Some(shape) = self.graph.shape(name, &dims, at) else {
            return self.shape_error(name, &[rhs], "too many elements", at);
        };
        self.graph.push(Op::MatMul { trans_a, trans_b }, &[self, rhs], shape, DType::F32, at)
    }
}
