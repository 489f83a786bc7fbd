// The gradient of an embedding table: dtable[v, c] = sum over s in [starts[v], starts[v + 1]) of dy[order[s], c].
//
// The host sorts the tokens by id. `order` lists them, equal ids next to each other in their order of appearance, and `starts` says where
// each id's segment begins. So one invocation sums each element: there are no atomics and no scan of all tokens for each id.
//
// A launch adds the places first <= s < end. The first launch (first = 0) starts from 0, later ones from what is there. So adapters that
// limit the iterations of an invocation take all of N in several launches.
//
// Shapes: dy [N, C]; order [N]; starts [V + 1], starts[0] = 0, starts[V] = N; dtable [V, C], written whole.
// Grid: any number of workgroups in x and y; invocations stride over V * C, neighbours read neighbours.
// Numeric: f32 in the order of `order`, by blocks whose sums are added in turn: the error of an id with n tokens grows as
// BLOCK + n / BLOCK. The host refuses bad segments; here they are clamped, so that no read leaves a buffer.
//
// Joined: value, view

const WORKGROUP: u32 = 64u; // spec

// Tokens that are added one by one.
const BLOCK: u32 = 2048u;

struct Params {
    tokens: u32,   // N
    vocab: u32,    // V
    channels: u32, // C
    first: u32,
    end: u32,      // at most N
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> dy: array<Value>;           // [N, C]
@group(0) @binding(1) var<storage, read> order: array<u32>;        // [N]
@group(0) @binding(2) var<storage, read> starts: array<u32>;       // [V + 1]
@group(0) @binding(3) var<storage, read_write> dtable: array<Value>; // [V, C]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let len = params.vocab * params.channels;
    for (var i = gid.x + gid.y * row; i < len; i += stride) {
        let v = divide(i, params.channels);
        let c = i - v * params.channels;
        let end = min(starts[v + 1u], params.end);
        var total = Value(0.0f);
        if params.first > 0u { total = dtable[i]; }
        for (var begin = max(starts[v], params.first); begin < end; begin += BLOCK) {
            var acc = Value(0.0f);
            for (var s = begin; s < min(begin + BLOCK, end); s++) {
                let n = min(order[s], params.tokens - 1u);
                acc += dy[n * params.channels + c];
            }
            total += acc;
        }
        dtable[i] = total;
    }
}
