// GRU, a step forward (Cho et al. 2014, with the reset after the product as in cuDNN and PyTorch):
//
// r,z = sigmoid(x_r + W_hr h, x_z + W_hz h);  m = W_hn h + b_hn;  n = tanh(x_n + r m);  h = (1 - z) n + z h
//
// Saved for the way back: h before each step, and r, z, n, m of each step.
// The forms recurrent_cpu.wgsl, recurrent_step.wgsl and recurrent_loop.wgsl share out the work.
//
// Numeric: the product, then x_proj is added. Saturation as in pointwise.wgsl.
//
// Joined for gru_forward_cpu: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_four, octets, wide_tile, recurrent_cpu
// Joined for gru_forward_step: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_one, recurrent_step
// Joined for gru_forward_loop: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_one, recurrent_loop

@group(0) @binding(0) var<storage, read> x_proj: array<f32>; // [N,3H]
@group(0) @binding(1) var<storage, read> w_hh: array<Packed>; // [3H,H]
@group(0) @binding(2) var<storage, read> h_prev: array<Packed>; // [B,H]
@group(0) @binding(3) var<storage, read> b_hn: array<f32>; // [H]
@group(0) @binding(4) var<storage, read> steps: array<u32>; // [T,2]
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // [N,H]
@group(0) @binding(6) var<storage, read_write> h_next: array<f32>; // [B,H]
@group(0) @binding(7) var<storage, read_write> before: array<f32>; // [N,H], h that entered each step
@group(0) @binding(8) var<storage, read_write> gates: array<f32>; // [N,4H]: r, z, n, m

const UNIT_COLUMNS: u32 = 3u;

fn advance(now: Moment, row: u32, b: u32, j: u32, sum: vec4<f32>, h: f32) -> f32 {
    let H = params.hidden;
    let x = row * 3u * H + j;
    let at = row * 4u * H + j;
    let r = sigmoid(sum.x + x_proj[x]);
    let z = sigmoid(sum.y + x_proj[x + H]);
    let m = sum.z + b_hn[j];
    let n = tanh_(fma(r, m, x_proj[x + 2u * H]));
    gates[at] = r;
    gates[at + H] = z;
    gates[at + 2u * H] = n;
    gates[at + 3u * H] = m;
    return fma(z, h - n, n);
}

fn stand_still(now: Moment, own: u32) {}
