// out[i] = fused(out[i], i) for every i < len: a whole graph of pointwise operations in one pass, in place over one of its operands, or
// over memory whose contents the fused code ignores.
//
// Shapes: out [len], in Values; the operands are the leaves of the fused code, read through `params.view`.
// Grid: any number of workgroups in x and y; invocations stride over the output. The launcher chooses many thin workgroups (GPU) or few fat
// ones (CPU). Neighbours write neighbours.
// Numeric: none of its own; every element is computed on its own.
//
// Joined: value, view

const WORKGROUP: u32 = 64u; // spec

struct Params {
    len: u32,
    view: View,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read_write> out: array<Value>; // [len]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var i = gid.x + gid.y * row; i < params.len; i += stride) {
        out[i] = fused(out[i], i);
    }
}
