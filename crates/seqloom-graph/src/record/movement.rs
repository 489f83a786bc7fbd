//! Methods that move elements without computing: reshape, transpose, slice, pad, concat, broadcast. They take every element
//! type: views of floats are operations of the device, which fusion makes strided reads; views of ids and lengths are made
//! on the host, where those come from ([`crate::ir::view`]).

use crate::ir::error::{Location, Result};
use crate::ir::layout::DType;
use crate::ir::op::{Op, Unary};
use crate::ir::payload::Derivation;
use crate::ir::shape::Shape;
use crate::ir::view::view;
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
            Some(to) if to.elements() == self.shape().elements() => self.unary_node(Op::Reshape, to, at),
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
        self.exchanged(a, b, at)
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

    /// Adds `before` zeros in front of `axis` and `after` behind it; to ids, the id 0.
    #[track_caller]
    #[must_use]
    pub fn pad(self, axis: isize, before: usize, after: usize) -> Self {
        let at = here();
        let axis = match self.axis("pad", axis, at) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        let size = self.dim(axis).saturating_add(before).saturating_add(after);
        let mut dims = self.shape().to_vec();
        dims[axis] = size;
        match self.graph.shape("pad", &dims, at) {
            Some(shape) => self.window(axis, 0, self.dim(axis), before, shape, at),
            None => self.shape_error("pad", &[], "too many elements", at),
        }
    }

    /// Joins tensors of one element type along `axis`; all other dimensions must agree. The first is an argument of its own because there is
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
            std::iter::once(first).chain(rest.iter().copied()).map(|t| (t, first.dtype())).collect();
        if let Some(poisoned) = first.refuse("concat", &operands, at) {
            return poisoned;
        }
        let outer = first.shape();
        if rest.iter().any(|t| t.rank() != first.rank() || t.shape().with(index, outer[index]) != outer) {
            return first.shape_error("concat", rest, "only the joined axis may differ", at);
        }
        let total = rest.iter().map(|t| t.dim(index)).fold(outer[index], usize::saturating_add);
        let Some(shape) = first.graph.shape("concat", &outer.with(index, total), at) else {
            return first.shape_error("concat", rest, "too many elements", at);
        };
        if first.dtype() == DType::U32 {
            let parts: Vec<_> = operands.iter().map(|(part, _)| *part).collect();
            return first.derived(
                Derivation::Join { outer: outer[..index].iter().product() },
                &parts,
                shape,
                at,
            );
        }
        // Zero padding and addition serve: the gradient of each part is then a slice, by the rules of those two.
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
        match self.graph.shape("broadcast_to", shape, at) {
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

    /// Two axes exchanged.
    pub(crate) fn exchanged(self, a: usize, b: usize, at: Location) -> Self {
        let mut order = [0, 1, 2, 3];
        order.swap(a, b);
        let from = self.shape();
        let to = from.with(a, from[b]).with(b, from[a]);
        self.moved(Op::Permute(order), to, at)
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
        self.moved(Op::Window { axis, start, take, before }, shape, at)
    }

    /// Stretched to a shape it is known to broadcast to; itself where it has that shape.
    pub(crate) fn stretched(self, shape: Shape, at: Location) -> Self {
        if self.shape() == shape { self } else { self.moved(Op::Broadcast, shape, at) }
    }

    /// A view: of floats an operation of the device, of ids one that the host computes.
    fn moved(self, op: Op, shape: Shape, at: Location) -> Self {
        match view(&op, self.shape(), shape) {
            Some(view) if self.dtype() == DType::U32 => {
                self.derived(Derivation::View(view), &[self], shape, at)
            }
            _ => self.unary_node(op, shape, at),
        }
    }

    /// What the host derives of these ids.
    pub(crate) fn derived(self, what: Derivation, sources: &[Self], shape: Shape, at: Location) -> Self {
        self.graph.push_outputs(Op::Host(what), sources, &[(shape, DType::U32)], at)[0]
    }

    /// Two-dimensional: all axes but the last as rows.
    pub(crate) fn rows(self, op: &'static str, at: Location) -> Result<Self, Self> {
        let shape = self.shape();
        match shape.split_last() {
            Some((&columns, outer)) => {
                let to = Shape::new(&[outer.iter().product(), columns]).unwrap_or_default();
                Ok(if shape == to { self } else { self.unary_node(Op::Reshape, to, at) })
            }
            None => Err(self.shape_error(op, &[], "needs a last axis", at)),
        }
    }
}
