//! The counter-based random numbers of dropout: `pcg3d` of M. Jarzynski and M. Olano, JCGT 9(3), 2020.

/// 24 random bits as a multiple of 2^-24 in [0, 1), the same for the same numbers.
pub fn uniform(seed: u32, stream: u32, index: u32) -> f64 {
    let mut v = [index, stream, seed].map(|x| x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let round = |v: &mut [u32; 3]| {
        v[0] = v[0].wrapping_add(v[1].wrapping_mul(v[2]));
        v[1] = v[1].wrapping_add(v[2].wrapping_mul(v[0]));
        v[2] = v[2].wrapping_add(v[0].wrapping_mul(v[1]));
    };
    round(&mut v);
    v.iter_mut().for_each(|x| *x ^= *x >> 16);
    round(&mut v);
    f64::from(v[0] >> 8) / f64::from(1 << 24)
}
