// out[row, :] = 0 for every row past the last step's rows. A packed matrix has more rows than its sequences have steps, and sums over all
// rows (the gradients of weights) must find zeros there.
//
// Grid: any number of workgroups in x, which stride over the elements.
//
// Joined: nothing

const WORKGROUP: u32 = 64u; // spec

struct Params {
    time: u32,
    rows: u32,
    width: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> steps: array<u32>; // [T,2]
@group(0) @binding(1) var<storage, read_write> out: array<f32>; // [N,width]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = 2u * (params.time - 1u);
    let end = steps[at] + steps[at + 1u];
    for (var i = end * params.width + gid.x; i < params.rows * params.width; i += groups.x * WORKGROUP) {
        out[i] = 0.0f;
    }
}
