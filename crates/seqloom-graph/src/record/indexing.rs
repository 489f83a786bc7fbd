//! Elements and classes named by indices: picks along an axis, and indices as rows of zeros with a one.
//!
//! The gradient of picks sums by sorted picks, which the host derives, and not by atomics, whose order would differ from run to run.

use crate::ir::error::Location;
use crate::ir::layout::DType;
use crate::ir::op::{Binary, Op};
use crate::ir::shape::{MAX_RANK, Shape};
use crate::record::tensor::{Tensor, here};

/// Numbers up to which every f32 is exact.
const EXACT: usize = 1 << 24;

impl<'g> Tensor<'g> {
    /// The elements that `index` names along `axis`, as PyTorch's `gather`: for axis 1 of three,
    /// y\[a, k, c\] = x[a, index\[a, k, c\], c].
    ///
    /// Shapes: `index` of u32 has the rank of x and along no other axis more elements than x; the result has its shape. An index
    /// beyond the axis is an error when the program is run. Each element's gradient is the sum over the picks that took it, in
    /// their order, which the host sorts; so the gradient is not available for indices that the device makes
    /// ([`Tensor::argmax`]).
    #[track_caller]
    #[must_use]
    pub fn gather(self, axis: isize, index: Self) -> Self {
        let (at, name) = (here(), "gather");
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32), (index, DType::U32)], at) {
            return poisoned;
        }
        let axis = match self.axis(name, axis, at) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        let to = index.shape();
        let others = || (0..self.rank()).filter(|&other| other != axis);
        if to.rank() != self.rank() || others().any(|other| to[other] > self.dim(other)) {
            let detail = format!("needs an index of its rank, no larger on axes other than {axis}");
            return self.shape_error(name, &[index], &detail, at);
        }
        if self.dim(axis) == 0 && to.elements() > 0 {
            return self.shape_error(name, &[index], "picks from an empty axis", at);
        }
        // Where the index is smaller, the rest of x is not seen.
        let seen = others()
            .filter(|&other| to[other] < self.dim(other))
            .fold(self, |x, other| x.window(other, 0, to[other], 0, x.shape().with(other, to[other]), at));
        let flat = |t: Self| {
            let shape = t.shape();
            let sides = [&shape[..axis], &shape[axis..=axis], &shape[axis + 1..]];
            let dims: Vec<usize> = sides.iter().map(|side| side.iter().product()).collect();
            t.unary_node(Op::Reshape, Shape::new(&dims).unwrap_or_default(), at)
        };
        let (x, picks) = (flat(seen), flat(index));
        let found = self.graph.push(Op::Pick, &[x, picks], picks.shape(), DType::F32, at);
        found.unary_node(Op::Reshape, to, at)
    }

    /// Rows of zeros with a 1 where these ids [..] say: [.., classes] of f32, as PyTorch's `one_hot`. An id of `classes` or more is
    /// an error when the program is run. No gradient.
    ///
    /// More than 2²⁴ classes poison the result, because ids are compared as f32.
    #[track_caller]
    #[must_use]
    pub fn one_hot(self, classes: usize) -> Self {
        let (at, name) = (here(), "one_hot");
        if let Some(poisoned) = self.refuse(name, &[(self, DType::U32)], at) {
            return poisoned;
        }
        if self.rank() == MAX_RANK {
            let detail = format!("ids of {MAX_RANK} dimensions leave none for the classes");
            return self.shape_error(name, &[], &detail, at);
        }
        if classes > EXACT {
            return self.argument_error(name, format!("{classes} classes are more than {EXACT}"), at);
        }
        let mut dims = self.shape().to_vec();
        dims.push(1);
        let column = self.below(classes, at).reshape(&dims);
        let all = self.graph.literal(&[classes], (0..classes).map(|class| class as f32).collect());
        column.binary(name, Binary::Equal, all)
    }

    /// As f32, of which the host checks that they are below `count`.
    fn below(self, count: usize, at: Location) -> Self {
        self.graph.push(Op::ToF32 { below: Some(count) }, &[self], self.shape(), DType::F32, at)
    }
}
