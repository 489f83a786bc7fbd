//! Element types, and where their bytes may begin.
//!
//! All tensors are stored row-major and dense, and each element takes four bytes.

use std::fmt;

/// Offsets at which every adapter can bind a range.
pub(crate) const ALIGNMENT: u64 = 256;

/// Type of a tensor's elements; each takes four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
