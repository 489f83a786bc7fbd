// Normalisation of rows that fused code computes, one invocation per row: residual.wgsl for adapters on which barriers are slow.
//
// x[j] = fused(0, j);  y[j] = (x[j] - m) * r * weight[j] + bias[j], with m and r as in forward.wgsl
//
// Shapes: x, y [rows, cols], cols >= 1; weight, bias [cols]; firsts, mean, rstd [rows]. cols counts Values. Without CENTRED `bias` is
// not read.
// Grid: any number of workgroups in x and y; invocations stride over the rows.
// Numeric: as forward_cpu.wgsl. The head is computed once for each element. The invocation that stored an element reads it back.
//
// Joined: value, view, norm_residual, norm_row

const WORKGROUP: u32 = 64u; // spec
const CENTRED: bool = true; // spec

fn fused(value: Value, index: u32) -> Value { return value; } // spec

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let line = groups.x * WORKGROUP;
    let stride = line * groups.y;
    let count = f32(params.cols);
    for (var row = gid.x + gid.y * line; row < params.rows; row += stride) {
        let begin = row * params.cols;
        var first = 0.0f;
        var total = Value(0.0f);
        for (var j = 0u; j < params.cols; j++) {
            let value = fused(Value(0.0f), begin + j);
            x[begin + j] = value;
            first = select(first, first_of(value), CENTRED && j == 0u);
            total += value - first;
        }
        let m = select(0.0f, mean_of(total) / count, CENTRED);
        let r = inverseSqrt(mean_of(squared_deviations(begin, 0u, 1u, first, m)) / count + params.eps);
        normalise(begin, 0u, 1u, first, m, r);
        firsts[row] = first;
        mean[row] = m;
        rstd[row] = r;
    }
}
