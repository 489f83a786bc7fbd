//! Operands that tuning makes up: numbers of both signs and no pattern, so that a wrong element shows and nothing overflows.
//!
//! Random and not zeros: some adapters multiply zeros faster, and a kernel that computes nothing would look right.

use crate::matmul;

/// Contents of a task's buffers, as 32-bit words.
#[derive(Clone, Debug, Default)]
pub struct Operands {
    /// Contents of `In(i)`.
    pub ins: Vec<Vec<u32>>,
    /// Contents of `Leaf(i)`.
    pub leaves: Vec<Vec<u32>>,
    /// Elements of `Out(i)`, f32.
    pub outs: Vec<usize>,
}

impl Operands {
    /// A and B.
    pub(super) fn of_matmul(problem: &matmul::Problem) -> Self {
        let matmul::Problem { batch, m, n, k, a_batched, b_batched, .. } = *problem;
        let times = |batched: bool| if batched { batch } else { 1 };
        let ins = vec![floats(1, times(a_batched) * m * k, 1.0), floats(2, times(b_batched) * k * n, 1.0)];
        Self { ins, leaves: Vec::new(), outs: vec![batch * m * n] }
    }
}

/// Floats in [-scale, scale) that look random and are the same for the same seed; mixed by splitmix64's constants
/// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn floats(seed: u64, len: usize, scale: f32) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 24 bits are exact in f32.
        (scale * (((mixed ^ (mixed >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0)).to_bits()
    };
    (0..len).map(|_| next()).collect()
}
