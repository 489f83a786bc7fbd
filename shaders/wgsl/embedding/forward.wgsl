// Rows of a table by id: out[n, c] = fused(table[ids[n], c], n * C + c), with 0 for the element where ids[n] >= V. The fused epilogue is
// what follows an embedding: a scale, the position's vector, dropout.
//
// Shapes: table [V, C]; ids [N]; out [N, C]; C counts Values.
// Grid: any number of workgroups in x and y; invocations stride over N * C, neighbours copy neighbours.
// Numeric: a copy, apart from the fused code. The host decides whether an id >= V is a mistake. Where rows are only moved, such an id
// means that no row stands there.
//
// Joined: value, view

const WORKGROUP: u32 = 64u; // spec

struct Params {
    tokens: u32,   // N
    vocab: u32,    // V
    channels: u32, // C
    view: View,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> table: array<Value>;     // [V, C]
@group(0) @binding(1) var<storage, read> ids: array<u32>;       // [N]
@group(0) @binding(2) var<storage, read_write> out: array<Value>; // [N, C]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

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
        let id = ids[n];
        let value = table[min(id, params.vocab - 1u) * params.channels + c];
        out[i] = fused(select(Value(0.0f), value, id < params.vocab), i);
    }
}
