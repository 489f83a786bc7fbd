// What a state carries to the next step: the new values. If the step was skipped, the state stays as it was.
//
// state[i] = values[i] if stats[2] == 0
//
// Shapes: values, state [len], in Values; stats of norm_finish.wgsl.
// Grid: any number of workgroups in x and y; invocations stride over the state.
//
// Joined: value

const WORKGROUP: u32 = 64u; // spec

struct Params {
    len: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> stats: array<f32>;         // [>= 3]
@group(0) @binding(1) var<storage, read> values: array<Value>;      // [len]
@group(0) @binding(2) var<storage, read_write> state: array<Value>; // [len]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    if stats[2] != 0.0f {
        return;
    }
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var i = gid.x + gid.y * row; i < params.len; i += stride) {
        state[i] = values[i];
    }
}
