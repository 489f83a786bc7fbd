// The functions that fused code is made of: a Value in, a Value out, conditions as 0 or 1. Needs value.wgsl and rng.wgsl.
//
// Names end in `_` where WGSL has a built-in of that name. Saturating functions take only exp of arguments <= 0,
// so no intermediate overflows and +-100 (or +-inf) gives the limit instead of inf / inf.

fn add(a: Value, b: Value) -> Value { return a + b; }
fn sub(a: Value, b: Value) -> Value { return a - b; }
fn mul(a: Value, b: Value) -> Value { return a * b; }
fn div(a: Value, b: Value) -> Value { return a / b; }
fn neg(x: Value) -> Value { return -x; }
fn max_(a: Value, b: Value) -> Value { return greatest(a, b); }
fn min_(a: Value, b: Value) -> Value { return least(a, b); }

fn abs_(x: Value) -> Value { return abs(x); }
fn sign_(x: Value) -> Value { return sign(x); }
fn square(x: Value) -> Value { return x * x; }
fn recip(x: Value) -> Value { return 1.0f / x; }
fn sqrt_(x: Value) -> Value { return sqrt(x); }
fn rsqrt_(x: Value) -> Value { return inverseSqrt(x); }
fn exp_(x: Value) -> Value { return exp(x); }
fn log_(x: Value) -> Value { return log(x); }
fn sin_(x: Value) -> Value { return sin(x); }
fn cos_(x: Value) -> Value { return cos(x); }

// a^b. The built-in is undefined for a < 0 and for 0^0: an integer b takes the sign from its parity, any other b
// of a negative a gives NaN (the root of a), and b = 0 gives 1.
fn pow_(a: Value, b: Value) -> Value {
    let size = pow(abs(a), b);
    let odd = abs(b - 2.0f * trunc(b * 0.5f)) == Value(1.0f);
    let whole = trunc(b) == b;
    let of_negative = select(sqrt(a), select(size, -size, odd), whole);
    return select(select(size, of_negative, a < Value(0.0f)), Value(1.0f), b == Value(0.0f));
}

fn greater(a: Value, b: Value) -> Value { return select(Value(0.0f), Value(1.0f), a > b); }
fn less(a: Value, b: Value) -> Value { return select(Value(0.0f), Value(1.0f), a < b); }
fn equal(a: Value, b: Value) -> Value { return select(Value(0.0f), Value(1.0f), a == b); }
// a where cond is not 0, else b.
fn select_(cond: Value, a: Value, b: Value) -> Value { return select(b, a, cond != Value(0.0f)); }
fn to_f32(x: u32) -> f32 { return f32(x); }
fn to_u32(x: f32) -> u32 { return u32(x); }
// The number with these bits: infinities and NaN have no literal in WGSL.
fn from_bits(bits: u32) -> f32 { return bitcast<f32>(bits); }

// max(x, 0) that keeps a NaN.
fn relu(x: Value) -> Value { return select(x, Value(0.0f), x < Value(0.0f)); }

// 1 / (1 + e^-x).
fn sigmoid(x: Value) -> Value {
    let t = exp(-abs(x));
    let r = 1.0f / (1.0f + t);
    return select(t * r, r, x >= Value(0.0f));
}

// (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x. Below 0.3 the difference cancels, and the Taylor series to x^9
// (next term 5e-8 relative) is used instead.
fn tanh_(x: Value) -> Value {
    let t = exp(-2.0f * abs(x));
    let far = (1.0f - t) / (1.0f + t);
    let s = x * x;
    let series = s * (-0.33333334f + s * (0.13333334f + s * (-0.053968254f + s * 0.021869488f)));
    return select(select(far, -far, x < Value(0.0f)), x + x * series, abs(x) < Value(0.3f));
}

// x within -most and most, where it is a number.
fn within(x: Value, most: f32) -> Value { return select(x, clamp(x, Value(-most), Value(most)), x == x); }

// x * sigmoid(x), and its derivative. Beyond +-104, where sigmoid is 0 or 1 in f32, the limit stands instead of inf * 0.
fn silu(x: Value) -> Value { return select(x * sigmoid(x), Value(0.0f), x < Value(-104.0f)); }
fn silu_grad(x: Value) -> Value {
    let y = within(x, 104.0f);
    let s = sigmoid(y);
    return s * (1.0f + y * (1.0f - s));
}

// 1 - erf(|z|), absolute error 1.5e-7: Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26.
fn erfc_abs(z: Value) -> Value {
    let a = abs(z);
    let t = 1.0f / (1.0f + 0.3275911f * a);
    let p = 0.25482959f + t * (-0.28449674f + t * (1.42141374f + t * (-1.45315203f + t * 1.06140543f)));
    return t * p * exp(-a * a);
}

// The normal distribution's cumulative function: (1 + erf(x / sqrt 2)) / 2.
fn normal_cdf(x: Value) -> Value {
    let tail = 0.5f * erfc_abs(x * 0.70710678f);
    return select(1.0f - tail, tail, x < Value(0.0f));
}

// x * normal_cdf(x), and its derivative normal_cdf(x) + x * normal_pdf(x). The limit at -inf (0 * inf) is written out.
fn gelu_erf(x: Value) -> Value { return select(x * normal_cdf(x), Value(0.0f), x < Value(-20.0f)); }
fn gelu_erf_grad(x: Value) -> Value {
    let y = within(x, 20.0f);
    return normal_cdf(y) + y * 0.39894228f * exp(-0.5f * y * y);
}

// x / 2 * (1 + tanh(u)), u = sqrt(2 / pi) * (x + 0.044715 x^3), and its derivative. (1 + tanh(u)) / 2 is
// sigmoid(2u), which keeps the small values of the left tail. u is clamped so that x^3 cannot overflow.
fn gelu_tanh(x: Value) -> Value {
    let y = within(x, 20.0f);
    return select(x * sigmoid(1.5957691f * (y + 0.044715f * y * y * y)), Value(0.0f), x < Value(-20.0f));
}
fn gelu_tanh_grad(x: Value) -> Value {
    let y = within(x, 20.0f);
    let s = sigmoid(1.5957691f * (y + 0.044715f * y * y * y));
    return s + y * s * (1.0f - s) * 1.5957691f * (1.0f + 0.134145f * y * y);
}

// x / keep with probability keep, else 0; the same mask for the same (seed, stream, index).
fn dropout(x: f32, keep: f32, seed: u32, stream: u32, index: u32) -> f32 {
    return select(0.0f, x / keep, uniform(seed, stream, index) < keep);
}
// The same of the four elements from 4 * index on.
fn dropout_four(x: vec4<f32>, keep: f32, seed: u32, stream: u32, index: u32) -> vec4<f32> {
    let at = 4u * index;
    return vec4(
        dropout(x.x, keep, seed, stream, at),
        dropout(x.y, keep, seed, stream, at + 1u),
        dropout(x.z, keep, seed, stream, at + 2u),
        dropout(x.w, keep, seed, stream, at + 3u),
    );
}
