// A tile of scores S (or P, dP, dS) in a workgroup of 64: 32 rows that it owns by 32 rows that it walks, 16 numbers an invocation.
// The owned rows stay (queries, or keys in the kernel of keys and values), the walked rows change from tile to tile.
//
// Invocation i has the owned rows i / 8 + 8 n and the walked rows i % 8 + 8 m, n and m below 4, so that neighbours read neighbouring
// words. Operands pass through `staged` some channels at a time. `shared_tile` holds a tile of P or dS for the product with walked rows.
// A kernel defines `load_owned` and `load_walked`: one channel at an index. Their first argument says of which pair of operands: QK
// or DO_V.

// q and k, whose products are the scores S.
const QK: bool = false;
// dout and v, whose products are dP. Forward, v alone.
const DO_V: bool = true;

const TILE: u32 = 32u;
const WORKGROUP: u32 = 64u;
const DEPTH: u32 = 16u;
const PITCH: u32 = TILE + 4u;
const RIGHT: u32 = DEPTH * PITCH;
const CHANNELS: u32 = 64u; // of a result that a workgroup computes
const CHANNEL_PITCH: u32 = CHANNELS + 4u;
const SHARED_PITCH: u32 = TILE + 1u;

var<workgroup> staged: array<f32, 2u * DEPTH * PITCH>; // two of [DEPTH,TILE], or one [DEPTH,CHANNELS]
var<workgroup> shared_tile: array<f32, TILE * SHARED_PITCH>; // [owned,walked]

// Rows of a buffer: row r begins at base + r * stride. The tile has those from `first` on; those below `end` exist.
struct TileRows { base: u32, stride: u32, first: u32, end: u32 }

// The dot products of owned rows with walked rows, over `width` channels: a tile of S or dP.
fn workgroup_dots(pair: bool, a: TileRows, b: TileRows, width: u32, lid: u32) -> array<f32, 16> {
    var s: array<f32, 16>;
    for (var e = 0u; e < 16u; e++) { s[e] = 0.0f; }
    for (var p0 = 0u; p0 < width; p0 += DEPTH) {
        workgroupBarrier();
        for (var e = lid; e < TILE * DEPTH; e += WORKGROUP) {
            let r = e / DEPTH;
            let p = e % DEPTH;
            let inside = p0 + p < width;
            var x = 0.0f;
            var y = 0.0f;
            if inside && a.first + r < a.end { x = load_owned(pair, a.base + (a.first + r) * a.stride + p0 + p); }
            if inside && b.first + r < b.end { y = load_walked(pair, b.base + (b.first + r) * b.stride + p0 + p); }
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

fn share_tile(s: array<f32, 16>, lid: u32) {
    var values = s;
    for (var e = 0u; e < 16u; e++) { shared_tile[(lid / 8u + 8u * (e / 4u)) * SHARED_PITCH + lid % 8u + 8u * (e % 4u)] = values[e]; }
}

// sums + `shared_tile` times the walked rows, CHANNELS channels of them: 4 owned rows by 8 channels an invocation.
fn combine_rows(pair: bool, b: TileRows, channel: u32, width: u32, sums: array<f32, 32>, lid: u32) -> array<f32, 32> {
    var s = sums;
    for (var r0 = 0u; r0 < TILE; r0 += DEPTH) {
        workgroupBarrier();
        for (var e = lid; e < DEPTH * CHANNELS; e += WORKGROUP) {
            let r = b.first + r0 + e / CHANNELS;
            let c = channel + e % CHANNELS;
            var x = 0.0f;
            if r < b.end && c < width { x = load_walked(pair, b.base + r * b.stride + c); }
            staged[e / CHANNELS * CHANNEL_PITCH + e % CHANNELS] = x;
        }
        workgroupBarrier();
        for (var r = 0u; r < DEPTH; r++) {
            var x: array<f32, 4>;
            for (var e = 0u; e < 4u; e++) { x[e] = shared_tile[(lid / 8u + 8u * e) * SHARED_PITCH + r0 + r]; }
            for (var e = 0u; e < 32u; e++) {
                s[e] = fma(x[e / 8u], staged[r * CHANNEL_PITCH + lid % 8u + 8u * (e % 8u)], s[e]);
            }
        }
    }
    return s;
}

// P = 2^(s - lse), and 0 for a score that is masked.
fn probability(s: f32, lse: f32) -> f32 { return select(exp2(s - lse), 0.0f, s <= LOWEST); }
