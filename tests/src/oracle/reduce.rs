//! Sum and maximum over the middle axis of `[outer, len, inner]`.
//!
//! Any axis of a row-major tensor is the middle one of such a view, so this is the only case there is.

/// `out[o,i] = Σ_r x[o,r,i]`; 0 when `len` is 0.
pub fn sum(outer: usize, len: usize, inner: usize, x: &[f64]) -> Vec<f64> {
    fold(outer, len, inner, x, 0.0, |a, b| a + b)
}

/// `out[o,i] = max_r x[o,r,i]`; minus infinity when `len` is 0.
pub fn max(outer: usize, len: usize, inner: usize, x: &[f64]) -> Vec<f64> {
    fold(outer, len, inner, x, f64::NEG_INFINITY, f64::max)
}

fn fold(
    outer: usize,
    len: usize,
    inner: usize,
    x: &[f64],
    start: f64,
    op: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    let mut out = vec![start; outer * inner];
    for o in 0..outer {
        for r in 0..len {
            for i in 0..inner {
                let slot = &mut out[o * inner + i];
                *slot = op(*slot, x[(o * len + r) * inner + i]);
            }
        }
    }
    out
}
