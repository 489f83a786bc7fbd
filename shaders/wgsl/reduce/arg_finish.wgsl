// The best of the chunks' candidates, one invocation per result: candidates [outer, chunks, inner] -> out [outer, inner].
//
// out[o, i] = the first of candidates[o, c, i], c < chunks, whose fused(0, (o * len + candidate) * inner + i) none exceeds
//
// Shapes: x [outer, len, inner] is what the fused code computes, once more for the candidates, so that only indices are stored.
// Grid: any number of workgroups in x and y; invocations stride over the outer * inner results.
// Numeric: comparisons only. Of equal elements the first counts, and the first NaN before every number.
//
// Joined: value, view, beyond

const WORKGROUP: u32 = 64u; // spec
const LEAST: bool = false; // spec

struct Params {
    outer: u32,
    len: u32,
    inner: u32,
    chunks: u32,
    chunk_len: u32,
    view: View,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> candidates: array<u32>; // [outer, chunks, inner]
@group(0) @binding(1) var<storage, read_write> out: array<u32>;  // [outer, inner]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let results = params.outer * params.inner;
    for (var at = gid.x + gid.y * row; at < results; at += stride) {
        let o = at / params.inner;
        let i = at - o * params.inner;
        let base = o * params.len * params.inner + i;
        let first = o * params.chunks * params.inner + i;
        var found = candidates[first];
        var best = fused(0.0f, base + found * params.inner);
        for (var c = 1u; c < params.chunks; c++) {
            let r = candidates[first + c * params.inner];
            let value = fused(0.0f, base + r * params.inner);
            let taken = beyond(value, best);
            best = select(best, value, taken);
            found = select(found, r, taken);
        }
        out[at] = found;
    }
}
