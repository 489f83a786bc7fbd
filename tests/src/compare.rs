//! Equality of tensors up to a tolerance.
//!
//! An element passes if |got − want| ≤ abs + rel·|want|: the absolute part is for values that cancel to nearly nothing,
//! the relative part for all others. A norm over the whole tensor would let one wrong element hide among many right
//! ones.

/// How far an element may be from what is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Absolute part.
    pub abs: f32,
    /// Part relative to the expected value.
    pub rel: f32,
}

/// Largest deviations found by [`compare`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deviation {
    /// Largest |got − want|.
    pub max_abs: f32,
    /// Largest |got − want| / |want| where |want| is not tiny (above 1e-6).
    pub max_rel: f32,
}

/// Compares `got` with `want`; the message of a failure names the tensor, the worst element, and both values there.
///
/// # Errors
/// A sentence, if the lengths differ, if an element is NaN, or if one is farther off than `tolerance` allows.
pub fn compare(name: &str, got: &[f32], want: &[f32], tolerance: Tolerance) -> Result<Deviation, String> {
    if got.len() != want.len() {
        return Err(format!("{name}: {} elements, expected {}", got.len(), want.len()));
    }
    let mut deviation = Deviation::default();
    // How many times the allowed error the worst element is off, and where.
    let (mut worst, mut at, mut failures) = (0.0f32, 0, 0);
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = if g == w { 0.0 } else { (g - w).abs() };
        let excess = error / (tolerance.abs + tolerance.rel * w.abs());
        deviation.max_abs = deviation.max_abs.max(error);
        if w.abs() > 1e-6 {
            deviation.max_rel = deviation.max_rel.max(error / w.abs());
        }
        if !(excess <= 1.0 || error == 0.0) {
            failures += 1;
        }
        if excess > worst || excess.is_nan() && error != 0.0 {
            (worst, at) = (if excess.is_nan() { f32::INFINITY } else { excess }, i);
        }
    }
    if failures == 0 {
        return Ok(deviation);
    }
    Err(format!(
        "{name}: {failures} of {} elements are off; worst at index {at}: got {}, expected {} ({worst:.1} times what \
         abs {:e} + rel {:e} allows; max abs error {:e}, max rel error {:e})",
        got.len(),
        got[at],
        want[at],
        tolerance.abs,
        tolerance.rel,
        deviation.max_abs,
        deviation.max_rel,
    ))
}

/// [`compare`] that stops the test on a difference.
///
/// # Panics
/// With the sentence of [`compare`].
#[track_caller]
pub fn assert_close(name: &str, got: &[f32], want: &[f32], tolerance: Tolerance) -> Deviation {
    match compare(name, got, want, tolerance) {
        Ok(deviation) => deviation,
        Err(message) => panic!("{message}"),
    }
}

/// Stops the test unless both hold the same bits; for determinism, where no tolerance is right.
///
/// # Panics
/// Naming the first element that differs.
#[track_caller]
pub fn assert_same_bits(name: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}: number of elements");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert_eq!(g.to_bits(), w.to_bits(), "{name}: index {i} is {g} and {w}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIGHT: Tolerance = Tolerance { abs: 1e-6, rel: 1e-6 };

    #[test]
    fn names_the_tensor_and_the_worst_element() {
        let message = compare("y", &[1.0, 2.5, 3.1], &[1.0, 2.0, 3.0], TIGHT).unwrap_err();
        assert!(
            message.contains("y: 2 of 3") && message.contains("index 1: got 2.5, expected 2"),
            "{message}"
        );
    }

    #[test]
    fn nan_is_never_close() {
        assert!(compare("y", &[f32::NAN], &[0.0], TIGHT).is_err());
        assert!(compare("y", &[0.0], &[f32::NAN], TIGHT).is_err());
    }

    #[test]
    fn equal_infinities_are_close() {
        assert!(compare("y", &[f32::INFINITY], &[f32::INFINITY], TIGHT).is_ok());
    }
}
