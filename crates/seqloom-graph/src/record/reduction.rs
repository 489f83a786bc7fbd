//! Reductions: operations that combine the elements of one or several axes; and running sums along one.
//!
//! A reduction over several axes is recorded as reductions over one: axes that are neighbours are one axis under another shape,
//! and the others follow each other from the last. Only the greatest and the least elements need all their axes side by side
//! first, because equal elements share the gradient and must be counted together.

use crate::ir::error::{Location, Result};
use crate::ir::layout::DType;
use crate::ir::op::{Op, ReduceOp, Unary};
use crate::ir::shape::Shape;
use crate::record::tensor::{Tensor, here};

/// Why nothing has no mean and no greatest element.
const EMPTY: &str = "the reduced axis is empty";

/// The axes that a reduction combines: one number, an array of them, or [`Axes::all`]; negative ones count from the back. They
/// disappear, unless they are [`Axes::kept`].
///
/// ```
/// # use seqloom_graph::{Axes, DType, Graph, Params};
/// # let params = Params::seeded(1);
/// # let g = Graph::inference(&params);
/// let x = g.input("x", &[2, 3, 4], DType::F32);
/// assert_eq!(x.sum(-1).shape()[..], [2, 3]);
/// assert_eq!(x.sum([0, 2]).shape()[..], [3]);
/// assert_eq!(x.sum(Axes::kept([0, 2])).shape()[..], [1, 3, 1]);
/// assert_eq!(x.sum(Axes::all()).rank(), 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    /// `None` for all.
    of: Option<Vec<isize>>,
    kept: bool,
}

impl Axes {
    /// Every axis.
    #[must_use]
    pub fn all() -> Self {
        Self { of: None, kept: false }
    }

    /// These axes, which stay in the result with size 1 (PyTorch's `keepdim`), so that it broadcasts against the operand.
    #[must_use]
    pub fn kept(axes: impl Into<Self>) -> Self {
        Self { kept: true, ..axes.into() }
    }
}

impl From<isize> for Axes {
    fn from(axis: isize) -> Self {
        Self { of: Some(vec![axis]), kept: false }
    }
}

impl<const N: usize> From<[isize; N]> for Axes {
    fn from(axes: [isize; N]) -> Self {
        Self { of: Some(axes.to_vec()), kept: false }
    }
}

impl From<&[isize]> for Axes {
    fn from(axes: &[isize]) -> Self {
        Self { of: Some(axes.to_vec()), kept: false }
    }
}

/// Axes of a certain tensor.
struct Reduced {
    /// In order, each once.
    axes: Vec<usize>,
    /// Elements that become one.
    count: usize,
    /// The result's shape.
    shape: Shape,
}

impl<'g> Tensor<'g> {
    /// Sum over `axes`; over an empty axis it is 0.
    #[track_caller]
    #[must_use]
    pub fn sum(self, axes: impl Into<Axes>) -> Self {
        let at = here();
        match self.reduced("sum", axes.into(), at) {
            Ok(to) => self.reduce(ReduceOp::Sum, &to, at),
            Err(poisoned) => poisoned,
        }
    }

    /// Mean over `axes`, of which none may be empty.
    #[track_caller]
    #[must_use]
    pub fn mean(self, axes: impl Into<Axes>) -> Self {
        let at = here();
        match self.reduced("mean", axes.into(), at) {
            Ok(to) if to.count == 0 => self.shape_error("mean", &[], EMPTY, at),
            Ok(to) => self.reduce(ReduceOp::Sum, &to, at) / self.graph.count(to.count, at),
            Err(poisoned) => poisoned,
        }
    }

    /// Greatest element over `axes`, of which none may be empty; equal greatest elements share the gradient.
    #[track_caller]
    #[must_use]
    pub fn max(self, axes: impl Into<Axes>) -> Self {
        self.extreme("max", ReduceOp::Max, axes.into(), here())
    }

    /// Least element over `axes`, of which none may be empty; equal least elements share the gradient.
    #[track_caller]
    #[must_use]
    pub fn min(self, axes: impl Into<Axes>) -> Self {
        self.extreme("min", ReduceOp::Min, axes.into(), here())
    }

    /// Product over `axes`; over an empty axis it is 1. The gradient of each element is the product of the others, also where
    /// some are 0.
    #[track_caller]
    #[must_use]
    pub fn prod(self, axes: impl Into<Axes>) -> Self {
        let at = here();
        match self.reduced("prod", axes.into(), at) {
            // A sum of nothing keeps the result a function of the operand.
            Ok(to) if to.count == 0 => self.reduce(ReduceOp::Sum, &to, at) + 1.0,
            Ok(to) => self.reduce(ReduceOp::Prod, &to, at),
            Err(poisoned) => poisoned,
        }
    }

    /// ln Σ eˣ over `axes`, taken as m + ln Σ eˣ⁻ᵐ with the greatest element m, so that no size of x overflows. Of elements that
    /// are all −∞, and over an empty axis, it is −∞. The gradient is softmax(x), and 0 where all are −∞.
    #[track_caller]
    #[must_use]
    pub fn logsumexp(self, axes: impl Into<Axes>) -> Self {
        let at = here();
        let to = match self.reduced("logsumexp", axes.into(), at) {
            Ok(to) if to.count == 0 => return self.exp().reduce(ReduceOp::Sum, &to, at).ln(),
            Ok(to) => to,
            Err(poisoned) => return poisoned,
        };
        // Finite, so that nothing below is ∞ − ∞.
        let most = self.graph.constant(f32::MAX, at);
        let still = self.unary_node(Op::Unary(Unary::Detach), self.shape(), at);
        let greatest = still.reduce(ReduceOp::Max, &to, at).minimum(most).maximum(-most);
        let column = to.axes.iter().fold(self.shape(), |shape, &axis| shape.with(axis, 1));
        let shifted = self - greatest.unary_node(Op::Reshape, column, at).stretched(self.shape(), at);
        let total = shifted.exp().reduce(ReduceOp::Sum, &to, at);
        // 1 where all are −∞: the logarithm is then taken of 1, which has a gradient, and of 1 − 1 apart.
        let nothing = total.equal(self.graph.constant(0.0, at));
        (total + nothing).ln() + (1.0 - nothing).ln() + greatest
    }

    /// Index of the greatest element along `axes`, which are one axis or [`Axes::all`] (then the index is that of the row-major
    /// order) and not empty: u32. Of equal elements it is the first, and the first NaN if there is one. No gradient.
    ///
    /// Indices are made on the device. [`Tensor::to_f32`], `one_hot`, `gather`, `gather_rows` and targets of a loss take them, with
    /// at least as many classes or rows as the axis has elements; what the host derives of ids (views other than a reshape, the
    /// gradient of what was gathered by them) is refused when the program is compiled.
    #[track_caller]
    #[must_use]
    pub fn argmax(self, axes: impl Into<Axes>) -> Self {
        self.arg("argmax", false, axes.into(), here())
    }

    /// Index of the least element: otherwise as [`Tensor::argmax`].
    #[track_caller]
    #[must_use]
    pub fn argmin(self, axes: impl Into<Axes>) -> Self {
        self.arg("argmin", true, axes.into(), here())
    }

    /// Running sums along `axis`: y_t = Σ x_s over s ≤ t, of the operand's shape.
    #[track_caller]
    #[must_use]
    pub fn cumsum(self, axis: isize) -> Self {
        let at = here();
        if let Some(poisoned) = self.refuse("cumsum", &[(self, DType::F32)], at) {
            return poisoned;
        }
        match self.axis("cumsum", axis, at) {
            Ok(axis) => self.unary_node(Op::Scan { axis, reverse: false }, self.shape(), at),
            Err(poisoned) => poisoned,
        }
    }

    /// Sum of all elements, a scalar; 0 of none.
    #[track_caller]
    #[must_use]
    pub fn sum_all(self) -> Self {
        self.sum(Axes::all())
    }

    /// Mean of all elements, a scalar. There must be one.
    #[track_caller]
    #[must_use]
    pub fn mean_all(self) -> Self {
        self.mean(Axes::all())
    }

    fn extreme(self, name: &'static str, op: ReduceOp, axes: Axes, at: Location) -> Self {
        match self.reduced(name, axes, at) {
            Ok(to) if to.count == 0 => self.shape_error(name, &[], EMPTY, at),
            Ok(to) => {
                let (moved, axes) = self.side_by_side(&to.axes, at);
                moved.reduce(op, &Reduced { axes, ..to }, at)
            }
            Err(poisoned) => poisoned,
        }
    }

    /// This tensor with these axes next to each other, and where they are then: at the end, if they were apart.
    fn side_by_side(self, axes: &[usize], at: Location) -> (Self, Vec<usize>) {
        if axes.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            return (self, axes.to_vec());
        }
        let rank = self.rank();
        let others = (0..rank).filter(|axis| !axes.contains(axis));
        let wanted: Vec<usize> = others.chain(axes.iter().copied()).collect();
        (self.permuted(&wanted, at), (rank - axes.len()..rank).collect())
    }

    fn arg(self, name: &'static str, least: bool, axes: Axes, at: Location) -> Self {
        let to = match self.reduced(name, axes, at) {
            Ok(to) => to,
            Err(poisoned) => return poisoned,
        };
        if to.count == 0 {
            return self.shape_error(name, &[], EMPTY, at);
        }
        let (first, all) = (to.axes.first().copied().unwrap_or(0), to.axes.len() == self.rank());
        if to.axes.len() != 1 && !all {
            return self.shape_error(name, &[], "takes one axis or all of them", at);
        }
        let merged = self.merged(first, to.axes.len(), at);
        let op = Op::Arg { least, axis: first };
        let found = self.graph.push(op, &[merged], merged.shape().without(first), DType::U32, at);
        if to.shape == found.shape() { found } else { found.unary_node(Op::Reshape, to.shape, at) }
    }

    /// The axes counted from the front, and what is left without them.
    fn reduced(self, name: &'static str, axes: Axes, at: Location) -> Result<Reduced, Self> {
        if let Some(poisoned) = self.refuse(name, &[(self, DType::F32)], at) {
            return Err(poisoned);
        }
        let mut found = match &axes.of {
            None => (0..self.rank()).collect(),
            Some(axes) => {
                axes.iter().map(|&axis| self.axis(name, axis, at)).collect::<Result<Vec<_>, _>>()?
            }
        };
        found.sort_unstable();
        if found.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(self.shape_error(name, &[], "an axis is named twice", at));
        }
        let has = self.shape();
        let left = |size: Option<usize>| -> Vec<usize> {
            let of = |axis: usize| if found.contains(&axis) { size } else { Some(has[axis]) };
            (0..has.rank()).filter_map(of).collect()
        };
        // An empty axis may hide that the others are too many.
        match (self.graph.shape(name, &left(None), at), Shape::new(&left(Some(1)))) {
            (Some(without), Some(kept)) => Ok(Reduced {
                count: found.iter().map(|&axis| has[axis]).product(),
                axes: found,
                shape: if axes.kept { kept } else { without },
            }),
            _ => Err(self.shape_error(name, &[], "too many elements", at)),
        }
    }

    /// Combines the axes, the last ones first.
    fn reduce(self, op: ReduceOp, to: &Reduced, at: Location) -> Self {
        let mut left = self;
        let mut axes = &to.axes[..];
        while let Some(&last) = axes.last() {
            let neighbours = axes.iter().rev().enumerate().take_while(|(i, axis)| **axis + i == last).count();
            axes = &axes[..axes.len() - neighbours];
            let first = last + 1 - neighbours;
            left = left.merged(first, neighbours, at).reduce_axis(op, first, at);
        }
        if left.shape() == to.shape { left } else { left.unary_node(Op::Reshape, to.shape, at) }
    }

    /// `count` axes from `first` on as one; of none, one more of size 1.
    fn merged(self, first: usize, count: usize, at: Location) -> Self {
        if count == 1 {
            return self;
        }
        let shape = self.shape();
        let mut dims = shape[..first].to_vec();
        dims.push(shape[first..first + count].iter().product());
        dims.extend(&shape[first + count..]);
        self.unary_node(Op::Reshape, Shape::new(&dims).unwrap_or_default(), at)
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
