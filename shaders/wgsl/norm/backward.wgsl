// The gradient of forward.wgsl's operand, one workgroup per row.
//
// h[j] = ((x[j] - x[0]) - mean) * rstd, g[j] = dy[j] * weight[j];
// dx[j] = fused(rstd * (g[j] - h[j] * mean_k(g[k] * h[k]) - mean_k g[k])); without CENTRED x[0], mean and the last term are left out
//
// The gradients of weight and bias are sums over rows. A kernel that owns rows could not make them without atomics, so they are
// reductions of their own.
//
// Shapes: x, dy, dx [rows, cols], cols >= 1; weight [cols]; mean, rstd [rows], the mean less the row's first element.
// Grid: at least `rows` workgroups in x and y; the rest do nothing. WORKGROUP is a power of two.
// Numeric: each invocation sums in order, then a tree of fixed shape adds the invocations.
//
// Joined: value, view, tree, tree_f32, norm_backward

const WORKGROUP: u32 = 256u; // spec
const CENTRED: bool = true; // spec

fn fused(value: Value, index: u32) -> Value { return value; } // spec

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
    let m = mean[row];
    var first = 0.0f;
    if CENTRED { first = x[begin]; }
    let r = rstd[row];
    var plain = 0.0f;
    var along = 0.0f;
    for (var j = lane; j < params.cols; j += WORKGROUP) {
        let g = dy[begin + j] * weight[j];
        plain += g;
        along += g * (((x[begin + j] - first) - m) * r);
    }
    along = tree_sum(lane, along) / count;
    if CENTRED {
        plain = tree_sum(lane, plain) / count;
    } else {
        plain = 0.0f;
    }
    for (var j = lane; j < params.cols; j += WORKGROUP) {
        let g = dy[begin + j] * weight[j];
        let h = ((x[begin + j] - first) - m) * r;
        dx[begin + j] = fused(r * ((g - plain) - h * along), begin + j);
    }
}
