// Sum, maximum, minimum or product over the middle axis, one invocation per result: x [outer, len, inner] -> out [outer, chunks, inner].
//
// out[o, c, i] = reduce over r in [c * chunk_len, min((c + 1) * chunk_len, len)) of fused(0, (o * len + r) * inner + i)
//
// Shapes: inner counts Values, which are neighbours in a row; x is what the fused code computes, never stored; chunks = ceil(len / chunk_len), so no chunk is empty.
// A long axis is reduced in two launches of this kernel: chunks first, then the chunks' results with chunks = 1.
// Grid: any number of workgroups in x and y; invocations stride over the outer * chunks * inner results, and
// neighbours read neighbouring columns.
// Numeric: rows are combined in order, in f32, so the bits depend on chunk_len and on nothing else. All but sums start
// from their first row and not from a neutral value, so that an infinity survives, as a NaN does.
//
// Joined: value, view, combine

const WORKGROUP: u32 = 64u; // spec
const OP: u32 = 0u; // spec

struct Params {
    outer: u32,
    len: u32,
    inner: u32,
    chunks: u32,
    chunk_len: u32,
    view: View,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read_write> out: array<Value>; // [outer, chunks, inner]

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
        var acc = Value(0.0f);
        for (var r = begin; r < end; r++) {
            let value = fused(Value(0.0f), base + r * params.inner);
            if OP == SUM {
                acc += value;
            } else {
                acc = select(combine(acc, value), value, r == begin);
            }
        }
        out[at] = acc;
    }
}
