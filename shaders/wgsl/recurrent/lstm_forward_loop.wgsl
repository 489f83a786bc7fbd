// One LSTM layer over whole sequences in one dispatch, for adapters that run shaders on the CPU's vector units.
//
// z = x_proj[b,t] + h W_hh^T;  i,f,o = sigmoid(z_i, z_f, z_o);  g = tanh(z_g);  c = f c + i g;  h = o tanh(c)
//
// Grid: ceil(B / ROWS) workgroups. A workgroup is one subgroup, owns ROWS rows of the batch, loops over all T and needs
// no other: a lane computes the four gates of one hidden unit for all its rows at a time, as the parts of a vec4, so
// that the gate arithmetic needs no exchange. h of the step before lies in h_n, c in c_n; the new h goes to y and
// from there to h_n once every lane has read the old one. Two barriers a step are the whole synchronisation.
// Padded steps (t >= length) write 0 and leave h_n and c_n, which end as the states of each row's last true step.
//
// Numeric: f32 FMA in the order of k, then x_proj is added. Saturation as in lib/pointwise.wgsl.

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

@group(0) @binding(0) var<storage, read> x_proj: array<f32>; // [B,T,4H]
@group(0) @binding(1) var<storage, read> w_hh: array<f32>; // [4H,H]
@group(0) @binding(2) var<storage, read> h0: array<f32>; // [B,H]
@group(0) @binding(3) var<storage, read> c0: array<f32>; // [B,H]
@group(0) @binding(4) var<storage, read> lengths: array<u32>; // [B]
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // [B,T,H]
@group(0) @binding(6) var<storage, read_write> gates: array<f32>; // [B,T,4H], activated: i, f, g, o
@group(0) @binding(7) var<storage, read_write> cells: array<f32>; // [B,T,H]
@group(0) @binding(8) var<storage, read_write> h_n: array<f32>; // [B,H]
@group(0) @binding(9) var<storage, read_write> c_n: array<f32>; // [B,H]

fn row_offset(row: u32) -> u32 { return min(row, params.batch - 1u) * params.hidden; }

fn row_offsets(row: u32) -> Offsets {
    return Offsets(
        row_offset(row), row_offset(row + 1u), row_offset(row + 2u), row_offset(row + 3u),
        row_offset(row + 4u), row_offset(row + 5u), row_offset(row + 6u), row_offset(row + 7u),
    );
}

fn load_h(at: Offsets, k: u32) -> Values {
    return Values(
        h_n[at.r0 + k], h_n[at.r1 + k], h_n[at.r2 + k], h_n[at.r3 + k],
        h_n[at.r4 + k], h_n[at.r5 + k], h_n[at.r6 + k], h_n[at.r7 + k],
    );
}

// The weights of one unit's four gates at k.
fn load_w(units: vec4<u32>, k: u32) -> vec4<f32> {
    return vec4(w_hh[units.x + k], w_hh[units.y + k], w_hh[units.z + k], w_hh[units.w + k]);
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

// The gates, the cell and the output of unit j of one row; `sum` is its part of h W_hh^T.
fn finish_row(row: u32, t: u32, j: u32, sum: vec4<f32>) {
    if row >= params.batch || j >= params.hidden { return; }
    let H = params.hidden;
    let step = row * params.time + t;
    let state = row * H + j;
    let at = step * 4u * H + j;
    var gate = vec4<f32>();
    var c = 0.0f;
    var h = 0.0f;
    if t < lengths[row] {
        let z = sum + vec4(x_proj[at], x_proj[at + H], x_proj[at + 2u * H], x_proj[at + 3u * H]);
        gate = vec4(sigmoid(z.x), sigmoid(z.y), tanh_(z.z), sigmoid(z.w));
        c = gate.y * c_n[state] + gate.x * gate.z;
        h = gate.w * tanh_(c);
        c_n[state] = c;
    }
    gates[at] = gate.x;
    gates[at + H] = gate.y;
    gates[at + 2u * H] = gate.z;
    gates[at + 3u * H] = gate.w;
    cells[step * H + j] = c;
    y[step * H + j] = h;
}

// A loop with an end that no compiler knows: unrolled, this is most of the kernel and takes seconds to compile.
fn finish_rows(row: u32, t: u32, j: u32, s: Sums) {
    var rows = array<vec4<f32>, 8>(s.r0, s.r1, s.r2, s.r3, s.r4, s.r5, s.r6, s.r7);
    let end = min(row + 8u, params.batch);
    for (var b = row; b < end; b++) {
        finish_row(b, t, j, rows[b - row]);
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let H = params.hidden;
    let first = tile.x * ROWS;
    let end = min(first + ROWS, params.batch);
    let at0 = row_offsets(first);
    let at1 = row_offsets(first + 8u);
    let whole = H - H % STEP;

    var longest = 0u;
    for (var row = first; row < end; row++) {
        longest = max(longest, lengths[row]);
        for (var j = lane; j < H; j += LANES) {
            h_n[row * H + j] = h0[row * H + j];
            c_n[row * H + j] = c0[row * H + j];
        }
    }
    storageBarrier();

    for (var t = 0u; t < params.time; t++) {
        for (var block = 0u; block < H; block += LANES) {
            let j = block + lane;
            let units = (min(j, H - 1u) + vec4(0u, H, 2u * H, 3u * H)) * H;
            var s0: Sums;
            var s1: Sums;
            // Past the longest row there is only padding to write.
            let stop = select(0u, H, t < longest);
            for (var k = 0u; k < min(whole, stop); k += STEP) {
                let along = k + lane % STEP;
                let v0 = load_h(at0, along);
                var v1: Values;
                if ROWS > 8u { v1 = load_h(at1, along); }
                let strip = load_strip(units, k);
                s0 = dot_rows(v0, strip, s0);
                if ROWS > 8u { s1 = dot_rows(v1, strip, s1); }
            }
            for (var k = whole; k < stop; k++) {
                let weights = load_w(units, k);
                s0 = add_outer(load_h(at0, k), weights, s0);
                if ROWS > 8u { s1 = add_outer(load_h(at1, k), weights, s1); }
            }
            finish_rows(first, t, j, s0);
            if ROWS > 8u { finish_rows(first + 8u, t, j, s1); }
        }
        storageBarrier();
        for (var row = first; row < end; row++) {
            if t < lengths[row] {
                for (var j = lane; j < H; j += LANES) {
                    h_n[row * H + j] = y[(row * params.time + t) * H + j];
                }
            }
        }
        storageBarrier();
    }
}
