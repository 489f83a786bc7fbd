//! The strided copy behind slices, pads, transposes and materialised broadcasts.
//!
//! It works on any element type, because the kernel copies bits.

/// A copy into a row-major result of four axes.
#[derive(Clone, Copy, Debug)]
pub struct Gather<T> {
    /// Extents of the result.
    pub dims: [usize; 4],
    /// Step in the source for one step along each axis of the result; 0 repeats, a negative one goes back.
    pub strides: [isize; 4],
    /// First position along each axis that is read from the source; those before give `fill`.
    pub lo: [usize; 4],
    /// How many positions along each axis are read from the source; those after give `fill`.
    pub extent: [usize; 4],
    /// Element of the source that position `lo` reads.
    pub offset: usize,
    /// What stands outside.
    pub fill: T,
}

/// `out[p] = lo <= p < lo + extent on every axis ? x[offset + (p - lo)·strides] : fill`.
pub fn gather<T: Copy>(view: &Gather<T>, x: &[T]) -> Vec<T> {
    let [d0, d1, d2, d3] = view.dims;
    let mut out = Vec::with_capacity(d0 * d1 * d2 * d3);
    for p0 in 0..d0 {
        for p1 in 0..d1 {
            for p2 in 0..d2 {
                for p3 in 0..d3 {
                    out.push(at(view, x, [p0, p1, p2, p3]));
                }
            }
        }
    }
    out
}

fn at<T: Copy>(view: &Gather<T>, x: &[T], position: [usize; 4]) -> T {
    let mut index = view.offset as isize;
    for axis in 0..4 {
        let lo = view.lo[axis];
        if !(lo..lo + view.extent[axis]).contains(&position[axis]) {
            return view.fill;
        }
        index += (position[axis] - lo) as isize * view.strides[axis];
    }
    x[index as usize]
}
