//! Ways through a tensor in memory: which of its elements stands at each index of a view.
//!
//! A tensor may have [`MAX_RANK`] axes, but kernels count four, and every axis costs them a division. So axes that run on are
//! counted as one before a kernel sees them ([`together`]): a permuted [B, T, 3, H, D] has three or four axes that matter.

use super::shape::{MAX_RANK, Shape};

/// Axes that a kernel counts.
pub(crate) const AXES: usize = 4;

/// Axes as they are: what a permutation starts from.
pub(crate) const IN_ORDER: [u8; MAX_RANK] = [0, 1, 2, 3, 4, 5];

/// How a view goes through its operand, axis by axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Steps {
    /// Dimensions of the view.
    pub dims: Shape,
    /// Elements of the operand from one index of an axis to the next: 0 repeats, a negative number goes back.
    pub strides: [i32; MAX_RANK],
    /// Element of the operand that stands first.
    pub offset: u32,
}

impl Steps {
    /// Through all elements of a tensor, in their order.
    pub(crate) fn whole(dims: Shape) -> Self {
        let strides = dims.strides().map(|stride| i32::try_from(stride).unwrap_or(i32::MAX));
        Self { dims, strides, offset: 0 }
    }

    /// Whether the elements are neighbours in the operand, in their order.
    pub(crate) fn in_one_piece(&self) -> bool {
        self.in_one_piece_from(0)
    }

    /// The same of the elements of one index of the axes before `axis`.
    pub(crate) fn in_one_piece_from(&self, axis: usize) -> bool {
        let mut next = 1;
        let mut axes = self.dims.iter().zip(self.strides).skip(axis).rev().filter(|(dim, _)| **dim != 1);
        axes.all(|(&dim, stride)| {
            let fits = i64::from(stride) == next;
            next *= dim as i64;
            fits
        })
    }
}

/// Steps as kernels take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Dimensions that are walked over, 1 in front where there are fewer.
    pub dims: [u32; AXES],
    /// Strides of each operand along those.
    pub strides: Vec<[i32; AXES]>,
}

/// Steps over the same dimensions, over as few axes as serve all of them: neighbours along which all of them run on are one axis,
/// axes of 1 vanish. None if more are left than a kernel counts.
pub(crate) fn together(all: &[Steps]) -> Option<Walk> {
    let dims = all.first().map(|steps| steps.dims).unwrap_or_default();
    let mut axes: Vec<(usize, Vec<i32>)> = Vec::new();
    for (axis, &size) in dims.iter().enumerate().filter(|(_, size)| **size != 1) {
        let strides: Vec<i32> = all.iter().map(|steps| steps.strides[axis]).collect();
        let runs_on = |outer: &[i32]| {
            let mut pairs = outer.iter().zip(&strides);
            pairs.all(|(&outer, &inner)| i64::from(outer) == i64::from(inner) * size as i64)
        };
        match axes.last_mut() {
            Some((count, outer)) if runs_on(outer) => (*count, *outer) = (*count * size, strides),
            _ => axes.push((size, strides)),
        }
    }
    let lead = AXES.checked_sub(axes.len())?;
    let mut walk = Walk { dims: [1; AXES], strides: vec![[0; AXES]; all.len()] };
    for (axis, (size, strides)) in axes.into_iter().enumerate() {
        walk.dims[lead + axis] = u32::try_from(size).unwrap_or(u32::MAX);
        walk.strides.iter_mut().zip(strides).for_each(|(to, stride)| to[lead + axis] = stride);
    }
    Some(walk)
}

/// Every order of the first `rank` axes, the others behind them in their places.
pub(crate) fn orders(rank: usize) -> Vec<[u8; MAX_RANK]> {
    let mut found = vec![IN_ORDER];
    for at in 0..rank {
        let exchanged = |order: [u8; MAX_RANK]| {
            (at..rank).map(move |other| {
                let mut order = order;
                order.swap(at, other);
                order
            })
        };
        found = found.into_iter().flat_map(exchanged).collect();
    }
    found
}

/// The part of an axis where a view has its operand's elements, and what stands elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Within {
    pub axis: usize,
    /// First index of the part.
    pub before: usize,
    /// Its number of indices.
    pub take: usize,
    /// Bits of what stands elsewhere.
    pub fill: u32,
}

/// A view as the host takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// From the first index of the part on, where there is one.
    pub steps: Steps,
    pub within: Option<Within>,
}

/// The elements of a view, in row-major order.
pub(crate) fn elements(view: &View, x: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(view.steps.dims.elements());
    from_axis(view, x, 0, Some(i64::from(view.steps.offset)), &mut out);
    out
}

/// Those of one index of the axes before `axis`, which leads to the operand's element `at`; to none, outside of the part.
fn from_axis(view: &View, x: &[u32], axis: usize, at: Option<i64>, out: &mut Vec<u32>) {
    let fill = view.within.map_or(0, |within| within.fill);
    let Some(&size) = view.steps.dims.get(axis) else {
        let element = |at: i64| usize::try_from(at).ok().and_then(|at| x.get(at)).copied();
        out.push(at.and_then(element).unwrap_or(fill));
        return;
    };
    let part = view.within.filter(|within| within.axis == axis);
    for index in 0..size {
        let index = match part {
            Some(within) => index.checked_sub(within.before).filter(|&index| index < within.take),
            None => Some(index),
        };
        let next = at.zip(index).map(|(at, index)| at + index as i64 * i64::from(view.steps.strides[axis]));
        from_axis(view, x, axis + 1, next, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(dims: &[usize], strides: &[i32]) -> Steps {
        let mut all = [0; MAX_RANK];
        all[..strides.len()].copy_from_slice(strides);
        Steps { dims: Shape::new(dims).unwrap(), strides: all, offset: 0 }
    }

    #[test]
    fn axes_that_run_on_are_one() {
        let walk = |all: &[Steps]| together(all).map(|walk| (walk.dims, walk.strides));
        let dense = steps(&[2, 3, 4, 5], &[60, 20, 5, 1]);
        assert_eq!(walk(&[dense]), Some(([1, 1, 1, 120], vec![[0, 0, 0, 1]])));
        // What one of them does not run on along stays apart for all.
        let rows = steps(&[2, 3, 4, 5], &[0, 0, 5, 1]);
        assert_eq!(walk(&[dense, rows]), Some(([1, 1, 6, 20], vec![[0, 0, 20, 1], [0, 0, 0, 1]])));
        // [2, 3, 3, 4, 5] with axes 2 and 0 exchanged.
        let permuted = steps(&[3, 3, 2, 4, 5], &[20, 60, 180, 5, 1]);
        assert_eq!(walk(&[permuted]), Some(([3, 3, 2, 20], vec![[20, 60, 180, 1]])));
        // An axis of 1 is none, wherever its stride leads; going back runs on too.
        assert_eq!(walk(&[steps(&[3, 1, 4], &[4, 99, 1])]), Some(([1, 1, 1, 12], vec![[0, 0, 0, 1]])));
        assert_eq!(walk(&[steps(&[3, 4], &[-4, -1])]), Some(([1, 1, 1, 12], vec![[0, 0, 0, -1]])));
        assert_eq!(walk(&[steps(&[2, 2, 2, 2, 2], &[1, 2, 4, 8, 16])]), None);
        assert_eq!(walk(&[]), Some(([1; 4], vec![])));
    }
}
