// Back through one LSTM layer in one dispatch, for adapters that run shaders on the CPU's vector units.
//
// dh = dy[t] + dz[t+1] W_hh (+ dh_n at the last true step);  dc += dh o (1 - tanh(c)^2)
// dz_i = dc g i(1-i);  dz_f = dc c[t-1] f(1-f);  dz_g = dc i (1-g^2);  dz_o = dh tanh(c) o(1-o);  dc = dc f
//
// Grid: ceil(B / ROWS) workgroups. A workgroup is one subgroup, owns ROWS rows of the batch and loops from T-1 to 0;
// a lane computes dh of four hidden units for all its rows at a time. dz is what a step hands to the one before,
// across lanes, hence one barrier a step; dc stays with the lane that owns the unit. Padded steps get dz = 0, so that
// they add nothing to a row's last true step nor, later, to the gradient of the weights.
//
// Numeric: f32 FMA in the order of k, then dy and dh_n are added. dc starts as dc_n and ends as the gradient of c0.

const LANES: u32 = 8u; // spec
const ROWS: u32 = 16u; // spec

// Values of k in an unrolled step: as many as the subgroup can load at once, 4 or 8.
const STEP: u32 = select(8u, 4u, LANES < 8u);

struct Params {
    batch: u32,
    time: u32,
    hidden: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> dy: array<f32>; // [B,T,H]
@group(0) @binding(1) var<storage, read> w_hh: array<f32>; // [4H,H]
@group(0) @binding(2) var<storage, read> gates: array<f32>; // [B,T,4H], activated: i, f, g, o
@group(0) @binding(3) var<storage, read> cells: array<f32>; // [B,T,H]
@group(0) @binding(4) var<storage, read> c0: array<f32>; // [B,H]
@group(0) @binding(5) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(6) var<storage, read> dh_n: array<f32>; // [B,H]
@group(0) @binding(7) var<storage, read> dc_n: array<f32>; // [B,H]
@group(0) @binding(8) var<storage, read_write> dz: array<f32>; // [B,T,4H]
@group(0) @binding(9) var<storage, read_write> dc: array<f32>; // [B,H]

// Where dz of step t of a row begins.
fn row_offset(row: u32, t: u32) -> u32 {
    return (min(row, params.batch - 1u) * params.time + t) * 4u * params.hidden;
}

fn row_offsets(row: u32, t: u32) -> Offsets {
    return Offsets(
        row_offset(row, t), row_offset(row + 1u, t), row_offset(row + 2u, t), row_offset(row + 3u, t),
        row_offset(row + 4u, t), row_offset(row + 5u, t), row_offset(row + 6u, t), row_offset(row + 7u, t),
    );
}

fn load_dz(at: Offsets, k: u32) -> Values {
    return Values(
        dz[at.r0 + k], dz[at.r1 + k], dz[at.r2 + k], dz[at.r3 + k],
        dz[at.r4 + k], dz[at.r5 + k], dz[at.r6 + k], dz[at.r7 + k],
    );
}

// Row k of the weights at this lane's four units.
fn load_w(units: vec4<u32>, k: u32) -> vec4<f32> {
    let at = units + k * params.hidden;
    return vec4(w_hh[at.x], w_hh[at.y], w_hh[at.z], w_hh[at.w]);
}

fn load_strip(units: vec4<u32>, k: u32) -> Strip {
    var strip: Strip;
    strip.p0 = load_w(units, k);
    strip.p1 = load_w(units, k + 1u);
    strip.p2 = load_w(units, k + 2u);
    strip.p3 = load_w(units, k + 3u);
    if STEP > 4u {
        strip.p4 = load_w(units, k + 4u);
        strip.p5 = load_w(units, k + 5u);
        strip.p6 = load_w(units, k + 6u);
        strip.p7 = load_w(units, k + 7u);
    }
    return strip;
}

// dz of unit j of one row, and its dc; `sum` is its part of dz[t+1] W_hh.
fn finish(row: u32, t: u32, j: u32, sum: f32) {
    if row >= params.batch || j >= params.hidden { return; }
    let H = params.hidden;
    let step = row * params.time + t;
    let state = row * H + j;
    let at = step * 4u * H + j;
    var d = vec4<f32>();
    if t < lengths[row] {
        let i = gates[at];
        let f = gates[at + H];
        let g = gates[at + 2u * H];
        let o = gates[at + 3u * H];
        let saturated = tanh_(cells[step * H + j]);
        var before = c0[state];
        if t > 0u { before = cells[(step - 1u) * H + j]; }
        var dh = sum + dy[step * H + j];
        if t + 1u == lengths[row] { dh += dh_n[state]; }
        let dcell = dc[state] + dh * o * (1.0f - saturated * saturated);
        d = vec4(
            dcell * g * i * (1.0f - i),
            dcell * before * f * (1.0f - f),
            dcell * i * (1.0f - g * g),
            dh * saturated * o * (1.0f - o),
        );
        dc[state] = dcell * f;
    }
    dz[at] = d.x;
    dz[at + H] = d.y;
    dz[at + 2u * H] = d.z;
    dz[at + 3u * H] = d.w;
}

// A loop with an end that no compiler knows: unrolled, this is most of the kernel and takes seconds to compile.
fn finish_rows(row: u32, t: u32, j: u32, s: Sums) {
    var rows = array<vec4<f32>, 8>(s.r0, s.r1, s.r2, s.r3, s.r4, s.r5, s.r6, s.r7);
    let end = min(row + 8u, params.batch);
    for (var b = row; b < end; b++) {
        let sum = rows[b - row];
        finish(b, t, j, sum.x);
        finish(b, t, j + LANES, sum.y);
        finish(b, t, j + 2u * LANES, sum.z);
        finish(b, t, j + 3u * LANES, sum.w);
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let H = params.hidden;
    let first = tile.x * ROWS;
    let end = min(first + ROWS, params.batch);
    let whole = 4u * H - (4u * H) % STEP;

    var longest = 0u;
    for (var row = first; row < end; row++) {
        longest = max(longest, lengths[row]);
    }
    // The lane that later owns a unit initialises its dc, so no barrier is needed.
    for (var block = 0u; block < H; block += 4u * LANES) {
        for (var part = 0u; part < 4u; part++) {
            let j = block + part * LANES + lane;
            if j < H {
                for (var row = first; row < end; row++) { dc[row * H + j] = dc_n[row * H + j]; }
            }
        }
    }

    for (var back = 1u; back <= params.time; back++) {
        let t = params.time - back;
        let at0 = row_offsets(first, t + 1u);
        let at1 = row_offsets(first + 8u, t + 1u);
        // There is nothing to take from a step that no row reaches.
        let stop = select(0u, 4u * H, t + 1u < longest);
        for (var block = 0u; block < H; block += 4u * LANES) {
            let j = block + lane;
            let units = min(j + vec4(0u, LANES, 2u * LANES, 3u * LANES), vec4(H - 1u));
            var s0: Sums;
            var s1: Sums;
            for (var k = 0u; k < min(whole, stop); k += STEP) {
                let along = k + lane % STEP;
                let v0 = load_dz(at0, along);
                var v1: Values;
                if ROWS > 8u { v1 = load_dz(at1, along); }
                let strip = load_strip(units, k);
                s0 = dot_rows(v0, strip, s0);
                if ROWS > 8u { s1 = dot_rows(v1, strip, s1); }
            }
            for (var k = whole; k < stop; k++) {
                let weights = load_w(units, k);
                s0 = add_outer(load_dz(at0, k), weights, s0);
                if ROWS > 8u { s1 = add_outer(load_dz(at1, k), weights, s1); }
            }
            finish_rows(first, t, j, s0);
            if ROWS > 8u { finish_rows(first + 8u, t, j, s1); }
        }
        storageBarrier();
    }
}
