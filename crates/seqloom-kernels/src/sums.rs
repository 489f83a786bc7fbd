//! How every family cuts long sums.
//!
//! f32 rounds each addition to 2⁻²⁴ of the sum so far, so a sum taken term by term is off by up to K·2⁻²⁴ of the sum of
//! the terms' magnitudes. A sum of more than [`BLOCK`] terms is therefore taken by blocks of [`block`] terms, and the
//! blocks' sums are added in order. The bound is then (block + K / block)·2⁻²⁴, and half of it if the terms are about
//! equal: 6.2e-5 at K = 100,000, instead of 3e-3 term by term. Blocks depend only on K, so every variant of a kernel
//! and every device adds in the same order. Up to `BLOCK` terms nothing is cut, and nothing costs more.
//!
//! Why not compensated sums (Kahan): a compiler that may reorder additions removes the compensation, and it costs three
//! additions per term. Why not shorter blocks: a product reads and writes its results once per block, which would slow
//! a GPU.

/// Most terms of a sum that is not cut, and fewest terms of a block.
pub(crate) const BLOCK: usize = 2048;

/// Terms of a block in a sum of `terms`: a power of two beyond the root, so the blocks' size and number grow alike; all
/// terms if they are few.
pub(crate) fn block(terms: usize) -> usize {
    if terms <= BLOCK { terms.max(1) } else { terms.isqrt().next_power_of_two().max(BLOCK) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_the_root() {
        assert_eq!([0, 1, 2048].map(block), [1, 1, 2048]);
        assert_eq!([2049, 100_000, 1 << 22].map(block), [2048; 3]);
        assert_eq!([(1 << 22) + 4097, 1 << 24, i32::MAX as usize].map(block), [4096, 4096, 65536]);
    }

    #[test]
    fn the_bound_holds_what_the_header_says() {
        let bound = |terms: usize| (block(terms) + terms.div_ceil(block(terms))) as f64 / f64::from(1 << 24);
        assert!(
            bound(100_000) / 2.0 < 6.3e-5 && bound(BLOCK) < 1.3e-4,
            "{} {}",
            bound(100_000),
            bound(BLOCK)
        );
        assert!(bound(i32::MAX as usize) < 6e-3, "{}", bound(i32::MAX as usize));
    }
}
