// Index of the greatest or least element along the middle axis, one invocation per result: x [outer, len, inner] -> out [outer, chunks, inner].
//
// out[o, c, i] = the first r in [c * chunk_len, min((c + 1) * chunk_len, len)) whose fused(0, (o * len + r) * inner + i) none exceeds
//
// Shapes: x is what the fused code computes, never stored; chunks = ceil(len / chunk_len), so no chunk is empty. With chunks > 1 the
// results are the candidates of arg_finish.wgsl.
// Grid: any number of workgroups in x and y; invocations stride over the outer * chunks * inner results, and
// neighbours read neighbouring columns.
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

@group(0) @binding(0) var<storage, read_write> out: array<u32>; // [outer, chunks, inner]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let results = params.outer * params.chunks * params.inner;
    for (var at = gid.x + gid.y * row; at < results; at += stride) {
        let part = at / params.inner; // o * chunks + c
        let i = at - part * params.inner;
        let o = part / params.chunks;
        let begin = (part - o * params.chunks) * params.chunk_len;
        let end = min(begin + params.chunk_len, params.len);
        let base = o * params.len * params.inner + i;
        var found = begin;
        var best = fused(0.0f, base + begin * params.inner);
        for (var r = begin + 1u; r < end; r++) {
            let value = fused(0.0f, base + r * params.inner);
            let taken = beyond(value, best);
            best = select(best, value, taken);
            found = select(found, r, taken);
        }
        out[at] = found;
    }
}
