// Back through one LSTM layer over a range of time steps, for adapters that run shaders on the CPU's vector units.
//
// dh = dy[t] + dz[t+1] W_hh (+ dh_n at the last true step);  dc += dh o (1 - tanh(c)^2)
// dz_i = dc g i(1-i);  dz_f = dc c[t-1] f(1-f);  dz_g = dc i (1-g^2);  dz_o = dh tanh(c) o(1-o);  dc = dc f
//
// A workgroup is one subgroup and owns ROWS rows of the batch and its share of the hidden units; a lane computes dh of
// four units for all rows at a time. Steps params.t, params.t - 1, ...: `steps` of them, the first launch from T-1.
// Grid: (groups, ceil(B / ROWS)). If MANY, one group in x, and a launch runs any number of steps, a barrier apart; if
// not, up to ceil(H / (4 LANES)) groups and one step (see the forward kernel).
// dc stays with the lane that owns the unit. Padded steps get dz = 0, so that they add nothing to a row's last true
// step nor, later, to the gradient of the weights.
//
// Numeric: f32 FMA in the order of k, then dy and dh_n are added. dc starts as dc_n and ends as the gradient of c0.

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const MANY: bool = false; // spec

// Values of k in an unrolled step: as many as the subgroup can load at once, 4 or 8.
const STEP: u32 = select(8u, 4u, LANES < 8u);

struct Params {
    batch: u32,
    time: u32,
    hidden: u32,
    t: u32,
    steps: u32,
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
fn finish_unit(row: u32, t: u32, j: u32, sum: f32) {
    if j >= params.hidden { return; }
    let H = params.hidden;
    let length = lengths[row];
    let step = row * params.time + t;
    let state = row * H + j;
    let at = step * 4u * H + j;
    let live = t < length;
    // The step from which dc starts; a row without a true step keeps what starts it.
    let last = t + 1u == max(length, 1u);
    var dh = sum + dy[step * H + j];
    var dcell: f32;
    if last {
        dh += dh_n[state];
        dcell = dc_n[state];
    } else {
        dcell = dc[state];
    }
    let i = gates[at];
    let f = gates[at + H];
    let g = gates[at + 2u * H];
    let o = gates[at + 3u * H];
    let saturated = tanh_(cells[step * H + j]);
    var before: f32;
    if t == 0u { before = c0[state]; } else { before = cells[(step - 1u) * H + j]; }
    let total = dcell + dh * o * (1.0f - saturated * saturated);
    dz[at] = select(0.0f, total * g * i * (1.0f - i), live);
    dz[at + H] = select(0.0f, total * before * f * (1.0f - f), live);
    dz[at + 2u * H] = select(0.0f, total * i * (1.0f - g * g), live);
    dz[at + 3u * H] = select(0.0f, dh * saturated * o * (1.0f - o), live);
    if live || last { dc[state] = select(dcell, total * f, live); }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let H = params.hidden;
    let first = tile.y * ROWS;
    let rows = min(ROWS, params.batch - first);

    let steps = select(1u, params.steps, MANY);
    for (var done = 0u; done < steps; done++) {
        let t = params.t - done;
        let at0 = row_offsets(first, t + 1u);
        let at1 = row_offsets(first + 8u, t + 1u);
        let at2 = row_offsets(first + 16u, t + 1u);
        let at3 = row_offsets(first + 24u, t + 1u);
        // Nothing comes back into the last step.
        let stop = select(4u * H, 0u, t + 1u == params.time);
        let whole = stop - stop % STEP;
        for (var block = tile.x * 4u * LANES; block < H; block += tiles.x * 4u * LANES) {
            let j = block + lane;
            let units = min(j + vec4(0u, LANES, 2u * LANES, 3u * LANES), vec4(H - 1u));
            var s0: Sums;
            var s1: Sums;
            var s2: Sums;
            var s3: Sums;
            for (var k = 0u; k < whole; k += STEP) {
                let along = k + lane % STEP;
                let v0 = load_dz(at0, along);
                var v1: Values;
                var v2: Values;
                var v3: Values;
                if ROWS > 8u { v1 = load_dz(at1, along); }
                if ROWS > 16u { v2 = load_dz(at2, along); v3 = load_dz(at3, along); }
                let strip = load_strip(units, k);
                s0 = dot_rows(v0, strip, s0);
                if ROWS > 8u { s1 = dot_rows(v1, strip, s1); }
                if ROWS > 16u { s2 = dot_rows(v2, strip, s2); s3 = dot_rows(v3, strip, s3); }
            }
            for (var k = whole; k < stop; k++) {
                let w = load_w(units, k);
                s0 = add_outer(load_dz(at0, k), w, s0);
                if ROWS > 8u { s1 = add_outer(load_dz(at1, k), w, s1); }
                if ROWS > 16u {
                    s2 = add_outer(load_dz(at2, k), w, s2);
                    s3 = add_outer(load_dz(at3, k), w, s3);
                }
            }
            // One loop, with an end that no compiler knows: unrolled, it takes seconds to compile.
            var sums = array<array<vec4<f32>, 8>, 4>(as_rows(s0), as_rows(s1), as_rows(s2), as_rows(s3));
            for (var e = 0u; e < 4u * rows; e++) {
                let r = e / 4u;
                finish_unit(first + r, t, j + e % 4u * LANES, sums[r / 8u][r % 8u][e % 4u]);
            }
        }
        if MANY { storageBarrier(); }
    }
}
