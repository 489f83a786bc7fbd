// out[i] = a[i] + 3·b[i]: the triad of STREAM (McCalpin 1995), how fast a device moves memory.
//
// Shapes: out, a, b [len].
// Grid: any number of workgroups in x and y; invocations stride over groups of four elements. Neighbours touch neighbours,
// so a GPU reads whole lines, and the four loads of an invocation wait together.
// Numeric: none of its own.

const WORKGROUP: u32 = 64u; // spec

struct Params {
    quads: u32, // len / 4
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>; // [len]
@group(0) @binding(1) var<storage, read> b: array<f32>; // [len]
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [len]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var i = gid.x + gid.y * row; i < params.quads; i += stride) {
        let i1 = i + params.quads;
        let i2 = i1 + params.quads;
        let i3 = i2 + params.quads;
        let a0 = a[i];
        let b0 = b[i];
        let a1 = a[i1];
        let b1 = b[i1];
        let a2 = a[i2];
        let b2 = b[i2];
        let a3 = a[i3];
        let b3 = b[i3];
        out[i] = fma(b0, 3.0f, a0);
        out[i1] = fma(b1, 3.0f, a1);
        out[i2] = fma(b2, 3.0f, a2);
        out[i3] = fma(b3, 3.0f, a3);
    }
}
