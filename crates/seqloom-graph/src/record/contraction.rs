//! Matrix products and reductions: the operations that combine elements of different indices.

use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::{Op, ReduceOp};
use crate::ir::shape::Shape;
use crate::record::tensor::{Tensor, here};

/// Why nothing has no mean and no greatest element.
const EMPTY: &str = "the reduced axis is empty";

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

    /// Sum over `axis`, which disappears; negative axes count from the back. Over an empty axis it is 0.
    #[track_caller]
    #[must_use]
    pub fn sum(self, axis: isize) -> Self {
        self.reduce("sum", ReduceOp::Sum, axis)
    }

    /// Mean over `axis`, which disappears and must not be empty.
    #[track_caller]
    #[must_use]
    pub fn mean(self, axis: isize) -> Self {
        let at = here();
        match self.axis("mean", axis, at) {
            Ok(index) if self.dim(index) == 0 => self.shape_error("mean", &[], EMPTY, at),
            Ok(index) => self.reduce("mean", ReduceOp::Sum, axis) / self.graph.count(self.dim(index), at),
            Err(poisoned) => poisoned,
        }
    }

    /// Greatest element along `axis`, which disappears and must not be empty; equal greatest elements share the gradient.
    #[track_caller]
    #[must_use]
    pub fn max(self, axis: isize) -> Self {
        self.reduce("max", ReduceOp::Max, axis)
    }

    /// Sum of all elements, a scalar; 0 of none.
    #[track_caller]
    #[must_use]
    pub fn sum_all(self) -> Self {
        let len = self.shape().elements();
        self.reshape(&[len]).sum(0)
    }

    /// Mean of all elements, a scalar. There must be one.
    #[track_caller]
    #[must_use]
    pub fn mean_all(self) -> Self {
        if self.shape().elements() == 0 {
            return self.shape_error("mean", &[], EMPTY, here());
        }
        self.sum_all() / self.graph.count(self.shape().elements(), here())
    }

    #[track_caller]
    fn reduce(self, name: &'static str, op: ReduceOp, axis: isize) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32)], at) {
            return poisoned;
        }
        match self.axis(name, axis, at) {
            Ok(index) if self.dim(index) == 0 && op == ReduceOp::Max => {
                self.shape_error(name, &[], EMPTY, at)
            }
            Ok(index) if self.graph.shape(name, &self.shape().without(index), at).is_none() => {
                self.shape_error(name, &[], "too many elements", at)
            }
            Ok(index) => self.reduce_axis(op, index, at),
            Err(poisoned) => poisoned,
        }
    }

    pub(crate) fn reduce_axis(self, op: ReduceOp, axis: usize, at: Location) -> Self {
        self.unary_node(Op::Reduce { op, axis }, self.shape().without(axis), at)
    }

    /// Summed down to `shape`, which broadcasts to this tensor's shape: the gradient of stretching.
    pub(crate) fn summed_to(self, shape: Shape, at: Location) -> Self {
        let mut sum = self;
        while sum.shape().rank() > shape.rank() {
            sum = sum.reduce_axis(ReduceOp::Sum, 0, at);
        }
        for axis in 0..shape.rank() {
            if shape[axis] == 1 && sum.dim(axis) != 1 {
                let kept = sum.shape().with(axis, 1);
                sum = sum.reduce_axis(ReduceOp::Sum, axis, at).unary_node(Op::Reshape, kept, at);
            }
        }
        sum
    }
}
