// A copy through a window: slice, flip, pad, transpose and broadcast are this one kernel with other numbers.
//
// out[i] = x[offset + dot(idx - lo, strides)] where lo <= idx < lo + extent on all four axes, else fill;
// idx is i split row-major by dims.
//
// Shapes: out [dims], len = product of dims; x is any tensor that the window's addresses fall into.
// Grid: any number of workgroups in x and y; invocations stride over the output.
// A Word is an element, or four that are neighbours in x and in out; all numbers count Words.
// Numeric: words are copied as bits (u32), so f32 and u32 tensors pass unchanged, NaN payloads included.
//
// Joined: view

const WORKGROUP: u32 = 64u; // spec
alias Word = u32; // spec

struct Params {
    dims: vec4<u32>,    // extents of out, outermost first
    strides: vec4<u32>, // element strides of x, 0 to broadcast; a negative one wraps, and so does the sum
    lo: vec4<u32>,      // where the window begins in out
    extent: vec4<u32>,  // how far it goes
    len: u32,
    offset: u32,        // of the window's first element in x
    fill: u32,          // bits of what stands outside the window
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<Word>;
@group(0) @binding(1) var<storage, read_write> out: array<Word>; // [len]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var i = gid.x + gid.y * row; i < params.len; i += stride) {
        let q2 = divide(i, params.dims.w);
        let q1 = divide(q2, params.dims.z);
        let q0 = divide(q1, params.dims.y);
        let idx = vec4<u32>(q0, q1 - q0 * params.dims.y, q2 - q1 * params.dims.z, i - q2 * params.dims.w);
        // Wraps to a huge number below lo, so one comparison covers both ends.
        let at = idx - params.lo;
        var value = Word(params.fill);
        if all(at < params.extent) {
            let s = at * params.strides;
            value = x[params.offset + s.x + s.y + s.z + s.w];
        }
        out[i] = value;
    }
}
