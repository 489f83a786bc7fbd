// Sum, maximum, minimum or product over the last axis, one workgroup per result: x [outer, len] -> out [outer, chunks].
//
// out[o, c] = reduce over r in [c * chunk_len, min((c + 1) * chunk_len, len)) of fused(0, o * len + r)
//
// Shapes: x is what the fused code computes, never stored; inner is 1; chunks = ceil(len / chunk_len), so no chunk is
// empty. One long row is reduced in two launches: chunks first, then the chunks' results with chunks = 1.
// Grid: at least outer * chunks workgroups in x and y (a grid's side is limited, hence two); the rest do nothing.
// WORKGROUP is a power of two.
// Numeric: each invocation combines every WORKGROUP-th element in order, then a tree of fixed shape combines the
// invocations: the bits depend on WORKGROUP and chunk_len only. An infinity survives, as a NaN does.
//
// Joined: value, view, combine, tree

const WORKGROUP: u32 = 256u; // spec
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

@group(0) @binding(0) var<storage, read_write> out: array<f32>; // [outer, chunks]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

alias Node = f32;

fn reduced(a: Node, b: Node, how: u32) -> Node { return combine(a, b); }

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = group.x + group.y * groups.x;
    if at >= params.outer * params.chunks {
        return; // the whole workgroup: no barrier is left waiting
    }
    let o = at / params.chunks;
    let begin = (at - o * params.chunks) * params.chunk_len;
    let end = min(begin + params.chunk_len, params.len);
    let base = o * params.len;
    var first = begin + lane;
    if OP == MAX || OP == MIN {
        // A lane beyond the chunk repeats its last element, which changes neither.
        first = min(first, end - 1u);
    }
    var acc = select(0.0f, 1.0f, OP == PROD);
    for (var r = first; r < end; r += WORKGROUP) {
        let value = fused(0.0f, base + r);
        acc = select(combine(acc, value), value, r == first);
    }
    let result = tree(lane, acc, 0u);
    if lane == 0u {
        out[at] = result;
    }
}
