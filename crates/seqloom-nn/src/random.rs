//! Numbers from seeded generators: sampling and batches draw the same on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// A number in [0, 1) with all 53 bits that an f64 has there.
pub(crate) fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 * (0.5_f64).powi(53)
}
