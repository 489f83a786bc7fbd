// Back through step t of one LSTM layer, spread over a GPU: one dispatch a step, t descending.
//
// dh = dy[t] + dz[t+1] W_hh (+ dh_n at the last true step);  dc += dh o (1 - tanh(c)^2)
// dz_i = dc g i(1-i);  dz_f = dc c[t-1] f(1-f);  dz_g = dc i (1-g^2);  dz_o = dh tanh(c) o(1-o);  dc = dc f
//
// Grid: (ceil(H / UNITS), ceil(B / ROWS)). A workgroup computes UNITS hidden units of ROWS rows, an invocation one unit of
// one row. dz[t+1] and the weights pass through workgroup memory in tiles of DEPTH. dz[t] is what the next dispatch
// reads; dc stays with the invocation that owns the unit. Padded steps get dz = 0.
//
// Numeric: f32 FMA in the order of k, then dy and dh_n are added. dc starts as dc_n and ends as the gradient of c0.

const ROWS: u32 = 8u; // spec
const UNITS: u32 = 16u; // spec
const DEPTH: u32 = 32u; // spec

const WORKGROUP: u32 = ROWS * UNITS;
// One word more than DEPTH, so that rows fall into different banks.
const PITCH: u32 = DEPTH + 1u;

struct Params {
    batch: u32,
    time: u32,
    hidden: u32,
    t: u32,
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

var<workgroup> tile_dz: array<f32, ROWS * PITCH>; // [ROWS, DEPTH]
var<workgroup> tile_w: array<f32, DEPTH * UNITS>; // [DEPTH, UNITS]

fn fill(row0: u32, j0: u32, k0: u32, lid: u32) {
    let H = params.hidden;
    for (var e = lid; e < ROWS * DEPTH; e += WORKGROUP) {
        let row = row0 + e / DEPTH;
        let k = k0 + e % DEPTH;
        var value = 0.0f;
        if row < params.batch && k < 4u * H {
            value = dz[(row * params.time + params.t + 1u) * 4u * H + k];
        }
        tile_dz[(e / DEPTH) * PITCH + e % DEPTH] = value;
    }
    for (var e = lid; e < DEPTH * UNITS; e += WORKGROUP) {
        let k = k0 + e / UNITS;
        let j = j0 + e % UNITS;
        var value = 0.0f;
        if k < 4u * H && j < H { value = w_hh[k * H + j]; }
        tile_w[e] = value;
    }
}

// dz of unit j of one row, and its dc; `sum` is its part of dz[t+1] W_hh.
fn finish(row: u32, j: u32, sum: f32) {
    if row >= params.batch || j >= params.hidden { return; }
    let H = params.hidden;
    let t = params.t;
    let step = row * params.time + t;
    let state = row * H + j;
    let at = step * 4u * H + j;
    var carried = dc_n[state];
    if t + 1u < params.time { carried = dc[state]; }
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
        let dcell = carried + dh * o * (1.0f - saturated * saturated);
        d = vec4(
            dcell * g * i * (1.0f - i),
            dcell * before * f * (1.0f - f),
            dcell * i * (1.0f - g * g),
            dh * saturated * o * (1.0f - o),
        );
        carried = dcell * f;
    }
    dc[state] = carried;
    dz[at] = d.x;
    dz[at + H] = d.y;
    dz[at + 2u * H] = d.z;
    dz[at + 3u * H] = d.w;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row0 = tile.y * ROWS;
    let j0 = tile.x * UNITS;
    let row = lid / UNITS;
    let unit = lid % UNITS;
    // The last step has none after it.
    let depth = select(0u, 4u * params.hidden, params.t + 1u < params.time);
    var sum = 0.0f;
    for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
        fill(row0, j0, k0, lid);
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            sum = fma(tile_dz[row * PITCH + k], tile_w[k * UNITS + unit], sum);
        }
        workgroupBarrier();
    }
    finish(row0 + row, j0 + unit, sum);
}
