//! The scalar functions that the pointwise fuser may call, and their derivatives where a gradient rule needs one.
//!
//! Each is the plain formula in `f64`, whose range is wide enough that the guards of the single-precision versions are
//! not needed.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `1 / (1 + e^-x)`.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `max(x, 0)`.
pub fn relu(x: f64) -> f64 {
    x.max(0.0)
}

/// `x · sigmoid(x)`.
pub fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// `x · Φ(x)` with the normal distribution's Φ, through [`erf`].
pub fn gelu_erf(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))
}

/// The tanh approximation of GELU: `x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
pub fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
}

/// −1, 0 or 1.
pub fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// x above 0, else `alpha · (eˣ − 1)`.
pub fn elu(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * x.exp_m1() }
}

/// `ln(1 + eˣ)`, by `x + ln(1 + e⁻ˣ)` where eˣ may overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `x · tanh(softplus(x))`.
pub fn mish(x: f64) -> f64 {
    x * softplus(x).tanh()
}

/// `x · min(max(x + 3, 0), 6) / 6`.
pub fn hard_swish(x: f64) -> f64 {
    x * (x + 3.0).clamp(0.0, 6.0) / 6.0
}

/// The error function, by its Maclaurin series inside |x| < 3 and by the continued fraction of `erfc` outside.
///
/// Both converge to about 1e-14 where they are used, far below what single precision can tell.
pub fn erf(x: f64) -> f64 {
    if x.abs() < 3.0 {
        // erf x = 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!: all terms have one sign, so nothing cancels.
        let mut term = x;
        let mut sum = x;
        let mut odd = 1.0;
        while term.abs() > 1e-18 * sum.abs() {
            odd += 2.0;
            term *= 2.0 * x * x / odd;
            sum += term;
        }
        2.0 / PI.sqrt() * (-x * x).exp() * sum
    } else {
        let z = x.abs();
        let fraction = (1..=60).rev().fold(z, |below, i| z + 0.5 * f64::from(i) / below);
        x.signum() * (1.0 - (-z * z).exp() / (PI.sqrt() * fraction))
    }
}
