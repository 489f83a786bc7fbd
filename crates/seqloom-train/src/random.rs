//! Seeds and shuffles as pure functions of plain numbers.
//!
//! A stream of random numbers has a hidden position that a checkpoint would have to keep and that every reader moves. A
//! hash of (seed, index) has none: step 900 has the same seed whether or not this process ran steps 1 to 899.

/// A well-mixed number for the pair (seed, index): the finalizer of SplitMix64 (Steele et al. 2014), applied twice so that
/// neighbouring seeds give unrelated streams.
#[must_use]
pub fn mix(seed: u64, index: u64) -> u64 {
    let finalize = |z: u64| {
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    finalize(finalize(seed.wrapping_add(GOLDEN)) ^ index.wrapping_add(GOLDEN))
}

/// The seed of step `step` of a run with seed `seed`, as kernels take it.
#[must_use]
pub fn step_seed(seed: u64, step: u64) -> u32 {
    (mix(seed, step) >> 32) as u32
}

/// The numbers 0 to `len` − 1 in an order that follows from `seed` (the shuffle of Fisher and Yates).
#[must_use]
pub fn permutation(seed: u64, len: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        order.swap(last, below(seed, last as u64, last + 1));
    }
    order
}

/// A number below `limit` (which is at least 1) for the pair (seed, index), by multiplying into the range.
#[must_use]
pub fn below(seed: u64, index: u64, limit: usize) -> usize {
    ((u128::from(mix(seed, index)) * limit as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_holds_every_number_once_and_follows_its_seed() {
        let order = permutation(7, 100);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(order, permutation(7, 100));
        assert_ne!(order, permutation(8, 100));
        assert!(permutation(1, 0).is_empty());
    }

    #[test]
    fn seeds_of_neighbouring_steps_and_runs_differ() {
        let seeds: std::collections::HashSet<u32> =
            (0..50).flat_map(|s| (0..50).map(move |t| step_seed(s, t))).collect();
        assert!(seeds.len() > 2495, "{}", seeds.len());
    }
}
