// LSTM over a range of time steps, for adapters that run shaders on the CPU's vector units.
//
// z = x_proj[b,t] + h W_hh^T;  i,f,o = sigmoid(z_i, z_f, z_o);  g = tanh(z_g);  c = f c + i g;  h = o tanh(c)
//
// A workgroup is one subgroup and owns ROWS rows of the batch and its share of the hidden units; a lane computes the
// four gates of one unit for all rows at a time, as the parts of a vec4, so the gate arithmetic needs no exchange.
// Grid: (groups, ceil(B / ROWS)). If MANY, one group in x, and a launch runs `steps` steps, a barrier apart. If not, up
// to ceil(H / LANES) groups and one step, as groups cannot wait for each other: unless H is small, more cores and the
// saved barrier (by which such an adapter makes a coroutine of the kernel) are worth more than a launch per step.
// FIRST is the launch of t = 0, which reads h0 and c0; all others read y and cells of the step before. Two
// specialisations, since a choice of buffer in the inner loop costs the loads of both.
// Padded steps (t >= length) write 0; h_n and c_n get the states of each row's last true step, else h0 and c0.
//
// Numeric: f32 FMA in the order of k, then x_proj is added. Saturation as in lib/pointwise.wgsl.

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const FIRST: bool = false; // spec
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

// Where the rows of the state before step 1 (of step 0 if FIRST) begin.
fn row_offset(row: u32) -> u32 {
    let b = min(row, params.batch - 1u);
    if FIRST { return b * params.hidden; }
    return b * params.time * params.hidden;
}

fn row_offsets(row: u32) -> Offsets {
    return Offsets(
        row_offset(row), row_offset(row + 1u), row_offset(row + 2u), row_offset(row + 3u),
        row_offset(row + 4u), row_offset(row + 5u), row_offset(row + 6u), row_offset(row + 7u),
    );
}

fn load_h(at: Offsets, k: u32) -> Values {
    if FIRST {
        return Values(
            h0[at.r0 + k], h0[at.r1 + k], h0[at.r2 + k], h0[at.r3 + k],
            h0[at.r4 + k], h0[at.r5 + k], h0[at.r6 + k], h0[at.r7 + k],
        );
    }
    return Values(
        y[at.r0 + k], y[at.r1 + k], y[at.r2 + k], y[at.r3 + k],
        y[at.r4 + k], y[at.r5 + k], y[at.r6 + k], y[at.r7 + k],
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
    if j >= params.hidden { return; }
    let H = params.hidden;
    let length = lengths[row];
    let step = row * params.time + t;
    let state = row * H + j;
    let at = step * 4u * H + j;
    var before: f32;
    if FIRST { before = c0[state]; } else { before = cells[(step - 1u) * H + j]; }
    let z = sum + vec4(x_proj[at], x_proj[at + H], x_proj[at + 2u * H], x_proj[at + 3u * H]);
    let live = t < length;
    let gate = select(vec4<f32>(), vec4(sigmoid(z.x), sigmoid(z.y), tanh_(z.z), sigmoid(z.w)), live);
    let c = gate.y * before + gate.x * gate.z;
    let h = gate.w * tanh_(c);
    gates[at] = gate.x;
    gates[at + H] = gate.y;
    gates[at + 2u * H] = gate.z;
    gates[at + 3u * H] = gate.w;
    cells[step * H + j] = c;
    y[step * H + j] = h;
    if t + 1u == length {
        h_n[state] = h;
        c_n[state] = c;
    }
    if FIRST && length == 0u {
        h_n[state] = h0[state];
        c_n[state] = before;
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let H = params.hidden;
    let first = tile.y * ROWS;
    let at0 = row_offsets(first);
    let at1 = row_offsets(first + 8u);
    let at2 = row_offsets(first + 16u);
    let at3 = row_offsets(first + 24u);
    let rows = min(ROWS, params.batch - first);
    let whole = H - H % STEP;

    let end = params.t + select(1u, params.steps, MANY);
    for (var t = params.t; t < end; t++) {
        let before = select((t - 1u) * H, 0u, FIRST);
        for (var block = tile.x * LANES; block < H; block += tiles.x * LANES) {
            let j = block + lane;
            let units = (min(j, H - 1u) + vec4(0u, H, 2u * H, 3u * H)) * H;
            var s0: Sums;
            var s1: Sums;
            var s2: Sums;
            var s3: Sums;
            for (var k = 0u; k < whole; k += STEP) {
                let along = before + k + lane % STEP;
                let v0 = load_h(at0, along);
                var v1: Values;
                var v2: Values;
                var v3: Values;
                if ROWS > 8u { v1 = load_h(at1, along); }
                if ROWS > 16u { v2 = load_h(at2, along); v3 = load_h(at3, along); }
                let strip = load_strip(units, k);
                s0 = dot_rows(v0, strip, s0);
                if ROWS > 8u { s1 = dot_rows(v1, strip, s1); }
                if ROWS > 16u { s2 = dot_rows(v2, strip, s2); s3 = dot_rows(v3, strip, s3); }
            }
            for (var k = whole; k < H; k++) {
                let w = load_w(units, k);
                s0 = add_outer(load_h(at0, before + k), w, s0);
                if ROWS > 8u { s1 = add_outer(load_h(at1, before + k), w, s1); }
                if ROWS > 16u {
                    s2 = add_outer(load_h(at2, before + k), w, s2);
                    s3 = add_outer(load_h(at3, before + k), w, s3);
                }
            }
            // One loop, with an end that no compiler knows: unrolled, it takes seconds to compile.
            var sums = array<array<vec4<f32>, 8>, 4>(as_rows(s0), as_rows(s1), as_rows(s2), as_rows(s3));
            for (var r = 0u; r < rows; r++) {
                finish_row(first + r, t, j, sums[r / 8u][r % 8u]);
            }
        }
        if MANY { storageBarrier(); }
    }
}
