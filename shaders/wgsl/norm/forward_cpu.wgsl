// Layer normalisation, or RMS normalisation, of each row, one invocation per row: forward.wgsl for adapters on which barriers are slow.
//
// CENTRED:  m = mean_j x[j], v = mean_j (x[j] - m)^2, r = 1 / sqrt(v + eps);  y[j] = (x[j] - m) * r * weight[j] + bias[j]
// else:     m = 0,           v = mean_j x[j]^2,       r = 1 / sqrt(v + eps);  y[j] = x[j] * r * weight[j]
//
// Shapes: x, y [rows, cols], cols >= 1; weight, bias [cols]; firsts, mean, rstd [rows] as in forward.wgsl. cols counts Values. Without
// CENTRED `bias` is not read.
// Grid: any number of workgroups in x and y; invocations stride over the rows.
// Numeric: two passes and the first element subtracted, as in forward.wgsl. Sums in order, each component of a Value on its own.
//
// Joined: value, norm_forward, norm_row

const WORKGROUP: u32 = 64u; // spec
const CENTRED: bool = true; // spec

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
        var m = 0.0f;
        if CENTRED {
            first = first_of(x[begin]);
            var total = Value(0.0f);
            for (var j = 0u; j < params.cols; j++) {
                total += x[begin + j] - first;
            }
            m = mean_of(total) / count;
        }
        let r = inverseSqrt(mean_of(squared_deviations(begin, 0u, 1u, first, m)) / count + params.eps);
        normalise(begin, 0u, 1u, first, m, r);
        firsts[row] = first;
        mean[row] = m;
        rstd[row] = r;
    }
}
