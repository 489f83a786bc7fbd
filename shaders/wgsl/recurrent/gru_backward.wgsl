// GRU, a step back; m = W_hn h + b_hn as the forward pass saved it:
//
// dh = dy[t] + dp[t+1] W_hh + (dh z)[t+1], or + dh_n after a last step
// dn = dh (1-z) (1-n^2);  dz = dh (h - n) z(1-z);  dr = dn m r(1-r);  dx = (dr, dz, dn);  dp = (dr, dz, dn r)
//
// dx is the gradient of the input's part, dp that of W_hh h and its bias. dp lies in the buffer that all cells call dz. dh z lies in
// `carry`, because a unit reads only its own.
// The forms recurrent_cpu.wgsl, recurrent_step.wgsl and recurrent_loop.wgsl share out the work.
//
// Numeric: the product, then dh z, then dy is added.
//
// Joined for gru_backward_cpu: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_four, octets, wide_tile, recurrent_cpu
// Joined for gru_backward_step: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_one, recurrent_step
// Joined for gru_backward_loop: value, rng, pointwise, recurrent, recurrent_backward, recurrent_backward_one, recurrent_loop

@group(0) @binding(0) var<storage, read> dy: array<f32>; // [N,H]
@group(0) @binding(1) var<storage, read> w_hh: array<Packed>; // [3H,H]
@group(0) @binding(2) var<storage, read> steps: array<u32>; // [T,2]
@group(0) @binding(3) var<storage, read> dh_n: array<f32>; // [B,H]
@group(0) @binding(4) var<storage, read> before: array<f32>; // [N,H], h that entered each step
@group(0) @binding(5) var<storage, read> gates: array<f32>; // [N,4H]: r, z, n, m
@group(0) @binding(6) var<storage, read_write> dx_proj: array<f32>; // [N,3H]
@group(0) @binding(7) var<storage, read_write> dh0: array<f32>; // [B,H]
@group(0) @binding(8) var<storage, read_write> dz: array<Packed>; // [N,3H]
@group(0) @binding(9) var<storage, read_write> carry: array<f32>; // [B,H]

const GATES: u32 = 3u;

// The part of dh that does not pass through the product.
fn carried(own: u32) -> f32 { return carry[own]; }

fn retreat(now: Moment, row: u32, b: u32, j: u32, dh: f32) -> vec4<f32> {
    let H = params.hidden;
    let at = row * 4u * H + j;
    let r = gates[at];
    let z = gates[at + H];
    let n = gates[at + 2u * H];
    let m = gates[at + 3u * H];
    let dn = dh * (1.0f - z) * (1.0f - n * n);
    let d_z = dh * (before[row * H + j] - n) * z * (1.0f - z);
    let dr = dn * m * r * (1.0f - r);
    let out = row * 3u * H + j;
    dx_proj[out] = dr;
    dx_proj[out + H] = d_z;
    dx_proj[out + 2u * H] = dn;
    leave_dz(out, dr);
    leave_dz(out + H, d_z);
    leave_dz(out + 2u * H, dn * r);
    carry[b * H + j] = dh * z;
    return vec4(dr, d_z, dn * r, 0.0f);
}
