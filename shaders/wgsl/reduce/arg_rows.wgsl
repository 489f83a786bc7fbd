// Index of the greatest or least element along the last axis, one workgroup per result: x [outer, len] -> out [outer, chunks].
//
// out[o, c] = the first r in [c * chunk_len, min((c + 1) * chunk_len, len)) whose fused(0, o * len + r) none exceeds
//
// Shapes: x is what the fused code computes, never stored; inner is 1; chunks = ceil(len / chunk_len), so no chunk is
// empty. With chunks > 1 the results are the candidates of arg_finish.wgsl.
// Grid: at least outer * chunks workgroups in x and y (a grid's side is limited, hence two); the rest do nothing.
// WORKGROUP is a power of two.
// Numeric: comparisons only. Of equal elements the first counts, and the first NaN before every number. Each invocation looks at
// every WORKGROUP-th element, so the tree compares indices where elements are equal.
//
// Joined: value, view, beyond, tree

const WORKGROUP: u32 = 256u; // spec
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

@group(0) @binding(0) var<storage, read_write> out: array<u32>; // [outer, chunks]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

struct Node {
    value: f32,
    index: u32,
}

// Of equal elements, two NaN among them, the one of the lower index.
fn reduced(a: Node, b: Node, how: u32) -> Node {
    let earlier = !beyond(a.value, b.value) & (b.index < a.index);
    if beyond(b.value, a.value) | earlier { return b; }
    return a;
}

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
    // A lane beyond the chunk repeats its last element.
    var found = min(begin + lane, end - 1u);
    var best = fused(0.0f, base + found);
    for (var r = found + WORKGROUP; r < end; r += WORKGROUP) {
        let value = fused(0.0f, base + r);
        let taken = beyond(value, best);
        best = select(best, value, taken);
        found = select(found, r, taken);
    }
    let result = tree(lane, Node(best, found), 0u);
    if lane == 0u {
        out[at] = result.index;
    }
}
