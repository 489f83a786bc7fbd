//! Checks gradients against finite differences of the loss that the device itself computes.
//!
//! For a direction d of signs ±1 over all float operands, the derivative d·∇L is compared with the fourth-order stencil
//!
//! ```text
//! (8·(L(x + hd) − L(x − hd)) − (L(x + 2hd) − L(x − 2hd))) / 12h       h = 0.01
//! ```
//!
//! Single elements would be more obvious, but a loss in f32 has a rounding error of about 1e-7 of its size. Divided by
//! h that is 1e-5, which hides the derivative by one small element. A direction moves every element at once, so the
//! change is far above the rounding, and h may be large because the stencil's own error is of order h⁴. Every operand
//! is checked alone and all together, over several directions, so a wrong element shows unless its error cancels in all
//! of them.

use crate::case::Case;

const STEP: f32 = 0.01;
const DIRECTIONS: u32 = 4;
/// Rounding of the four losses (sums of some dozen terms of size 1: about 3e-7 each) over 12h/18 = 0.0067 gives 5e-5;
/// the stencil's h⁴ with |d|₁ of some dozens gives less. Both scale with the gradient's length, so the tolerance is
/// relative to it. A dropped factor or sign is an error of order 1 on this scale.
const TOLERANCE: f32 = 3e-3;
const FLOOR: f32 = 2e-4;

/// Checks the gradients of `case` at the operands' `values` (the float operands, in order).
///
/// # Panics
/// Naming the operand and both derivatives, if they differ; or if a gradient is 0 everywhere, which checks nothing.
pub fn check_gradients(case: &Case, values: &[Vec<f32>]) {
    let loss = case.loss();
    assert!(loss.is_finite(), "the loss is {loss}");
    let gradients = case.gradients();
    assert_eq!(gradients.len(), values.len(), "one gradient for each operand");
    for (i, gradient) in gradients.iter().enumerate() {
        assert!(gradient.iter().any(|g| g.abs() > 1e-4), "gradient {i} is 0 everywhere: {gradient:?}");
    }
    let singles = (0..values.len()).map(|i| vec![i]);
    let all = (0..values.len()).collect();
    for operands in singles.chain([all]) {
        for seed in 0..DIRECTIONS {
            let direction = signs(values, &operands, seed);
            let numeric = stencil(case, values, &direction);
            let pairs = || gradients.iter().flatten().zip(direction.iter().flatten());
            let analytic: f32 = pairs().map(|(g, d)| g * d).sum();
            let length = pairs().map(|(g, d)| (g * d).powi(2)).sum::<f32>().sqrt();
            let (error, allowed) = ((analytic - numeric).abs(), TOLERANCE * length + FLOOR);
            assert!(
                error <= allowed,
                "operands {operands:?}, direction {seed}: the gradient says {analytic}, the loss {numeric} \
                 (off by {error:e}, allowed {allowed:e})"
            );
        }
    }
}

/// ±1 for elements of the chosen operands, 0 for the others.
fn signs(values: &[Vec<f32>], operands: &[usize], seed: u32) -> Vec<Vec<f32>> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) ^ 0x5EED;
    let mut sign = || {
        // xorshift32 (Marsaglia 2003): any sequence that is not regular will do.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        if state & 0x100 == 0 { 1.0 } else { -1.0 }
    };
    values
        .iter()
        .enumerate()
        .map(|(i, v)| v.iter().map(|_| if operands.contains(&i) { sign() } else { 0.0 }).collect())
        .collect()
}

/// The derivative of the loss along `direction`; leaves the operands at `values`.
fn stencil(case: &Case, values: &[Vec<f32>], direction: &[Vec<f32>]) -> f32 {
    let moved = |steps: f32| {
        for (i, (v, d)) in values.iter().zip(direction).enumerate() {
            let shifted: Vec<f32> = v.iter().zip(d).map(|(v, d)| v + steps * STEP * d).collect();
            case.set(i, &shifted);
        }
        f64::from(case.loss())
    };
    let near = moved(1.0) - moved(-1.0);
    let far = moved(2.0) - moved(-2.0);
    for (i, v) in values.iter().enumerate() {
        case.set(i, v);
    }
    ((8.0 * near - far) / (12.0 * f64::from(STEP))) as f32
}
