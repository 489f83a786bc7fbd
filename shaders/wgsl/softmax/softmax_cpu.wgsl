// Softmax or log-softmax of each row, one invocation per row: softmax.wgsl for adapters on which barriers are slow.
//
// m = max_j x[j], s = sum_j exp(x[j] - m);  out[j] = exp(x[j] - m) / s,  or with LOG: x[j] - m - log(s)
//
// Shapes: x, out [rows, cols], cols >= 1.
// Grid: any number of workgroups in x and y; invocations stride over the rows.
// Numeric: exp sees arguments <= 0 only; x[j] - m comes first, as in softmax.wgsl; the sum is taken in order. A row that is all -inf gives
// NaN, as in PyTorch.
//
// Joined: nothing

const WORKGROUP: u32 = 64u; // spec
const LOG: bool = false; // spec

struct Params {
    rows: u32,
    cols: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;         // [rows, cols]
@group(0) @binding(1) var<storage, read_write> out: array<f32>; // [rows, cols]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let line = groups.x * WORKGROUP;
    let stride = line * groups.y;
    for (var row = gid.x + gid.y * line; row < params.rows; row += stride) {
        let begin = row * params.cols;
        let end = begin + params.cols;
        var m = x[begin];
        for (var i = begin + 1u; i < end; i++) {
            m = max(m, x[i]);
        }
        var s = 0.0f;
        for (var i = begin; i < end; i++) {
            let e = exp(x[i] - m);
            s += e;
            if !LOG {
                out[i] = e;
            }
        }
        if LOG {
            let log_s = log(s);
            for (var i = begin; i < end; i++) {
                out[i] = (x[i] - m) - log_s;
            }
        } else {
            // The same invocation wrote these values: no barrier is needed to read them back.
            let scale = 1.0f / s;
            for (var i = begin; i < end; i++) {
                out[i] *= scale;
            }
        }
    }
}
