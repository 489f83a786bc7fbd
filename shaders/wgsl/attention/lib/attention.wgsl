// Who attends to whom, and what is added to a score: the rules that all kernels of attention share.
//
// Query i of batch row b stands at position p = i + start among the keys. start is params.start, counted from the row's length if
// params.ragged is 2. The query attends to key j if p - before <= j <= p + after and j < length. Scores are in units of log2, so that
// exp2 serves. Needs the bindings lengths, bias, distance and control, and the constants BIAS, DISTANCE and DROPOUT. A buffer that a
// constant or params.ragged turns off is never read.
//
// Names follow the papers on FlashAttention: S scores, P probabilities, O result (out), lse the logarithm of a row's sum of exponentials,
// delta = rowsum(dout * out), dP = dout v^T.

struct Params {
    heads: u32,       // H
    group: u32,       // query heads to a key head
    queries: u32,     // Tq
    keys: u32,        // Tk
    width: u32,       // D
    value_width: u32, // Dv
    q_batch: u32,     // strides of q and dq; channels lie side by side
    q_head: u32,
    q_time: u32,
    k_batch: u32,     // of k and dk
    k_head: u32,
    k_time: u32,
    v_batch: u32,     // of v and dv
    v_head: u32,
    v_time: u32,
    o_batch: u32,     // of out and its gradient
    o_head: u32,
    o_time: u32,
    scale: f32,       // of the products, times log2 e
    start: i32,
    before: i32,
    after: i32,
    ragged: u32,      // 1: lengths hold; 2: and queries end where their row ends
    bias_batch: u32,  // strides of bias and its gradient; 0 where one serves all
    bias_head: u32,
    slopes: u32,      // 1 if column 0 of `distance` holds slopes
    columns: u32,     // of `distance`
    stream: u32,      // of the random numbers
    keep: f32,        // probability that dropout keeps an element
    begin: u32,       // what a launch sums over, where the kernel says so
    end: u32,
    planes: u32,      // parts along z: batch rows, or biases
}
var<immediate> params: Params;

// A masked score, and the logarithm of an empty sum. Both are finite, because compilers may assume that all numbers are.
const LOWEST: f32 = -1e30f;
const EMPTY: f32 = 1e30f;

const LOG2_E: f32 = 1.4426950408889634f;
const LN_2: f32 = 0.6931471805599453f;

// The number of keys of row b.
fn length_of(b: u32) -> u32 {
    if params.ragged == 0u { return params.keys; }
    return min(lengths[b], params.keys);
}

// The position of query 0.
fn start_of(length: u32) -> i32 { return params.start + select(0, i32(length), params.ragged == 2u); }

// The range from `first` to `last` inclusive, cut to 0 .. limit: its begin and its size.
fn range_below(first: i32, last: i32, limit: u32) -> vec2<u32> {
    let begin = clamp(first, 0, i32(limit));
    let end = clamp(last + 1, begin, i32(limit));
    return vec2(u32(begin), u32(end - begin));
}

// The keys that a query attends to.
fn keys_of(query: u32, start: i32, length: u32) -> vec2<u32> {
    let position = i32(query) + start;
    return range_below(position - params.before, position + params.after, length);
}

// The queries that attend to a key.
fn queries_of(key: u32, start: i32, length: u32) -> vec2<u32> {
    let query = i32(key) - start;
    return range_below(query - params.after, query + params.before, select(0u, params.queries, key < length));
}

// The column of `distance` with the learned term of a distance. Distances beyond an end of the table take its end.
fn column_of(apart: i32) -> u32 {
    let radius = i32((params.columns - params.slopes) / 2u);
    return min(params.slopes + u32(clamp(apart, -radius, radius) + radius), params.columns - 1u);
}

// What the bias adds to the score of a query and a key.
fn bias_term(b: u32, h: u32, query: u32, key: u32) -> f32 {
    return bias[b * params.bias_batch + h * params.bias_head + query * params.keys + key] * LOG2_E;
}

// What their distance adds: -slope |j - p|, and the learned term of j - p.
fn distance_term(h: u32, query: u32, key: u32, start: i32) -> f32 {
    let apart = i32(key) - i32(query) - start;
    let row = h * params.columns;
    var sum = 0.0f;
    if params.slopes > 0u { sum -= distance[row] * abs(f32(apart)); }
    if params.columns > params.slopes { sum += distance[row + column_of(apart)]; }
    return sum * LOG2_E;
}

// Both.
fn term(b: u32, h: u32, query: u32, key: u32, start: i32) -> f32 {
    var sum = 0.0f;
    if BIAS { sum += bias_term(b, h, query, key); }
    if DISTANCE { sum += distance_term(h, query, key, start); }
    return sum;
}

// What dropout multiplies a probability with: the same number forward and backward.
fn dropout_factor(b: u32, h: u32, query: u32, key: u32) -> f32 {
    let index = ((b * params.heads + h) * params.queries + query) * params.keys + key;
    return select(0.0f, 1.0f / params.keep, uniform(control.seed, params.stream, index) < params.keep);
}
