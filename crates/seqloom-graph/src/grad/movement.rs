//! Gradients of operations that move elements: the inverse moves.

use crate::ir::error::Location;
use crate::ir::joined::Joined;
use crate::ir::payload::Cut;
use crate::ir::shape::MAX_RANK;
use crate::record::tensor::Tensor;

/// Axes go back to where they were.
pub(super) fn permute<'g>(order: &[u8; MAX_RANK], dy: Tensor<'g>, at: Location) -> Tensor<'g> {
    let mut back = vec![0; dy.rank()];
    for (axis, &source) in order[..dy.rank()].iter().enumerate() {
        back[usize::from(source)] = axis;
    }
    dy.permuted(&back, at)
}

/// What was taken goes back to where it came from: backwards where it was taken backwards, with zeros between its elements where
/// it was taken in steps, and with zeros around it.
pub(super) fn slice<'g>(cut: Cut, x: Tensor<'g>, dy: Tensor<'g>, at: Location) -> Tensor<'g> {
    let from = x.shape();
    let mut dx = dy;
    let backward: Vec<_> =
        (0..from.rank()).filter(|&axis| cut.steps[axis] < 0).map(|axis| axis as isize).collect();
    if !backward.is_empty() {
        dx = dx.flip(&backward);
    }
    for axis in 0..from.rank() {
        let (taken, step) = (dx.dim(axis), cut.steps[axis].unsigned_abs() as usize);
        let first = cut.starts[axis] as usize;
        let first = if cut.steps[axis] < 0 { first - step * taken.saturating_sub(1) } else { first };
        if (first, step, taken) == (0, 1, from[axis]) {
            continue;
        }
        // The zeros behind the last element are none where the axis ends before.
        let spread = step * taken.saturating_sub(1) + taken.min(1);
        if step > 1 {
            let [outer, inner] = [&dx.shape()[..axis], &dx.shape()[axis + 1..]].map(|d| d.iter().product());
            let between = dx.reshape(&[outer, taken, 1, inner]).pad(2, 0, step - 1);
            if between.is_poisoned() {
                return between; // More zeros than a tensor holds.
            }
            let apart = dx.shape().with(axis, step * taken);
            dx = between.reshape(&apart);
        }
        dx = dx.window(axis, 0, spread, first, dx.shape().with(axis, from[axis]), at);
    }
    dx
}

/// What was taken goes back to where it came from. A window is its axis, start, number of indices, and their place.
pub(super) fn window<'g>(
    (axis, start, take, before): (usize, usize, usize, usize),
    x: Tensor<'g>,
    dy: Tensor<'g>,
    at: Location,
) -> Tensor<'g> {
    dy.window(axis, before, take, start, x.shape(), at)
}

/// Each part's gradient is the slice at its place.
pub(super) fn concat<'g>(
    joined: &Joined,
    x: &[Tensor<'g>],
    dy: Tensor<'g>,
    at: Location,
) -> Vec<Option<Tensor<'g>>> {
    let part = |(part, x): (usize, &Tensor<'g>)| {
        let shape = x.shape();
        Some(dy.window(joined.axis, joined.begin(part), shape[joined.axis], 0, shape, at))
    };
    x.iter().enumerate().map(part).collect()
}
