// Normalisation of rows that fused code computes, one workgroup per row: forward.wgsl with a fused head such as x + dropout(z). The rows
// are stored for their other users.
//
// x[j] = fused(0, j);  y[j] = (x[j] - m) * r * weight[j] + bias[j], with m and r as in forward.wgsl
//
// Shapes: x, y [rows, cols], cols >= 1; weight, bias [cols]; firsts, mean, rstd [rows]. Without CENTRED `bias` is not read.
// Grid: at least `rows` workgroups in x and y; the rest do nothing. WORKGROUP is a power of two.
// Numeric: as forward.wgsl. The head is computed once for each element. The invocation that stored an element reads it back.
//
// Joined: value, view, tree, tree_f32, norm_residual, norm_row

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
    var first = 0.0f;
    if CENTRED {
        first = fused(0.0f, begin);
    }
    var total = 0.0f;
    for (var j = lane; j < params.cols; j += WORKGROUP) {
        let value = fused(0.0f, begin + j);
        x[begin + j] = value;
        total += value - first;
    }
    var m = 0.0f;
    if CENTRED {
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
