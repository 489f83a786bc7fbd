// Running sums along the middle axis, one invocation per chunk: x [outer, len, inner] -> out [outer, len, inner].
//
// out[o, r, i] = sum over s <= r of fused(0, (o * len + s) * inner + i), with REVERSE over s >= r
//
// Shapes: inner counts Values, which are neighbours in a row; x is what the fused code computes, never stored; chunks = ceil(len /
// chunk_len), so no chunk is empty; sums [outer, chunks, inner] holds what each chunk adds up to and is not read where chunks is 1.
// Grid: any number of workgroups in x and y; invocations stride over the outer * chunks * inner chunks, and
// neighbours read and write neighbouring columns.
// Numeric: in f32. The sums of the chunks before are added in order, then the chunk's own running sum to that, so the error
// grows as chunks + chunk_len and not as len.
//
// Joined: value, view

const WORKGROUP: u32 = 64u; // spec
const REVERSE: bool = false; // spec

struct Params {
    outer: u32,
    len: u32,
    inner: u32,
    chunks: u32,
    chunk_len: u32,
    view: View,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> sums: array<Value>;      // [outer, chunks, inner]
@group(0) @binding(1) var<storage, read_write> out: array<Value>; // [outer, len, inner]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let runs = params.outer * params.chunks * params.inner;
    for (var at = gid.x + gid.y * row; at < runs; at += stride) {
        let part = at / params.inner; // o * chunks + c
        let i = at - part * params.inner;
        let o = part / params.chunks;
        let c = part - o * params.chunks;
        // The chunks whose sums come before: those of lower numbers, or from the last one down.
        let earlier = select(c, params.chunks - 1u - c, REVERSE);
        let first = o * params.chunks * params.inner + i;
        var before = Value(0.0f);
        for (var k = 0u; k < earlier; k++) {
            before += sums[first + select(k, params.chunks - 1u - k, REVERSE) * params.inner];
        }
        let begin = c * params.chunk_len;
        let end = min(begin + params.chunk_len, params.len);
        let base = o * params.len * params.inner + i;
        var acc = Value(0.0f);
        for (var step = 0u; step < end - begin; step++) {
            let r = select(begin + step, end - 1u - step, REVERSE);
            let index = base + r * params.inner;
            acc += fused(Value(0.0f), index);
            out[index] = before + acc;
        }
    }
}
