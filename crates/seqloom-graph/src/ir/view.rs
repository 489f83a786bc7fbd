//! Operations that only move elements, as numbers: which element of its operand each element of a moved tensor is.
//!
//! One description serves everything that moves without computing. The copy kernel uses it if a view of floats must be
//! in memory, fused code uses its strides, and the host uses it for views of ids and lengths. Those come from the host
//! ([`super::payload::Derivation`]), so their views are made there too. Then everything derived from a view (lengths,
//! positions sorted by id, limits) knows the elements, and no kernel needs a form for each element type.

use seqloom_kernels::view::Problem;

use super::op::Op;
use super::shape::{MAX_RANK, Shape};
use super::steps::{Steps, View, Within, together};

/// Through an operand of shape `from`, of the operations that read all their elements from it: stretching, reordering axes,
/// slices and windows.
pub(crate) fn steps(op: &Op, from: Shape, to: Shape) -> Option<Steps> {
    then(Steps::whole(from), op, to)
}

/// Through what a view reads, of such a view of it, of shape `to`.
pub(crate) fn then(Steps { dims: from, strides: own, offset }: Steps, op: &Op, to: Shape) -> Option<Steps> {
    let mut steps = Steps { dims: to, strides: [0; MAX_RANK], offset };
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
            let back = i64::from(by).saturating_mul(from[last].saturating_sub(1) as i64);
            let first = i64::from(offset).saturating_add(back);
            steps.offset = u32::try_from(first).unwrap_or(u32::MAX);
        }
        Op::Slice(cut) => {
            let mut first = i64::from(offset);
            for axis in 0..to.rank() {
                steps.strides[axis] = own[axis].saturating_mul(cut.steps[axis]);
                first = first.saturating_add(i64::from(cut.starts[axis]) * i64::from(own[axis]));
            }
            steps.offset = u32::try_from(first).unwrap_or(u32::MAX);
        }
        _ => return None,
    }
    Some(steps)
}

/// The view of a tensor of shape `from` that the operation makes into one of shape `to`, if it is one that only moves.
pub(crate) fn view(op: &Op, from: Shape, to: Shape) -> Option<View> {
    let Op::Window { axis, start, take, before, fill } = *op else {
        return Some(View { steps: steps(op, from, to)?, within: None });
    };
    let strides = Steps::whole(from).strides;
    let offset = u32::try_from(start.saturating_mul(from.strides()[axis])).unwrap_or(u32::MAX);
    Some(View {
        steps: Steps { dims: to, strides, offset },
        within: Some(Within { axis, before, take, fill }),
    })
}

/// The same as a copy of the device; none if it goes over more axes than a kernel counts, which `compile/split.rs` prevents.
pub(crate) fn copy(op: &Op, from: Shape, to: Shape) -> Option<Problem> {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    if let Op::Window { axis, start, take, before, fill } = *op {
        // Rows of what lies behind the axis with it, as it is dense.
        let [outer, inner]: [usize; 2] = [&to[..axis], &to[axis + 1..]].map(|dims| dims.iter().product());
        let row = i32::try_from(from[axis].saturating_mul(inner)).unwrap_or(i32::MAX);
        return Some(Problem {
            dims: [1, 1, number(outer), number(to[axis] * inner)],
            strides: [0, 0, row, 1],
            lo: [0, 0, 0, number(before * inner)],
            extent: [1, 1, number(outer), number(take * inner)],
            offset: number(start * inner),
            fill,
        });
    }
    let steps = steps(op, from, to)?;
    let walk = together(&[steps])?;
    let strides = walk.strides.first().copied()?;
    Some(Problem { dims: walk.dims, strides, lo: [0; 4], extent: walk.dims, offset: steps.offset, fill: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::payload::Cut;
    use crate::ir::steps::elements;

    /// The copy kernel's formula.
    fn copied(copy: &Problem, x: &[u32]) -> Vec<u32> {
        let element = |linear: u32| {
            let (mut rest, mut at) = (linear, i64::from(copy.offset));
            for axis in (0..4).rev() {
                let index = (rest % copy.dims[axis]).checked_sub(copy.lo[axis])?;
                rest /= copy.dims[axis];
                at += i64::from(index) * i64::from(copy.strides[axis]);
                if index >= copy.extent[axis] {
                    return None;
                }
            }
            x.get(usize::try_from(at).unwrap()).copied()
        };
        (0..copy.dims.iter().product()).map(|linear| element(linear).unwrap_or(copy.fill)).collect()
    }

    fn taken(op: &Op, from: &[usize], to: &[usize]) -> Vec<u32> {
        let [from, to] = [from, to].map(|dims| Shape::new(dims).unwrap());
        let x: Vec<u32> = (1..=from.elements() as u32).collect();
        let taken = elements(&view(op, from, to).unwrap(), &x);
        // What the device copies is the same.
        if to.elements() > 0 && from.elements() > 0 {
            assert_eq!(copied(&copy(op, from, to).unwrap(), &x), taken);
        }
        taken
    }

    #[test]
    fn views_take_the_elements_that_they_name() {
        assert_eq!(taken(&Op::Permute([1, 0, 2, 3, 4, 5]), &[2, 3], &[3, 2]), [1, 4, 2, 5, 3, 6]);
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

    #[test]
    fn every_order_of_six_axes_takes_the_elements_that_it_names() {
        let from = Shape::new(&[2, 3, 1, 2, 3, 2]).unwrap();
        let x: Vec<u32> = (0..from.elements() as u32).collect();
        for order in crate::ir::steps::orders(6) {
            let dims = order.map(|axis| from[usize::from(axis)]);
            let taken = elements(&view(&Op::Permute(order), from, Shape::new(&dims).unwrap()).unwrap(), &x);
            for (linear, &got) in taken.iter().enumerate() {
                let (mut rest, mut want) = (linear, 0);
                for axis in (0..6).rev() {
                    want += rest % dims[axis] * from.strides()[usize::from(order[axis])];
                    rest /= dims[axis];
                }
                assert_eq!(got as usize, want, "{order:?} at {linear}");
            }
        }
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
    fn a_view_of_a_view_is_one_of_the_first_operand() {
        let shape = |dims: &[usize]| Shape::new(dims).unwrap();
        let turned =
            then(Steps::whole(shape(&[2, 9, 8])), &Op::Permute([1, 0, 2, 3, 4, 5]), shape(&[9, 2, 8]))
                .unwrap();
        let back = then(turned, &cut(&[8, 1, 4], &[-2, 1, 1]), shape(&[3, 1, 4])).unwrap();
        assert_eq!((&back.strides[..3], back.offset), (&[-16, 72, 1][..], 8 * 8 + 72 + 4));
        let again = then(back, &cut(&[1], &[-1, 1, 1]), shape(&[2, 1, 4])).unwrap();
        assert_eq!((&again.strides[..3], again.offset), (&[16, 72, 1][..], 6 * 8 + 72 + 4));
        let columns = then(Steps::whole(shape(&[4, 6])), &cut(&[0, 2], &[1, 1]), shape(&[4, 3])).unwrap();
        let skewed = then(columns, &Op::Skew { axis: 0, by: 1 }, shape(&[2, 3])).unwrap();
        assert_eq!((&skewed.strides[..2], skewed.offset), (&[6, -5][..], 2 * 6 + 2));
        let stretched = then(again, &Op::Broadcast, shape(&[5, 2, 6, 4])).unwrap();
        assert_eq!(stretched.strides[..4], [0, 16, 0, 1]);
    }

    #[test]
    fn a_piece_is_known_by_its_strides() {
        let piece = |op: &Op, from: &[usize], to: &[usize]| {
            let [from, to] = [from, to].map(|dims| Shape::new(dims).unwrap());
            steps(op, from, to).unwrap().in_one_piece()
        };
        assert!(piece(&cut(&[1], &[1]), &[4, 3], &[2, 3]));
        assert!(piece(&cut(&[0, 1], &[1, 1]), &[1, 4, 3], &[1, 2, 3]));
        assert!(piece(&cut(&[1, 2], &[1, 1]), &[4, 3], &[1, 1]));
        assert!(!piece(&cut(&[0, 1], &[1, 1]), &[2, 4, 3], &[2, 2, 3]));
        assert!(!piece(&cut(&[3], &[-1]), &[4], &[4]));
        assert!(!piece(&cut(&[0], &[2]), &[4], &[2]));
    }
}
