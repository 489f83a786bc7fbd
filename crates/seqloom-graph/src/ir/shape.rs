//! Shapes of tensors.
//!
//! A shape is a small `Copy` value of at most [`MAX_RANK`] dimensions, so tensor handles stay `Copy`. All tensors are stored
//! row-major and dense; views exist only inside kernels, over at most four axes ([`super::view`]).

use std::fmt;
use std::ops::Deref;

/// The most dimensions a tensor can have.
pub const MAX_RANK: usize = 6;

/// Dimensions of a tensor, outermost first; derefs to a slice. A scalar has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// A shape of these dimensions, or `None` if they are more than [`MAX_RANK`].
    #[must_use]
    pub fn new(dims: &[usize]) -> Option<Self> {
        let mut all = [0; MAX_RANK];
        all.get_mut(..dims.len())?.copy_from_slice(dims);
        Some(Self { dims: all, rank: dims.len() })
    }

    /// The shape of a scalar: no dimensions, one element.
    #[must_use]
    pub fn scalar() -> Self {
        Self::default()
    }

    /// Number of elements: the product of the dimensions.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.iter().product()
    }

    /// Number of dimensions; 0 for a scalar.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Row-major strides, in elements.
    #[must_use]
    pub fn strides(&self) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank).rev() {
            strides[axis] = step;
            step *= self.dims[axis];
        }
        strides
    }

    /// The shape with dimension `axis` set to `size`.
    #[must_use]
    pub(crate) fn with(&self, axis: usize, size: usize) -> Self {
        let mut shape = *self;
        shape.dims[axis] = size;
        shape
    }

    /// The shape without dimension `axis`.
    #[must_use]
    pub(crate) fn without(&self, axis: usize) -> Self {
        let mut shape = Self { dims: [0; MAX_RANK], rank: self.rank - 1 };
        for (to, from) in (0..self.rank).filter(|&a| a != axis).enumerate() {
            shape.dims[to] = self.dims[from];
        }
        shape
    }

    /// The shape both broadcast to under NumPy's rule (aligned at the right, 1 stretches), if there is one.
    #[must_use]
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        let rank = self.rank.max(other.rank);
        let mut shape = Self { dims: [0; MAX_RANK], rank };
        for back in 1..=rank {
            let of = |s: &Self| if back <= s.rank { s.dims[s.rank - back] } else { 1 };
            shape.dims[rank - back] = match (of(self), of(other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(shape)
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).unwrap()
    }

    #[test]
    fn broadcasting_follows_numpy() {
        assert_eq!(shape(&[4, 1, 3]).broadcast(&shape(&[5, 1])), Some(shape(&[4, 5, 3])));
        assert_eq!(shape(&[]).broadcast(&shape(&[2, 3])), Some(shape(&[2, 3])));
        assert_eq!(shape(&[2]).broadcast(&shape(&[3])), None);
    }

    #[test]
    fn seven_dimensions_are_refused() {
        assert!(Shape::new(&[1; 6]).is_some());
        assert!(Shape::new(&[1; 7]).is_none());
    }
}
