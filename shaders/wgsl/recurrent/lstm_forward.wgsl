// LSTM, a step forward (Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000):
//
// z = x_proj[t] + h W_hh^T;  i,f,o = sigmoid(z_i, z_f, z_o);  g = tanh(z_g);  c = f c + i g;  h = o tanh(c)
//
// c lies in c_n, because a unit reads only its own c; the first step takes c0. Saved for the way back: h before each step, the gates of
// each step, and the cells.
// The forms recurrent_cpu.wgsl, recurrent_step.wgsl and recurrent_loop.wgsl share out the work.
//
// Numeric: the product, then x_proj is added. Saturation as in pointwise.wgsl.
//
// Joined for lstm_forward_cpu: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_four, octets, wide_tile, recurrent_cpu
// Joined for lstm_forward_step: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_one, recurrent_step
// Joined for lstm_forward_loop: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_one, recurrent_loop

@group(0) @binding(0) var<storage, read> x_proj: array<f32>; // [N,4H]
@group(0) @binding(1) var<storage, read> w_hh: array<Packed>; // [4H,H]
@group(0) @binding(2) var<storage, read> h_prev: array<Packed>; // [B,H]
@group(0) @binding(3) var<storage, read> c0: array<f32>; // [B,H]
@group(0) @binding(4) var<storage, read> steps: array<u32>; // [T,2]
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // [N,H]
@group(0) @binding(6) var<storage, read_write> h_next: array<f32>; // [B,H]
@group(0) @binding(7) var<storage, read_write> before: array<f32>; // [N,H], h that entered each step
@group(0) @binding(8) var<storage, read_write> gates: array<f32>; // [N,4H], activated: i, f, g, o
@group(0) @binding(9) var<storage, read_write> cells: array<f32>; // [N,H]
@group(0) @binding(10) var<storage, read_write> c_n: array<f32>; // [B,H]

const UNIT_COLUMNS: u32 = 4u;

// The cell of unit `at` of [B,H] before the step.
fn cell(now: Moment, at: u32) -> f32 {
    if now.prior_live == 0u { return c0[at]; }
    return c_n[at];
}

fn advance(now: Moment, row: u32, b: u32, j: u32, sum: vec4<f32>, h: f32) -> f32 {
    let H = params.hidden;
    let at = row * 4u * H + j;
    let own = b * H + j;
    let z = sum + vec4(x_proj[at], x_proj[at + H], x_proj[at + 2u * H], x_proj[at + 3u * H]);
    let gate = vec4(sigmoid(z.x), sigmoid(z.y), tanh_(z.z), sigmoid(z.w));
    let c = gate.y * cell(now, own) + gate.x * gate.z;
    gates[at] = gate.x;
    gates[at + H] = gate.y;
    gates[at + 2u * H] = gate.z;
    gates[at + 3u * H] = gate.w;
    cells[row * H + j] = c;
    c_n[own] = c;
    return gate.w * tanh_(c);
}

// Where no row is live, before the first step or past the last, c_n stays as it is.
fn stand_still(now: Moment, own: u32) {
    if now.live > 0u { c_n[own] = cell(now, own); }
}
