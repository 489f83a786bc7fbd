// RNN, a step forward (Elman 1990): h = a(x_proj[t] + h W_hh^T) with a = tanh, relu or sigmoid
//
// The state h before each step is saved for the way back.
// The forms recurrent_cpu.wgsl, recurrent_step.wgsl and recurrent_loop.wgsl share out the work.
//
// Numeric: the product, then x_proj is added. Saturation as in pointwise.wgsl.
//
// Joined for rnn_forward_cpu: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_four, octets, wide_tile, recurrent_cpu
// Joined for rnn_forward_step: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_one, recurrent_step
// Joined for rnn_forward_loop: value, rng, pointwise, recurrent, recurrent_forward, recurrent_forward_one, recurrent_loop

const ACTIVATION: u32 = 0u; // spec

@group(0) @binding(0) var<storage, read> x_proj: array<f32>; // [N,H]
@group(0) @binding(1) var<storage, read> w_hh: array<Packed>; // [H,H]
@group(0) @binding(2) var<storage, read> h_prev: array<Packed>; // [B,H]
@group(0) @binding(3) var<storage, read> steps: array<u32>; // [T,2]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [N,H]
@group(0) @binding(5) var<storage, read_write> h_next: array<f32>; // [B,H]
@group(0) @binding(6) var<storage, read_write> before: array<f32>; // [N,H], h that entered each step

const UNIT_COLUMNS: u32 = 1u;

fn advance(now: Moment, row: u32, b: u32, j: u32, sum: vec4<f32>, h: f32) -> f32 {
    let z = sum.x + x_proj[row * params.hidden + j];
    if ACTIVATION == 0u { return tanh_(z); }
    if ACTIVATION == 1u { return relu(z); }
    return sigmoid(z);
}

fn stand_still(now: Moment, own: u32) {}
