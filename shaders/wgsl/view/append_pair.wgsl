// Stores new rows in two tensors of one shape, such as keys and values: append.wgsl twice in one launch.
//
// Shapes: rows_a, rows_b [B, T, C]; first [B]; out_a, out_b [B, S, C], whose other elements stay as they are.
// Grid: any number of workgroups in x and y; invocations stride over the rows, neighbours copy neighbours.
// Numeric: words are copied as bits. Rows past S are dropped.
//
// Joined: view, append

const WORKGROUP: u32 = 64u; // spec

@group(0) @binding(0) var<storage, read> rows_a: array<u32>;      // [B, T, C]
@group(0) @binding(1) var<storage, read> rows_b: array<u32>;      // [B, T, C]
@group(0) @binding(2) var<storage, read> first: array<u32>;       // [B]
@group(0) @binding(3) var<storage, read_write> out_a: array<u32>; // [B, S, C]
@group(0) @binding(4) var<storage, read_write> out_b: array<u32>; // [B, S, C]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var i = gid.x + gid.y * row; i < params.len; i += stride) {
        let at = appended(i);
        if at != NOWHERE {
            out_a[at] = rows_a[i];
            out_b[at] = rows_b[i];
        }
    }
}
