//! Memory layout of tensors: element types, and all arithmetic of bytes.
//!
//! Tensors are stored row-major and dense. No other file multiplies by an element's size, so a type of another size
//! changes only this one.

use std::fmt;

use super::shape::Shape;

/// Offsets at which every adapter can bind a range.
pub(crate) const ALIGNMENT: u64 = 256;

/// The smallest number of bytes that can be bound.
const WORD: u64 = 4;

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// Unsigned 32-bit integers: token ids and lengths.
    U32,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::U32 => "u32",
        })
    }
}

impl DType {
    /// Bytes of `count` elements.
    #[must_use]
    pub fn bytes(self, count: usize) -> u64 {
        match self {
            DType::F32 | DType::U32 => count as u64 * 4,
        }
    }

    /// How many elements `bytes` hold.
    pub(crate) fn count(self, bytes: u64) -> usize {
        (bytes / self.bytes(1)) as usize
    }
}

/// A tensor in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub shape: Shape,
    pub dtype: DType,
}

impl Layout {
    pub(crate) fn new(shape: Shape, dtype: DType) -> Self {
        Self { shape, dtype }
    }

    /// Bytes of its elements.
    pub(crate) fn bytes(self) -> u64 {
        self.dtype.bytes(self.shape.elements())
    }

    /// Bytes of the range that is bound for it.
    pub(crate) fn bindable(self) -> u64 {
        bindable(self.bytes())
    }

    /// The byte at which an element begins.
    pub(crate) fn offset(self, element: usize) -> u64 {
        self.dtype.bytes(element)
    }
}

/// At least the smallest range that can be bound, because an empty one cannot.
pub(crate) fn bindable(bytes: u64) -> u64 {
    bytes.max(WORD)
}

/// The next place, from this many bytes on, at which every adapter can bind a range.
pub(crate) fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_bound_is_empty_and_everything_begins_where_it_can_be_bound() {
        let layout = |dims: &[usize]| Layout::new(Shape::new(dims).unwrap(), DType::F32);
        assert_eq!([layout(&[0, 3]).bytes(), layout(&[0, 3]).bindable(), aligned(0)], [0, 4, 0]);
        let of = layout(&[5, 13]);
        assert_eq!([of.bytes(), aligned(of.bytes()), of.offset(13)], [260, 512, 52]);
        assert_eq!(DType::U32.count(DType::U32.bytes(7)), 7);
    }
}
