// LSTM, a step back:
//
// dh = dy[t] + dz[t+1] W_hh, or + dh_n after a last step;  dc += dh o (1 - tanh(c)^2)
// dz_i = dc g i(1-i);  dz_f = dc c[t-1] f(1-f);  dz_g = dc i (1-g^2);  dz_o = dh tanh(c) o(1-o);  dc = dc f
//
// dc lies in dc0, because a unit reads only its own dc: it starts as dc_n and ends as the gradient of c0.
// The forms recurrent_cpu.wgsl, recurrent_step.wgsl and recurrent_loop.wgsl share out the work.
//
// Numeric: the product, then dy is added.
//
// Joined for lstm_backward_cpu: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_four, octets, wide_tile, recurrent_cpu
// Joined for lstm_backward_step: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_one, recurrent_step
// Joined for lstm_backward_loop: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_one, recurrent_loop

@group(0) @binding(0) var<storage, read> dy: array<f32>; // [N,H]
@group(0) @binding(1) var<storage, read> w_hh: array<Packed>; // [4H,H]
@group(0) @binding(2) var<storage, read> steps: array<u32>; // [T,2]
@group(0) @binding(3) var<storage, read> dh_n: array<f32>; // [B,H]
@group(0) @binding(4) var<storage, read> gates: array<f32>; // [N,4H], activated: i, f, g, o
@group(0) @binding(5) var<storage, read> cells: array<f32>; // [N,H]
@group(0) @binding(6) var<storage, read> c0: array<f32>; // [B,H]
@group(0) @binding(7) var<storage, read> dc_n: array<f32>; // [B,H]
@group(0) @binding(8) var<storage, read_write> dz: array<Packed>; // [N,4H]
@group(0) @binding(9) var<storage, read_write> dh0: array<f32>; // [B,H]
@group(0) @binding(10) var<storage, read_write> dc0: array<f32>; // [B,H]

const GATES: u32 = 4u;

// The part of dh that does not pass through the product.
fn carried(own: u32) -> f32 { return 0.0f; }

fn retreat(now: Moment, row: u32, b: u32, j: u32, dh: f32) -> vec4<f32> {
    let H = params.hidden;
    let own = b * H + j;
    let at = row * 4u * H + j;
    let i = gates[at];
    let f = gates[at + H];
    let g = gates[at + 2u * H];
    let o = gates[at + 3u * H];
    let squashed = tanh_(cells[row * H + j]);
    // The next step of the walk is the step before in the order of the forward pass.
    var earlier = c0[own];
    if b < now.next_live { earlier = cells[(now.next_start + b * params.stride) * H + j]; }
    var dc = dc_n[own];
    if b < now.prior_live { dc = dc0[own]; }
    dc += dh * o * (1.0f - squashed * squashed);
    let d = vec4(
        dc * g * i * (1.0f - i),
        dc * earlier * f * (1.0f - f),
        dc * i * (1.0f - g * g),
        dh * squashed * o * (1.0f - o),
    );
    dc0[own] = dc * f;
    leave_dz(at, d.x);
    leave_dz(at + H, d.y);
    leave_dz(at + 2u * H, d.z);
    leave_dz(at + 3u * H, d.w);
    return d;
}
