//! Reductions, extreme elements' indices and running sums over the middle axis of `[outer, len, inner]`.
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

/// `out[o,i] = min_r x[o,r,i]`; infinity when `len` is 0.
pub fn min(outer: usize, len: usize, inner: usize, x: &[f64]) -> Vec<f64> {
    fold(outer, len, inner, x, f64::INFINITY, f64::min)
}

/// `out[o,i] = Π_r x[o,r,i]`; 1 when `len` is 0.
pub fn prod(outer: usize, len: usize, inner: usize, x: &[f64]) -> Vec<f64> {
    fold(outer, len, inner, x, 1.0, |a, b| a * b)
}

/// The place of the first greatest element of a line, or the least one; a NaN is more extreme than any number.
pub fn arg(least: bool, line: &[f64]) -> usize {
    let beats = |a: f64, b: f64| !b.is_nan() && (a.is_nan() || if least { a < b } else { a > b });
    (1..line.len()).fold(0, |best, at| if beats(line[at], line[best]) { at } else { best })
}

/// Running sums of a line, from its end if `reverse`.
pub fn scan(reverse: bool, line: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut add = |x: &f64| {
        sum += x;
        sum
    };
    if !reverse {
        return line.iter().map(add).collect();
    }
    let mut sums: Vec<_> = line.iter().rev().map(&mut add).collect();
    sums.reverse();
    sums
}

/// The elements along the middle axis, of each (o, i) in row-major order.
pub fn lines(outer: usize, len: usize, inner: usize, x: &[f64]) -> Vec<Vec<f64>> {
    let line = |o: usize, i: usize| (0..len).map(|r| x[(o * len + r) * inner + i]).collect();
    (0..outer).flat_map(|o| (0..inner).map(move |i| line(o, i))).collect()
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
