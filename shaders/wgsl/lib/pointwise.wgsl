// The functions that fused code is made of: a Value in, a Value out, conditions as 0 or 1. Needs value.wgsl and rng.wgsl.
// Activations but those that recurrent kernels use too stand in activation.wgsl.
//
// Names end in `_` where WGSL has a built-in of that name. Saturating functions take only exp of arguments <= 0,
// so no intermediate overflows and +-100 (or +-inf) gives the limit instead of inf / inf.

fn add(a: Value, b: Value) -> Value { return a + b; }
fn sub(a: Value, b: Value) -> Value { return a - b; }
fn mul(a: Value, b: Value) -> Value { return a * b; }
fn div(a: Value, b: Value) -> Value { return a / b; }
fn neg(x: Value) -> Value { return -x; }
fn copy(x: Value) -> Value { return x; }
fn max_(a: Value, b: Value) -> Value { return greatest(a, b); }
fn min_(a: Value, b: Value) -> Value { return least(a, b); }
fn clamp_(x: Value, low: Value, high: Value) -> Value { return least(greatest(x, low), high); }

fn abs_(x: Value) -> Value { return abs(x); }
// 0 for a NaN, of which the built-in says nothing.
fn sign_(x: Value) -> Value {
    return select(select(Value(0.0f), Value(-1.0f), x < Value(0.0f)), Value(1.0f), x > Value(0.0f));
}
fn floor_(x: Value) -> Value { return floor(x); }
fn ceil_(x: Value) -> Value { return ceil(x); }
fn round_(x: Value) -> Value { return round(x); }
fn square(x: Value) -> Value { return x * x; }
fn recip(x: Value) -> Value { return 1.0f / x; }
fn sqrt_(x: Value) -> Value { return sqrt(x); }
fn rsqrt_(x: Value) -> Value { return inverseSqrt(x); }
fn exp_(x: Value) -> Value { return exp(x); }
fn log_(x: Value) -> Value { return log(x); }

// a^b. The built-in is undefined for a < 0, and for a = 0 where b <= 0. x^0 and 1^b are 1, also of a NaN. A whole b of a
// negative a takes the sign from its parity. Any other b gives NaN (the root of a), but of -infinity the power of infinity, as
// in C. 0 keeps its own sign where b is odd.
fn pow_(a: Value, b: Value) -> Value {
    let one = (abs(a) == Value(1.0f)) | (b == Value(0.0f));
    let size = select(pow(abs(a), b), Value(1.0f), one);
    let odd = abs(b - 2.0f * trunc(b * 0.5f)) == Value(1.0f);
    let broken = select(sqrt(a), size, a < Value(-3.4028234e38f));
    let of_negative = select(broken, select(size, -size, odd), trunc(b) == b);
    let inverse = 1.0f / a;
    let of_zero = select(select(Value(0.0f), a, odd), select(abs(inverse), inverse, odd), b < Value(0.0f));
    let zero = (a == Value(0.0f)) & (abs(b) > Value(0.0f));
    let number = select(select(size, of_negative, a < Value(0.0f)), of_zero, zero);
    // Drivers' powers lose a NaN.
    return select(number, a + b, (!(a == a) | !(b == b)) & !one);
}

// x = quarters * pi / 2 + rest, |rest| <= pi / 4. Built-ins may be wrong by 2^-11 even near 0 (Vulkan), hence all this.
struct Turn { rest: Value, quarters: Value }

// By Cody and Waite: pi / 2 in three parts, the first two of 12 bits, times the quarters in two parts of 12 bits. So all products
// but the last are exact, up to 2^24 quarters, and each difference is exact or has an error of 2^-24. Of a large x the first
// guess of the quarters can be off by one; the second mends it.
fn turn(x: Value) -> Turn {
    let guess = round(x * 0.63661975f);
    let high = 4096.0f * trunc(guess * 0.000244140625f);
    let low = guess - high;
    let first = (x - high * 1.57080078125f) - low * 1.57080078125f;
    let second = (first - high * -4.45358455e-6f) - low * -4.45358455e-6f;
    let near = second - guess * -8.7055158e-10f;
    let more = round(near * 0.63661975f);
    return Turn(near - more * 1.5707964f + more * 4.3711388e-8f, guess + more);
}

// sin(rest + quarters * pi / 2): the minimax polynomials of Cephes (sinf.c, Moshier), 3e-8 off at most.
fn sine(rest: Value, quarters: Value) -> Value {
    let s = rest * rest;
    let sin_rest = rest + rest * s * (-0.16666655f + s * (0.0083321609f + s * -0.00019515296f));
    let cos_rest = 1.0f - 0.5f * s + s * s * (0.041666646f + s * (-0.0013887316f + s * 2.4433157e-5f));
    let quadrant = quarters - 4.0f * floor(quarters * 0.25f);
    let value = select(sin_rest, cos_rest, abs(quadrant - 2.0f) == Value(1.0f));
    return select(value, -value, quadrant >= Value(2.0f));
}

// Beyond 2^24 the driver's.
fn sin_(x: Value) -> Value {
    let t = turn(x);
    return select(sine(t.rest, t.quarters), sin(x), abs(x) > Value(16777216.0f));
}
fn cos_(x: Value) -> Value {
    let t = turn(x);
    return select(sine(t.rest, t.quarters + 1.0f), cos(x), abs(x) > Value(16777216.0f));
}

fn greater(a: Value, b: Value) -> Value { return select(Value(0.0f), Value(1.0f), a > b); }
fn greater_equal(a: Value, b: Value) -> Value { return select(Value(0.0f), Value(1.0f), a >= b); }
fn less(a: Value, b: Value) -> Value { return select(Value(0.0f), Value(1.0f), a < b); }
fn less_equal(a: Value, b: Value) -> Value { return select(Value(0.0f), Value(1.0f), a <= b); }
fn equal(a: Value, b: Value) -> Value { return select(Value(0.0f), Value(1.0f), a == b); }
// a where cond is not 0, else b. A NaN is not 0.
fn select_(cond: Value, a: Value, b: Value) -> Value { return select(a, b, cond == Value(0.0f)); }
fn to_f32(x: u32) -> f32 { return f32(x); }
fn to_u32(x: f32) -> u32 { return u32(x); }
// The number with these bits: infinities and NaN have no literal in WGSL.
fn from_bits(bits: u32) -> f32 { return bitcast<f32>(bits); }

// The element of a padded operand where it is its own, and these bits elsewhere.
fn or_padding(x: Value, own: bool, bits: u32) -> Value { return select(Value(from_bits(bits)), x, own); }

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

// 1 - erf(|z|), absolute error 1.5e-7: Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26.
fn erfc_abs(z: Value) -> Value {
    let a = abs(z);
    let t = 1.0f / (1.0f + 0.3275911f * a);
    let p = 0.25482959f + t * (-0.28449674f + t * (1.42141374f + t * (-1.45315203f + t * 1.06140543f)));
    return t * p * exp(-a * a);
}

// Below 0.5 the difference from 1 would cancel, and the Taylor series to x^11 (next term 3e-8 relative) is used instead.
fn erf(x: Value) -> Value {
    let far = 1.0f - erfc_abs(x);
    let s = x * x;
    let tail = -0.02686617f + s * (0.0052239776f + s * -0.00085483270f);
    let series = x * (1.1283792f + s * (-0.3761264f + s * (0.11283792f + s * tail)));
    return select(select(far, -far, x < Value(0.0f)), series, abs(x) < Value(0.5f));
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
