// RNN, a step back:
//
// dh = dy[t] + dz[t+1] W_hh, or + dh_n after a last step;  dz = dh a'(z). y alone gives the derivative:
// tanh 1 - y^2, relu 1 where y > 0, sigmoid y (1-y)
//
// The forms recurrent_cpu.wgsl, recurrent_step.wgsl and recurrent_loop.wgsl share out the work.
//
// Numeric: the product, then dy is added.
//
// Joined for rnn_backward_cpu: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_four, octets, wide_tile, recurrent_cpu
// Joined for rnn_backward_step: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_one, recurrent_step
// Joined for rnn_backward_loop: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_one, recurrent_loop

const ACTIVATION: u32 = 0u; // spec

@group(0) @binding(0) var<storage, read> dy: array<f32>; // [N,H]
@group(0) @binding(1) var<storage, read> w_hh: array<Packed>; // [H,H]
@group(0) @binding(2) var<storage, read> steps: array<u32>; // [T,2]
@group(0) @binding(3) var<storage, read> dh_n: array<f32>; // [B,H]
@group(0) @binding(4) var<storage, read> y: array<f32>; // [N,H]
@group(0) @binding(5) var<storage, read_write> dz: array<Packed>; // [N,H]
@group(0) @binding(6) var<storage, read_write> dh0: array<f32>; // [B,H]

const GATES: u32 = 1u;

// The part of dh that does not pass through the product.
fn carried(own: u32) -> f32 { return 0.0f; }

fn derivative(y: f32) -> f32 {
    if ACTIVATION == 0u { return 1.0f - y * y; }
    if ACTIVATION == 1u { return select(0.0f, 1.0f, y > 0.0f); }
    return y * (1.0f - y);
}

fn retreat(now: Moment, row: u32, b: u32, j: u32, dh: f32) -> vec4<f32> {
    let at = row * params.hidden + j;
    let d = dh * derivative(y[at]);
    leave_dz(at, d);
    return vec4(d, 0.0f, 0.0f, 0.0f);
}
