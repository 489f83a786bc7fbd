// out[i] = a[i] + 3·b[i]: the triad of STREAM (McCalpin 1995), how fast a device moves memory.
//
// Shapes: out, a, b [quads] of four elements each.
// Grid: any number of workgroups in x and y; invocations stride over the output. Neighbours touch neighbours, so a GPU reads
// whole lines; loads of 16 bytes are the widest that WGSL has, and on lavapipe twice as fast as four of 4.
// Numeric: none of its own.
//
// Joined: nothing

const WORKGROUP: u32 = 64u; // spec

struct Params {
    quads: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [quads]
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [quads]
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>; // [quads]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var i = gid.x + gid.y * row; i < params.quads; i += stride) {
        out[i] = a[i] + 3.0f * b[i];
    }
}
