//! Views as numbers: which element of its operand each element of a moved tensor is.
//!
//! One description serves everything that moves without computing. The copy kernel uses it if a view of floats must be
//! in memory, fused code uses its strides, and the host uses it for views of ids and lengths. Those come from the host
//! ([`super::payload::Derivation`]), so their views are made there too. Then everything derived from a view (lengths,
//! positions sorted by id, limits) knows the elements, and no kernel needs a form for each element type.

use seqloom_kernels::view::Problem;

use super::op::Op;
use super::shape::Shape;

/// The view of a tensor of shape `from` that the operation makes into one of shape `to`, if it is one that only moves.
pub(crate) fn view(op: &Op, from: Shape, to: Shape) -> Option<Problem> {
    let dims = to.padded();
    let whole = |strides| Problem { dims, strides, lo: [0; 4], extent: dims, offset: 0 };
    match *op {
        Op::Broadcast => Some(whole(stretched(from, to))),
        Op::Permute(order) => Some(whole(permuted(from, to, order))),
        Op::Window { axis, start, take, before } => {
            let mut all = [0; 4];
            all[axis] = before;
            Some(Problem {
                dims,
                strides: to.pad_front(&from.strides(), 0),
                lo: to.pad_front(&all, 0),
                extent: to.with(axis, take).padded(),
                offset: u32::try_from(start * from.strides()[axis]).unwrap_or(u32::MAX),
            })
        }
        _ => None,
    }
}

/// The elements of a view, in row-major order.
pub(crate) fn elements(view: &Problem, x: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(view.dims.iter().map(|&dim| dim as usize).product());
    // Where an index of an axis leads in the operand; nowhere, outside of the window.
    let along = |axis: usize, index: u32| {
        let at = index.checked_sub(view.lo[axis]).filter(|&at| at < view.extent[axis])?;
        Some(at as usize * view.strides[axis] as usize)
    };
    for i in 0..view.dims[0] {
        for j in 0..view.dims[1] {
            for k in 0..view.dims[2] {
                let row = [along(0, i), along(1, j), along(2, k)].into_iter().sum::<Option<usize>>();
                out.extend((0..view.dims[3]).map(|l| {
                    let at = row.zip(along(3, l)).map(|(row, last)| view.offset as usize + row + last);
                    at.and_then(|at| x.get(at)).copied().unwrap_or(0)
                }));
            }
        }
    }
    out
}

/// Strides over `to` of a tensor of shape `from` that stretches to it: 0 where it repeats.
pub(crate) fn stretched(from: Shape, to: Shape) -> [u32; 4] {
    let own = from.strides();
    let lead = to.rank() - from.rank();
    let mut strides = [0; 4];
    for axis in 0..from.rank() {
        strides[lead + axis] = if from[axis] == 1 { 0 } else { own[axis] };
    }
    to.pad_front(&strides, 0)
}

/// Strides over `to` of a tensor of shape `from` whose axes are reordered.
pub(crate) fn permuted(from: Shape, to: Shape, order: [u8; 4]) -> [u32; 4] {
    let own = from.strides();
    let mut strides = [0; 4];
    for axis in 0..to.rank() {
        strides[axis] = own[order[axis] as usize];
    }
    to.pad_front(&strides, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(op: &Op, from: &[usize], to: &[usize]) -> Vec<u32> {
        let [from, to] = [from, to].map(|dims| Shape::new(dims).unwrap());
        let x: Vec<u32> = (1..=from.elements() as u32).collect();
        elements(&view(op, from, to).unwrap(), &x)
    }

    #[test]
    fn views_take_the_elements_that_they_name() {
        assert_eq!(taken(&Op::Permute([1, 0, 2, 3]), &[2, 3], &[3, 2]), [1, 4, 2, 5, 3, 6]);
        assert_eq!(taken(&Op::Broadcast, &[2, 1], &[2, 2, 3]), [1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]);
        let window = |start, take, before| Op::Window { axis: 1, start, take, before };
        assert_eq!(taken(&window(1, 2, 0), &[2, 3], &[2, 2]), [2, 3, 5, 6]);
        assert_eq!(taken(&window(0, 3, 1), &[2, 3], &[2, 5]), [0, 1, 2, 3, 0, 0, 4, 5, 6, 0]);
        assert_eq!(taken(&window(0, 0, 2), &[2, 0], &[2, 2]), [0; 4]);
        assert!(taken(&window(1, 0, 0), &[2, 3], &[2, 0]).is_empty());
    }
}
