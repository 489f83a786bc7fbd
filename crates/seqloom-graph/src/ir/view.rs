//! Views as numbers: which element of its operand each element of a moved tensor is.
//!
//! One description serves everything that moves without computing. The copy kernel uses it if a view of floats must be
//! in memory, fused code uses its strides, and the host uses it for views of ids and lengths. Those come from the host
//! ([`super::payload::Derivation`]), so their views are made there too. Then everything derived from a view (lengths,
//! positions sorted by id, limits) knows the elements, and no kernel needs a form for each element type.

use seqloom_kernels::view::Problem;

use super::op::Op;
use super::shape::{MAX_RANK, Shape};

/// How a moved tensor goes through its operand, axis by axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Dimensions of the moved tensor.
    pub dims: Shape,
    /// Elements of the operand from one index of an axis to the next: 0 repeats, a negative number goes back.
    pub strides: [i32; MAX_RANK],
    /// Element of the operand that stands first.
    pub offset: u32,
}

impl Steps {
    /// Through an operand of shape `from`, of the operations that read all their elements from it: stretching, reordering axes,
    /// slices and windows.
    pub(crate) fn of(op: &Op, from: Shape, to: Shape) -> Option<Self> {
        let own = from.strides().map(|stride| i32::try_from(stride).unwrap_or(i32::MAX));
        let mut steps = Self { dims: to, strides: [0; MAX_RANK], offset: 0 };
        match *op {
            Op::Broadcast => {
                let lead = to.rank() - from.rank();
                for axis in 0..from.rank() {
                    steps.strides[lead + axis] = if from[axis] == 1 { 0 } else { own[axis] };
                }
            }
            Op::Permute(order) => {
                for axis in 0..to.rank() {
                    steps.strides[axis] = own[usize::from(order[axis])];
                }
            }
            Op::Windows { axis, step, dilation } => {
                let times = |count: usize| own[axis].saturating_mul(i32::try_from(count).unwrap_or(i32::MAX));
                steps.strides = own;
                (steps.strides[axis], steps.strides[from.rank()]) = (times(step), times(dilation));
            }
            Op::Skew { axis, by } => {
                let last = from.rank() - 1;
                let by = own[axis].saturating_mul(i32::try_from(by).unwrap_or(i32::MAX));
                steps.strides = own;
                steps.strides[last] = own[last].saturating_sub(by);
                let first = by.unsigned_abs() as usize * from[last].saturating_sub(1);
                steps.offset = u32::try_from(first).unwrap_or(u32::MAX);
            }
            Op::Slice(cut) => {
                let mut first = 0usize;
                for axis in 0..to.rank() {
                    steps.strides[axis] = own[axis].saturating_mul(cut.steps[axis]);
                    first = first.saturating_add(cut.starts[axis] as usize * from.strides()[axis]);
                }
                steps.offset = u32::try_from(first).unwrap_or(u32::MAX);
            }
            _ => return None,
        }
        Some(steps)
    }

    /// Whether the elements are neighbours in the operand, in their order.
    pub(crate) fn in_one_piece(&self) -> bool {
        let mut next = 1;
        let mut axes = self.dims.iter().zip(self.strides).rev().filter(|(dim, _)| **dim != 1);
        axes.all(|(&dim, stride)| {
            let fits = i64::from(stride) == next;
            next *= dim as i64;
            fits
        })
    }
}

/// The view of a tensor of shape `from` that the operation makes into one of shape `to`, if it is one that only moves.
pub(crate) fn view(op: &Op, from: Shape, to: Shape) -> Option<Problem> {
    let dims = to.padded();
    match *op {
        Op::Window { axis, start, take, before, fill } => {
            let lead = MAX_RANK - to.rank();
            let mut lo = [0; MAX_RANK];
            lo[lead + axis] = u32::try_from(before).unwrap_or(u32::MAX);
            let strides = from.strides().map(|stride| i32::try_from(stride).unwrap_or(i32::MAX));
            let offset = u32::try_from(start * from.strides()[axis]).unwrap_or(u32::MAX);
            let extent = to.with(axis, take).padded();
            Some(Problem { dims, strides: to.at_the_back(strides), lo, extent, offset, fill })
        }
        _ => {
            let Steps { strides, offset, .. } = Steps::of(op, from, to)?;
            Some(Problem {
                dims,
                strides: to.at_the_back(strides),
                lo: [0; 4],
                extent: dims,
                offset,
                fill: 0,
            })
        }
    }
}

/// The elements of a view, in row-major order.
pub(crate) fn elements(view: &Problem, x: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(view.dims.iter().map(|&dim| dim as usize).product());
    // Where an index of an axis leads in the operand; nowhere, outside of the window.
    let along = |axis: usize, index: u32| {
        let at = index.checked_sub(view.lo[axis]).filter(|&at| at < view.extent[axis])?;
        Some(i64::from(at) * i64::from(view.strides[axis]))
    };
    for i in 0..view.dims[0] {
        for j in 0..view.dims[1] {
            for k in 0..view.dims[2] {
                let row = [along(0, i), along(1, j), along(2, k)].into_iter().sum::<Option<i64>>();
                out.extend((0..view.dims[3]).map(|l| {
                    let at = row.zip(along(3, l)).map(|(row, last)| i64::from(view.offset) + row + last);
                    let element = |at: i64| usize::try_from(at).ok().and_then(|at| x.get(at)).copied();
                    at.map_or(view.fill, |at| element(at).unwrap_or(view.fill))
                }));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::payload::Cut;

    fn taken(op: &Op, from: &[usize], to: &[usize]) -> Vec<u32> {
        let [from, to] = [from, to].map(|dims| Shape::new(dims).unwrap());
        let x: Vec<u32> = (1..=from.elements() as u32).collect();
        elements(&view(op, from, to).unwrap(), &x)
    }

    #[test]
    fn views_take_the_elements_that_they_name() {
        assert_eq!(taken(&Op::Permute([1, 0, 2, 3]), &[2, 3], &[3, 2]), [1, 4, 2, 5, 3, 6]);
        assert_eq!(taken(&Op::Broadcast, &[2, 1], &[2, 2, 3]), [1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]);
        let window = |start, take, before| Op::Window { axis: 1, start, take, before, fill: 9 };
        assert_eq!(taken(&window(1, 2, 0), &[2, 3], &[2, 2]), [2, 3, 5, 6]);
        assert_eq!(taken(&window(0, 3, 1), &[2, 3], &[2, 5]), [9, 1, 2, 3, 9, 9, 4, 5, 6, 9]);
        assert_eq!(taken(&window(0, 0, 2), &[2, 0], &[2, 2]), [9; 4]);
        assert!(taken(&window(1, 0, 0), &[2, 3], &[2, 0]).is_empty());
        let windows = Op::Windows { axis: 0, step: 2, dilation: 1 };
        assert_eq!(taken(&windows, &[5, 2], &[2, 2, 3]), [1, 3, 5, 2, 4, 6, 5, 7, 9, 6, 8, 10]);
        // The diagonals of rows [1, 2, 3], [4, 5, 6] and so on, upwards.
        assert_eq!(taken(&Op::Skew { axis: 0, by: 1 }, &[4, 3], &[2, 3]), [7, 5, 3, 10, 8, 6]);
    }

    fn cut(starts: &[u32], steps: &[i32]) -> Op {
        let mut cut = Cut::WHOLE;
        cut.starts[..starts.len()].copy_from_slice(starts);
        cut.steps[..steps.len()].copy_from_slice(steps);
        Op::Slice(cut)
    }

    #[test]
    fn slices_step_over_elements_and_go_back() {
        assert_eq!(taken(&cut(&[0, 2], &[1, -1]), &[2, 3], &[2, 3]), [3, 2, 1, 6, 5, 4]);
        assert_eq!(taken(&cut(&[1, 0], &[-1, 2]), &[2, 5], &[2, 3]), [6, 8, 10, 1, 3, 5]);
        assert_eq!(taken(&cut(&[0, 3], &[1, -2]), &[1, 4], &[1, 2]), [4, 2]);
    }

    #[test]
    fn a_piece_is_known_by_its_strides() {
        let piece = |op: &Op, from: &[usize], to: &[usize]| {
            let [from, to] = [from, to].map(|dims| Shape::new(dims).unwrap());
            Steps::of(op, from, to).unwrap().in_one_piece()
        };
        assert!(piece(&cut(&[1], &[1]), &[4, 3], &[2, 3]));
        assert!(piece(&cut(&[0, 1], &[1, 1]), &[1, 4, 3], &[1, 2, 3]));
        assert!(piece(&cut(&[1, 2], &[1, 1]), &[4, 3], &[1, 1]));
        assert!(!piece(&cut(&[0, 1], &[1, 1]), &[2, 4, 3], &[2, 2, 3]));
        assert!(!piece(&cut(&[3], &[-1]), &[4], &[4]));
        assert!(!piece(&cut(&[0], &[2]), &[4], &[2]));
    }
}
