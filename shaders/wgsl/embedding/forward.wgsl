// Rows of a table by id: out[n, c] = table[ids[n], c].
//
// Shapes: table [V, C]; ids [N]; out [N, C].
// Grid: any number of workgroups in x and y; invocations stride over N * C, neighbours copy neighbours.
// Numeric: a copy. An id >= V is the host's to refuse; here the last row stands for it, so that no read leaves the
// table.

const WORKGROUP: u32 = 64u; // spec

struct Params {
    tokens: u32,   // N
    vocab: u32,    // V
    channels: u32, // C
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> table: array<f32>;     // [V, C]
@group(0) @binding(1) var<storage, read> ids: array<u32>;       // [N]
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [N, C]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let len = params.tokens * params.channels;
    for (var i = gid.x + gid.y * row; i < len; i += stride) {
        let n = divide(i, params.channels);
        let c = i - n * params.channels;
        let id = min(ids[n], params.vocab - 1u);
        out[i] = table[id * params.channels + c];
    }
}
