// Elements picked along the middle axis: x [outer, len, inner], index [outer, count, inner] -> out [outer, count, inner].
//
// out[o, k, i] = x[o, index[o, k, i], i]
//
// Grid: any number of workgroups in x and y; invocations stride over outer * count * inner.
// Numeric: a copy. An index of len or more is a mistake that the host finds; here it is clamped, so that no read leaves the buffer.
//
// Joined: view

const WORKGROUP: u32 = 64u; // spec

struct Params {
    outer: u32,
    len: u32,
    inner: u32,
    count: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;         // [outer, len, inner]
@group(0) @binding(1) var<storage, read> index: array<u32>;     // [outer, count, inner]
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [outer, count, inner]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let picks = params.outer * params.count * params.inner;
    for (var at = gid.x + gid.y * row; at < picks; at += stride) {
        let line = divide(at, params.inner); // o * count + k
        let i = at - line * params.inner;
        let o = divide(line, params.count);
        let r = min(index[at], params.len - 1u);
        out[at] = x[(o * params.len + r) * params.inner + i];
    }
}
