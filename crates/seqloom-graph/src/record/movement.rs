//! Methods that move elements without computing: reshape, transpose, slice, pad, concat, broadcast.

use crate::ir::error::{Location, Result};
use crate::ir::layout::DType;
use crate::ir::op::{Op, Unary};
use crate::ir::shape::Shape;
use crate::record::tensor::{Tensor, here};

impl<'g> Tensor<'g> {
    /// The same elements in row-major order under another shape of the same number of elements.
    #[track_caller]
    #[must_use]
    pub fn reshape(self, shape: &[usize]) -> Self {
        let at = here();
        if self.is_poisoned() {
            return self;
        }
        match Shape::new(shape) {
            Some(to) if to.len() == self.shape().len() => self.unary_node(Op::Reshape, to, at),
            _ => self.shape_error("reshape", &[], &format!("{shape:?} does not hold the same elements"), at),
        }
    }

    /// Exchanges axes `a` and `b`; negative ones count from the back.
    #[track_caller]
    #[must_use]
    pub fn transpose(self, a: isize, b: isize) -> Self {
        let at = here();
        let (a, b) = match (self.axis("transpose", a, at), self.axis("transpose", b, at)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(poisoned), _) | (_, Err(poisoned)) => return poisoned,
        };
        let mut order = [0, 1, 2, 3];
        order.swap(a, b);
        let from = self.shape();
        let to = from.with(a, from[b]).with(b, from[a]);
        self.unary_node(Op::Permute(order), to, at)
    }

    /// The `len` indices of `axis` from `start`.
    #[track_caller]
    #[must_use]
    pub fn slice(self, axis: isize, start: usize, len: usize) -> Self {
        let at = here();
        let axis = match self.axis("slice", axis, at) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        let has = self.dim(axis);
        if start.checked_add(len).is_none_or(|end| end > has) {
            let detail = format!("axis {axis} has {has} indices, not {start}..{start}+{len}");
            return self.shape_error("slice", &[], &detail, at);
        }
        self.window(axis, start, len, 0, self.shape().with(axis, len), at)
    }

    /// Adds `before` zeros in front of `axis` and `after` behind it.
    #[track_caller]
    #[must_use]
    pub fn pad(self, axis: isize, before: usize, after: usize) -> Self {
        let at = here();
        let axis = match self.axis("pad", axis, at) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        if let Some(poisoned) = self.refuse("pad", &[(self, DType::F32)], at) {
            return poisoned;
        }
        let size = self.dim(axis).saturating_add(before).saturating_add(after);
        let mut dims = self.shape().to_vec();
        dims[axis] = size;
        match self.graph.shape("pad", &dims, at) {
            Some(shape) => self.window(axis, 0, self.dim(axis), before, shape, at),
            None => self.shape_error("pad", &[], "too many elements", at),
        }
    }

    /// Joins tensors along `axis`; all other dimensions must agree. The first is an argument of its own because there is
    /// no graph to record the joining of none.
    #[track_caller]
    #[must_use]
    pub fn concat(first: Self, rest: &[Self], axis: isize) -> Self {
        let at = here();
        let index = match first.axis("concat", axis, at) {
            Ok(index) => index,
            Err(poisoned) => return poisoned,
        };
        let operands: Vec<_> =
            std::iter::once(first).chain(rest.iter().copied()).map(|t| (t, DType::F32)).collect();
        if let Some(poisoned) = first.refuse("concat", &operands, at) {
            return poisoned;
        }
        let outer = first.shape();
        if rest.iter().any(|t| t.rank() != first.rank() || t.shape().with(index, outer[index]) != outer) {
            return first.shape_error("concat", rest, "only the joined axis may differ", at);
        }
        // Zero padding and addition serve: the gradient of each part is then a slice, by the rules of those two.
        let total: usize = outer[index] + rest.iter().map(|t| t.dim(index)).sum::<usize>();
        let mut before = 0;
        let mut joined: Option<Self> = None;
        for part in std::iter::once(first).chain(rest.iter().copied()) {
            let padded = part.pad(axis, before, total - before - part.dim(index));
            before += part.dim(index);
            joined = Some(joined.map_or(padded, |sum| sum + padded));
        }
        joined.unwrap_or(first)
    }

    /// Stretches to `shape` under NumPy's rule: dimensions align at the right, those of size 1 repeat.
    #[track_caller]
    #[must_use]
    pub fn broadcast_to(self, shape: &[usize]) -> Self {
        let at = here();
        if self.is_poisoned() {
            return self;
        }
        match Shape::new(shape) {
            Some(to) if self.shape().broadcast(&to) == Some(to) => self.stretched(to, at),
            _ => self.shape_error("broadcast_to", &[], &format!("does not stretch to {shape:?}"), at),
        }
    }

    /// The same values, through which no gradient flows.
    #[track_caller]
    #[must_use]
    pub fn detach(self) -> Self {
        self.unary("detach", Unary::Detach)
    }

    /// `take` indices of `axis` from `start`, at `before` of a tensor of `shape`.
    pub(crate) fn window(
        self,
        axis: usize,
        start: usize,
        take: usize,
        before: usize,
        shape: Shape,
        at: Location,
    ) -> Self {
        self.unary_node(Op::Window { axis, start, take, before }, shape, at)
    }

    /// Stretched to a shape it is known to broadcast to; itself where it has that shape.
    pub(crate) fn stretched(self, shape: Shape, at: Location) -> Self {
        if self.shape() == shape { self } else { self.unary_node(Op::Broadcast, shape, at) }
    }

    /// Two-dimensional: all axes but the last as rows.
    pub(crate) fn rows(self, op: &'static str, at: Location) -> Result<Self, Self> {
        let shape = self.shape();
        match shape.last() {
            Some(&columns) if columns > 0 => {
                let to = Shape::new(&[shape.len() / columns, columns]).unwrap_or_default();
                Ok(if shape == to { self } else { self.unary_node(Op::Reshape, to, at) })
            }
            _ => Err(self.shape_error(op, &[], "needs a last axis that is not empty", at)),
        }
    }
}
