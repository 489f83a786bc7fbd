//! Concatenation as numbers: how each part goes through its operand, and the parts seen as rows side by side.
//!
//! A part is recorded as a whole tensor. Simplification makes it a view of another tensor where the kernel can read that in place
//! (`compile/simplify/concat.rs`). The kernel knows rows of two dimensions, whose elements are neighbours, so not every view is one:
//! its elements from the joined axis on must be one piece, and the axes before must merge into two, the same for all parts.

use std::sync::Arc;

use seqloom_kernels::concat::{Part, Problem};

use super::shape::Shape;
use super::steps::{AXES, Steps, Walk, together};

/// Tensors joined along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Joined {
    pub axis: usize,
    /// How each part goes through its operand.
    pub parts: Arc<[Steps]>,
}

impl Joined {
    /// Whole tensors of these shapes, of which only `axis` differs.
    pub(crate) fn whole(axis: usize, shapes: impl IntoIterator<Item = Shape>) -> Self {
        Self { axis, parts: shapes.into_iter().map(Steps::whole).collect() }
    }

    /// With another way through an operand in place of part `at`.
    pub(crate) fn with(&self, at: usize, steps: Steps) -> Self {
        let mut parts = self.parts.to_vec();
        parts[at] = steps;
        Self { axis: self.axis, parts: parts.into() }
    }

    /// Where part `at` begins along the axis.
    pub(crate) fn begin(&self, at: usize) -> usize {
        self.parts[..at].iter().map(|part| part.dims[self.axis]).sum()
    }

    /// The kernel's problem, if the parts can be read by rows.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let before =
            |part: &Steps| Some(Steps { dims: Shape::new(&part.dims[..self.axis])?, offset: 0, ..*part });
        let before = self.parts.iter().map(before).collect::<Option<Vec<_>>>()?;
        // Over the axes before the joined one, of which the kernel counts the last two.
        let Walk { dims: [1, 1, outer, inner], strides } = together(&before)? else { return None };
        if !self.parts.iter().all(|part| part.in_one_piece_from(self.axis)) {
            return None;
        }
        let part = |(part, [_, _, far, near]): (&Steps, [i32; AXES])| Part {
            width: part.dims[self.axis..].iter().product(),
            offset: part.offset,
            strides: [far, near],
        };
        let parts = self.parts.iter().zip(strides).map(part).collect();
        Some(Problem { rows: [outer as usize, inner as usize], parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::op::Op;
    use crate::ir::payload::Cut;
    use crate::ir::view::steps;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).unwrap()
    }

    fn sliced(from: &[usize], axis: usize, start: u32, to: &[usize]) -> Steps {
        steps(&Op::Slice(Cut::along(axis, start, 1)), shape(from), shape(to)).unwrap()
    }

    #[test]
    fn whole_tensors_are_rows_of_one_dimension() {
        let joined = |axis, shapes: &[&[usize]]| {
            Joined::whole(axis, shapes.iter().map(|dims| shape(dims))).problem().unwrap()
        };
        let last = joined(2, &[&[2, 3, 4], &[2, 3, 5]]);
        assert_eq!(last.rows, [1, 6]);
        let strides =
            |problem: &Problem| problem.parts.iter().map(|part| part.strides[1]).collect::<Vec<_>>();
        assert_eq!(strides(&last), [4, 5]);
        let first = joined(0, &[&[2, 3], &[1, 3]]);
        assert_eq!((first.rows, first.parts[0].width, first.parts[1].width), ([1, 1], 6, 3));
        // Axes of 1 need no dimension.
        assert_eq!(joined(3, &[&[1, 3, 1, 4], &[1, 3, 1, 2]]).rows, [1, 3]);
    }

    #[test]
    fn slices_before_the_axis_are_rows_of_two_dimensions() {
        // Windows of [2, 9, 4] beside each other, as a convolution takes them.
        let parts = [0, 1, 2].map(|start| sliced(&[2, 9, 4], 1, start, &[2, 7, 4]));
        let joined = Joined { axis: 2, parts: parts.into() };
        let problem = joined.problem().unwrap();
        assert_eq!(problem.rows, [2, 7]);
        let second = Part { width: 4, offset: 4, strides: [36, 4] };
        assert_eq!(problem.parts[1], second);
        assert_eq!(joined.begin(2), 8);
    }

    #[test]
    fn views_without_rows_are_refused() {
        // The axes before the last step in three ways.
        let three = sliced(&[5, 4, 3, 2], 1, 1, &[5, 2, 3, 2]);
        assert!(Joined { axis: 3, parts: [three].into() }.problem().is_some());
        let other = sliced(&[5, 2, 9, 2], 2, 1, &[5, 2, 3, 2]);
        assert!(Joined { axis: 3, parts: [three, other].into() }.problem().is_none());
        // Elements from the axis on are no piece.
        let columns = sliced(&[4, 9], 1, 2, &[4, 3]);
        assert!(Joined { axis: 0, parts: [columns].into() }.problem().is_none());
        assert!(Joined { axis: 1, parts: [columns].into() }.problem().is_some());
    }
}
