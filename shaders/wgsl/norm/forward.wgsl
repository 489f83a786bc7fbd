// Layer normalisation, or RMS normalisation, of each row, one workgroup per row.
//
// CENTRED:  m = mean_j x[j], v = mean_j (x[j] - m)^2, r = 1 / sqrt(v + eps);  y[j] = (x[j] - m) * r * weight[j] + bias[j]
// else:     m = 0,           v = mean_j x[j]^2,       r = 1 / sqrt(v + eps);  y[j] = x[j] * r * weight[j]
//
// Shapes: x, y [rows, cols], cols >= 1; weight, bias [cols]; firsts, mean, rstd [rows]. For the gradient, firsts gets the row's first
// element, mean gets m less that element, and rstd gets r. Without CENTRED `bias` is not read.
// Grid: at least `rows` workgroups in x and y; the rest do nothing. WORKGROUP is a power of two.
// Numeric: two passes. The row's first element is subtracted before anything is summed, so a mean that is large beside the spread costs
// the sums no digits. Each invocation sums in order, then a tree of fixed shape adds the invocations.
//
// Joined: value, tree, tree_f32, norm_forward, norm_row

const WORKGROUP: u32 = 256u; // spec
const CENTRED: bool = true; // spec

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
    let count = f32(params.cols);
    var first = 0.0f;
    var m = 0.0f;
    if CENTRED {
        first = x[begin];
        var total = 0.0f;
        for (var j = lane; j < params.cols; j += WORKGROUP) {
            total += x[begin + j] - first;
        }
        m = tree_sum(lane, total) / count;
    }
    let spread = tree_sum(lane, squared_deviations(begin, lane, WORKGROUP, first, m));
    let r = inverseSqrt(spread / count + params.eps);
    normalise(begin, lane, WORKGROUP, first, m, r);
    if lane == 0u {
        firsts[row] = first;
        mean[row] = m;
        rstd[row] = r;
    }
}
