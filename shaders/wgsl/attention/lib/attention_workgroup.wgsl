// A tile of scores shared out in a workgroup of 64: 32 rows that it owns by 32 that it walks, 16 scores an invocation.
//
// Invocation i has the rows i / 8 + 8 n of the owned and i % 8 + 8 m of the walked, n and m below 4, so that neighbours
// read neighbouring words. What rows are multiplied from passes through `staged` some channels at a time; `shares` holds
// a tile of weights, or of gradients, for the product that mixes walked rows by it. A kernel defines the loads `left`, of
// the owned rows, and `right`, of the walked ones: of queries and keys, or with `values` of values and the result's gradient.

const SIDE: u32 = 32u;
const WORKGROUP: u32 = 64u;
const DEPTH: u32 = 16u;
const PITCH: u32 = SIDE + 4u;
const RIGHT: u32 = DEPTH * PITCH;
const CHANNELS: u32 = 64u; // of a result that a workgroup computes
const CHANNEL_PITCH: u32 = CHANNELS + 4u;
const SHARE_PITCH: u32 = SIDE + 1u;

var<workgroup> staged: array<f32, 2u * DEPTH * PITCH>; // two of [DEPTH,SIDE], or one [DEPTH,CHANNELS]
var<workgroup> shares: array<f32, SIDE * SHARE_PITCH>; // [owned,walked]

// Rows of a buffer: row r begins at base + r * stride; the tile has those from `first` on, of which those below `end` exist.
struct Rows { base: u32, stride: u32, first: u32, end: u32 }

// Owned rows times walked rows, `width` channels of each.
fn products(values: bool, a: Rows, b: Rows, width: u32, lid: u32) -> array<f32, 16> {
    var s: array<f32, 16>;
    for (var e = 0u; e < 16u; e++) { s[e] = 0.0f; }
    for (var p0 = 0u; p0 < width; p0 += DEPTH) {
        workgroupBarrier();
        for (var e = lid; e < SIDE * DEPTH; e += WORKGROUP) {
            let r = e / DEPTH;
            let p = e % DEPTH;
            let inside = p0 + p < width;
            var x = 0.0f;
            var y = 0.0f;
            if inside && a.first + r < a.end { x = left(values, a.base + (a.first + r) * a.stride + p0 + p); }
            if inside && b.first + r < b.end { y = right(values, b.base + (b.first + r) * b.stride + p0 + p); }
            staged[p * PITCH + r] = x;
            staged[RIGHT + p * PITCH + r] = y;
        }
        workgroupBarrier();
        for (var p = 0u; p < DEPTH; p++) {
            var x: array<f32, 4>;
            var y: array<f32, 4>;
            for (var e = 0u; e < 4u; e++) {
                x[e] = staged[p * PITCH + lid / 8u + 8u * e];
                y[e] = staged[RIGHT + p * PITCH + lid % 8u + 8u * e];
            }
            for (var e = 0u; e < 16u; e++) { s[e] = fma(x[e / 4u], y[e % 4u], s[e]); }
        }
    }
    return s;
}

fn share(s: array<f32, 16>, lid: u32) {
    var values = s;
    for (var e = 0u; e < 16u; e++) { shares[(lid / 8u + 8u * (e / 4u)) * SHARE_PITCH + lid % 8u + 8u * (e % 4u)] = values[e]; }
}

// sums + CHANNELS channels of the walked rows mixed by `shares`: 4 owned rows by 8 channels an invocation.
fn mix(values: bool, b: Rows, channel: u32, width: u32, sums: array<f32, 32>, lid: u32) -> array<f32, 32> {
    var s = sums;
    for (var r0 = 0u; r0 < SIDE; r0 += DEPTH) {
        workgroupBarrier();
        for (var e = lid; e < DEPTH * CHANNELS; e += WORKGROUP) {
            let r = b.first + r0 + e / CHANNELS;
            let c = channel + e % CHANNELS;
            var x = 0.0f;
            if r < b.end && c < width { x = right(values, b.base + r * b.stride + c); }
            staged[e / CHANNELS * CHANNEL_PITCH + e % CHANNELS] = x;
        }
        workgroupBarrier();
        for (var r = 0u; r < DEPTH; r++) {
            var x: array<f32, 4>;
            for (var e = 0u; e < 4u; e++) { x[e] = shares[(lid / 8u + 8u * e) * SHARE_PITCH + r0 + r]; }
            for (var e = 0u; e < 32u; e++) {
                s[e] = fma(x[e / 8u], staged[r * CHANNEL_PITCH + lid % 8u + 8u * (e % 8u)], s[e]);
            }
        }
    }
    return s;
}

// 2^(s - lse), and 0 for a score that does not count.
fn weight(s: f32, lse: f32) -> f32 { return select(exp2(s - lse), 0.0f, s <= LOWEST); }
