// Softmax or log-softmax of each row, one workgroup per row.
//
// m = max_j x[j], s = sum_j exp(x[j] - m);  out[j] = exp(x[j] - m) / s,  or with LOG: x[j] - m - log(s)
//
// Shapes: x, out [rows, cols], cols >= 1.
// Grid: at least `rows` workgroups in x and y; the rest do nothing. WORKGROUP is a power of two.
// Numeric: exp sees arguments <= 0 only. x[j] - m comes first and is exact for all x[j] in m/2 .. 2m. If log(s) were added to an m of some
// hundreds first, the sum would be rounded to the spacing of floats there. Each invocation sums in order, then a tree of fixed shape adds
// the invocations. A row that is all -inf gives NaN, as in PyTorch.
//
// Joined: tree, tree_f32

const WORKGROUP: u32 = 256u; // spec
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
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = group.x + group.y * groups.x;
    if row >= params.rows {
        return; // the whole workgroup: no barrier is left waiting
    }
    let begin = row * params.cols;
    let end = begin + params.cols;

    // A lane past the row's end takes the last element again, which does not change a maximum.
    var top = x[min(begin + lane, end - 1u)];
    for (var i = begin + lane + WORKGROUP; i < end; i += WORKGROUP) {
        top = max(top, x[i]);
    }
    let m = tree_max(lane, top);

    var sum = 0.0f;
    for (var i = begin + lane; i < end; i += WORKGROUP) {
        sum += exp(x[i] - m);
    }
    let s = tree_sum(lane, sum);

    if LOG {
        let log_s = log(s);
        for (var i = begin + lane; i < end; i += WORKGROUP) {
            out[i] = (x[i] - m) - log_s;
        }
    } else {
        let scale = 1.0f / s;
        for (var i = begin + lane; i < end; i += WORKGROUP) {
            out[i] = exp(x[i] - m) * scale;
        }
    }
}
