//! The meaning of every pointwise operation of a tensor, by its method's name: one `pub fn` each, over [`Array`]s.

use super::array::Array;
use super::pointwise;

/// a + b
pub fn add(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| a + b)
}

/// a − b
pub fn sub(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| a - b)
}

/// a · b
pub fn mul(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| a * b)
}

/// a / b
pub fn div(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| a / b)
}

/// The greater.
pub fn maximum(a: &Array, b: &Array) -> Array {
    a.zip(b, f64::max)
}

/// The lesser.
pub fn minimum(a: &Array, b: &Array) -> Array {
    a.zip(b, f64::min)
}

/// −x
pub fn neg(x: &Array) -> Array {
    x.map(|x| -x)
}

/// eˣ
pub fn exp(x: &Array) -> Array {
    x.map(f64::exp)
}

/// Natural logarithm.
pub fn ln(x: &Array) -> Array {
    x.map(f64::ln)
}

/// √x
pub fn sqrt(x: &Array) -> Array {
    x.map(f64::sqrt)
}

/// tanh x
pub fn tanh(x: &Array) -> Array {
    x.map(f64::tanh)
}

/// 1/(1+e⁻ˣ)
pub fn sigmoid(x: &Array) -> Array {
    x.map(pointwise::sigmoid)
}

/// max(x, 0)
pub fn relu(x: &Array) -> Array {
    x.map(pointwise::relu)
}

/// x·Φ(x)
pub fn gelu(x: &Array) -> Array {
    x.map(pointwise::gelu_erf)
}

/// x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
pub fn gelu_tanh(x: &Array) -> Array {
    x.map(pointwise::gelu_tanh)
}

/// silu(a)·b
pub fn swiglu(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| pointwise::silu(a) * b)
}

/// x·sigmoid(x)
pub fn silu(x: &Array) -> Array {
    x.map(pointwise::silu)
}

/// x²
pub fn square(x: &Array) -> Array {
    x.map(|x| x * x)
}

/// |x|
pub fn abs(x: &Array) -> Array {
    x.map(f64::abs)
}

/// 1/x
pub fn recip(x: &Array) -> Array {
    x.map(f64::recip)
}

/// sin x
pub fn sin(x: &Array) -> Array {
    x.map(f64::sin)
}

/// cos x
pub fn cos(x: &Array) -> Array {
    x.map(f64::cos)
}

/// The error function.
pub fn erf(x: &Array) -> Array {
    x.map(pointwise::erf)
}

/// The greatest integer not above x.
pub fn floor(x: &Array) -> Array {
    x.map(f64::floor)
}

/// The least integer not below x.
pub fn ceil(x: &Array) -> Array {
    x.map(f64::ceil)
}

/// The nearest integer, of two the even.
pub fn round(x: &Array) -> Array {
    x.map(f64::round_ties_even)
}

/// −1, 0 or 1
pub fn sign(x: &Array) -> Array {
    x.map(pointwise::sign)
}

/// aᵇ
pub fn pow(a: &Array, b: &Array) -> Array {
    a.zip(b, f64::powf)
}

/// a > b
pub fn greater(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| f64::from(a > b))
}

/// a ≥ b
pub fn greater_equal(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| f64::from(a >= b))
}

/// a < b
pub fn less(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| f64::from(a < b))
}

/// a ≤ b
pub fn less_equal(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| f64::from(a <= b))
}

/// a = b
pub fn equal(a: &Array, b: &Array) -> Array {
    a.zip(b, |a, b| f64::from(a == b))
}

/// `yes` where the condition is not 0, else `no`.
pub fn select(condition: &Array, yes: &Array, no: &Array) -> Array {
    let shape = condition.zip(yes, |_, yes| yes).zip(no, |_, no| no).shape;
    Array::from_fn(&shape, |index| {
        let taken = if condition.stretched_at(index) == 0.0 { no } else { yes };
        taken.stretched_at(index)
    })
}

/// min(max(x, low), high)
pub fn clamp(x: &Array, low: f64, high: f64) -> Array {
    x.map(|x| x.max(low).min(high))
}

/// x above 0, else slope·x.
pub fn leaky_relu(x: &Array, slope: f64) -> Array {
    x.map(|x| if x > 0.0 { x } else { slope * x })
}

/// x above 0, else alpha·(eˣ − 1).
pub fn elu(x: &Array, alpha: f64) -> Array {
    x.map(|x| pointwise::elu(x, alpha))
}

/// elu with the constants that keep mean 0 and variance 1.
pub fn selu(x: &Array) -> Array {
    x.map(|x| 1.050_700_987_355_480_5 * pointwise::elu(x, 1.673_263_242_354_377_2))
}

/// ln(1 + eˣ)
pub fn softplus(x: &Array) -> Array {
    x.map(pointwise::softplus)
}

/// x·tanh(ln(1 + eˣ))
pub fn mish(x: &Array) -> Array {
    x.map(pointwise::mish)
}

/// x·min(max(x + 3, 0), 6)/6
pub fn hard_swish(x: &Array) -> Array {
    x.map(pointwise::hard_swish)
}
