// Adds the gradients of one of several batches to the sum of all.
//
// sum[i] = sum[i] + share * grads[i]
//
// Shapes: grads, sum [len], in Values. `share` of the Control is the batch's part of the whole.
// Grid: any number of workgroups in x and y; invocations stride over the gradients.
// Numeric: f32 throughout; batches are added in the order in which they run.
//
// Joined: value, control

const WORKGROUP: u32 = 64u; // spec

struct Params {
    len: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> control: Control;
@group(0) @binding(1) var<storage, read> grads: array<Value>;     // [len]
@group(0) @binding(2) var<storage, read_write> sum: array<Value>; // [len]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let share = control.share;
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var i = gid.x + gid.y * row; i < params.len; i += stride) {
        sum[i] = sum[i] + share * grads[i];
    }
}
