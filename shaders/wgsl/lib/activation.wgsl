// The activations of fused code. Needs pointwise.wgsl.
//
// As there, exp takes only arguments <= 0, and what would be inf * 0 or inf - inf at the ends is written out.

fn leaky_relu(x: Value, slope: Value) -> Value { return select(x * slope, x, x > Value(0.0f)); }

// alpha * (e^x - 1) left of 0. Near 0 the difference cancels, and the Taylor series to x^6 (next term 5e-8 relative) is used.
fn elu(x: Value, alpha: Value) -> Value {
    let series = x * (1.0f + x * (0.5f + x * (0.16666667f + x * (0.041666668f + x * (0.0083333338f + x * 0.0013888889f)))));
    return select(alpha * select(exp(x) - 1.0f, series, x > Value(-0.25f)), x, x > Value(0.0f));
}

// x / 6 * min(max(x + 3, 0), 6). The limit at -inf (inf * 0) is written out.
fn hard_swish(x: Value) -> Value {
    let gate = clamp(x + 3.0f, Value(0.0f), Value(6.0f)) * 0.16666667f;
    return select(x * gate, Value(0.0f), x < Value(-3.0f));
}

// max(x, 0) + ln(1 + t), t = e^-|x|. 1 + t would lose a small t: the logarithm is 2 atanh(t / (2 + t)) by its series (next term 1e-8
// relative).
fn softplus(x: Value) -> Value {
    let t = exp(-abs(x));
    let r = t / (2.0f + t);
    let s = r * r;
    let tail = 0.14285715f + s * (0.11111111f + s * (0.09090909f + s * 0.07692308f));
    return greatest(x, Value(0.0f)) + 2.0f * r * (1.0f + s * (0.33333334f + s * (0.2f + s * tail)));
}

// x * sigmoid(x), and its derivative. Beyond +-104, where sigmoid is 0 or 1 in f32, the limit stands instead of inf * 0.
fn silu(x: Value) -> Value { return select(x * sigmoid(x), Value(0.0f), x < Value(-104.0f)); }
fn silu_grad(x: Value) -> Value {
    let y = within(x, 104.0f);
    let s = sigmoid(y);
    return s * (1.0f + y * (1.0f - s));
}

// tanh(ln(1 + e^x)) = (e^2x + 2e^x) / (e^2x + 2e^x + 2), by t = e^-|x|.
fn mish_gate(x: Value) -> Value {
    let t = exp(-abs(x));
    let right = (1.0f + 2.0f * t) / (1.0f + 2.0f * t + 2.0f * t * t);
    let left = t * (t + 2.0f) / (t * (t + 2.0f) + 2.0f);
    return select(left, right, x > Value(0.0f));
}
// x * mish_gate(x), and its derivative. Beyond +-104 the limit stands instead of inf * 0.
fn mish(x: Value) -> Value { return select(x * mish_gate(x), Value(0.0f), x < Value(-104.0f)); }
fn mish_grad(x: Value) -> Value {
    let y = within(x, 104.0f);
    let w = mish_gate(y);
    return w + y * sigmoid(y) * (1.0f - w * w);
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
