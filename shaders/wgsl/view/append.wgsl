// New rows of sequences into a tensor that holds those before them: out[b, first[b] + t, c] = rows[b, t, c].
//
// Shapes: rows [B, T, C]; first [B]; out [B, S, C], of which everything else stays as it is.
// Grid: any number of workgroups in x and y; invocations stride over the rows, neighbours copy neighbours.
// Numeric: words are copied as bits. first[b] + T <= S is the host's to check; what would pass S is left out here, so that
// no row reaches into the next sequence.

const WORKGROUP: u32 = 64u; // spec

struct Params {
    len: u32,      // B * T * C
    keys: u32,     // S
    time: u32,     // T
    channels: u32, // C
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> rows: array<u32>;      // [B, T, C]
@group(0) @binding(1) var<storage, read> first: array<u32>;     // [B]
@group(0) @binding(2) var<storage, read_write> out: array<u32>; // [B, S, C]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let one = params.time * params.channels;
    for (var i = gid.x + gid.y * row; i < params.len; i += stride) {
        let b = divide(i, one);
        // Among the elements of its sequence; S * C of them can be numbered, so this cannot wrap.
        let at = min(first[b], params.keys) * params.channels + (i - b * one);
        let all = params.keys * params.channels;
        if at < all { out[b * all + at] = rows[i]; }
    }
}
