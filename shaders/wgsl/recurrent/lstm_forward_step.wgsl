// Step t of one LSTM layer, spread over a GPU: one dispatch a step, t ascending.
//
// z = x_proj[b,t] + h W_hh^T;  i,f,o = sigmoid(z_i, z_f, z_o);  g = tanh(z_g);  c = f c + i g;  h = o tanh(c)
//
// Grid: (ceil(H / UNITS), ceil(B / ROWS)). A workgroup computes UNITS hidden units of ROWS rows, an invocation the four
// gates of one unit of one row. h of the step before is y[t-1] (h0 at t = 0); it and the weights pass through
// workgroup memory in tiles of DEPTH, so each is read from memory once a workgroup. c lies in c_n. The order of
// dispatches is all the synchronisation between steps.
// Padded steps (t >= length) write 0 and leave h_n and c_n, which end as the states of each row's last true step.
//
// Numeric: f32 FMA in the order of k, then x_proj is added.

const ROWS: u32 = 8u; // spec
const UNITS: u32 = 16u; // spec
const DEPTH: u32 = 32u; // spec

const WORKGROUP: u32 = ROWS * UNITS;
// One word more than DEPTH, so that units in a column fall into different banks.
const PITCH: u32 = DEPTH + 1u;

struct Params {
    batch: u32,
    time: u32,
    hidden: u32,
    t: u32,
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

var<workgroup> tile_h: array<f32, ROWS * PITCH>; // [ROWS, DEPTH]
var<workgroup> tile_w: array<f32, 4 * UNITS * PITCH>; // [4, UNITS, DEPTH]

fn fill(row0: u32, j0: u32, k0: u32, lid: u32) {
    let H = params.hidden;
    for (var e = lid; e < ROWS * DEPTH; e += WORKGROUP) {
        let row = row0 + e / DEPTH;
        let k = k0 + e % DEPTH;
        var value = 0.0f;
        if row < params.batch && k < H {
            if params.t == 0u {
                value = h0[row * H + k];
            } else {
                value = y[(row * params.time + params.t - 1u) * H + k];
            }
        }
        tile_h[(e / DEPTH) * PITCH + e % DEPTH] = value;
    }
    for (var e = lid; e < 4u * UNITS * DEPTH; e += WORKGROUP) {
        let part = e / DEPTH; // gate * UNITS + unit
        let j = j0 + part % UNITS;
        let k = k0 + e % DEPTH;
        var value = 0.0f;
        if j < H && k < H { value = w_hh[((part / UNITS) * H + j) * H + k]; }
        tile_w[part * PITCH + e % DEPTH] = value;
    }
}

// The gates, the cell and the output of unit j of one row; `sum` is its part of h W_hh^T.
fn finish(row: u32, j: u32, sum: vec4<f32>) {
    if row >= params.batch || j >= params.hidden { return; }
    let H = params.hidden;
    let t = params.t;
    let step = row * params.time + t;
    let state = row * H + j;
    let at = step * 4u * H + j;
    var h = h0[state];
    var c = c0[state];
    if t > 0u {
        h = h_n[state];
        c = c_n[state];
    }
    let valid = t < lengths[row];
    var gate = vec4<f32>();
    if valid {
        let z = sum + vec4(x_proj[at], x_proj[at + H], x_proj[at + 2u * H], x_proj[at + 3u * H]);
        gate = vec4(sigmoid(z.x), sigmoid(z.y), tanh_(z.z), sigmoid(z.w));
        c = gate.y * c + gate.x * gate.z;
        h = gate.w * tanh_(c);
    }
    // Also at t = 0 of an empty row, whose final state is its initial one.
    h_n[state] = h;
    c_n[state] = c;
    gates[at] = gate.x;
    gates[at + H] = gate.y;
    gates[at + 2u * H] = gate.z;
    gates[at + 3u * H] = gate.w;
    cells[step * H + j] = select(0.0f, c, valid);
    y[step * H + j] = select(0.0f, h, valid);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row0 = tile.y * ROWS;
    let j0 = tile.x * UNITS;
    let row = lid / UNITS;
    let unit = lid % UNITS;
    var sum = vec4<f32>();
    for (var k0 = 0u; k0 < params.hidden; k0 += DEPTH) {
        fill(row0, j0, k0, lid);
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let weights = vec4(
                tile_w[unit * PITCH + k],
                tile_w[(UNITS + unit) * PITCH + k],
                tile_w[(2u * UNITS + unit) * PITCH + k],
                tile_w[(3u * UNITS + unit) * PITCH + k],
            );
            sum = fma(vec4(tile_h[row * PITCH + k]), weights, sum);
        }
        workgroupBarrier();
    }
    finish(row0 + row, j0 + unit, sum);
}
