// What the forward kernels of norms do with a row whose first element and mean are known. Needs value.wgsl, the constant CENTRED,
// `params.cols`, and the bindings x, weight, bias and y.
//
// A row counts Values. An invocation takes those from `lane` on, `step` apart. m is the mean less the row's first element. Subtracting the
// first element first keeps the digits that a large mean would cost.

// The sum of (x - mean)^2, each component of a Value on its own.
fn squared_deviations(begin: u32, lane: u32, step: u32, first: f32, m: f32) -> Value {
    var sum = Value(0.0f);
    for (var j = lane; j < params.cols; j += step) {
        let d = (x[begin + j] - first) - m;
        sum += d * d;
    }
    return sum;
}

// y = (x - mean) * r * weight + bias, without the bias unless CENTRED.
fn normalise(begin: u32, lane: u32, step: u32, first: f32, m: f32, r: f32) {
    for (var j = lane; j < params.cols; j += step) {
        let scaled = ((x[begin + j] - first) - m) * r * weight[j];
        if CENTRED {
            y[begin + j] = scaled + bias[j];
        } else {
            y[begin + j] = scaled;
        }
    }
}
