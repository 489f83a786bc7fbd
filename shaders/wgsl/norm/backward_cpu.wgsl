// The gradient of forward_cpu.wgsl's operand, one invocation per row: backward.wgsl for adapters on which barriers are slow.
//
// h[j] = ((x[j] - x[0]) - mean) * rstd, g[j] = dy[j] * weight[j];
// dx[j] = fused(rstd * (g[j] - h[j] * mean_k(g[k] * h[k]) - mean_k g[k])); without CENTRED x[0], mean and the last term are left out
//
// Shapes: x, dy, dx [rows, cols], cols >= 1; weight [cols]; mean, rstd [rows], the mean less the row's first element. cols counts Values.
// Grid: any number of workgroups in x and y; invocations stride over the rows.
// Numeric: sums in order, each component of a Value on its own.
//
// Joined: value, view, norm_backward

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
        let m = mean[row];
        var first = 0.0f;
        if CENTRED { first = first_of(x[begin]); }
        let r = rstd[row];
        var plains = Value(0.0f);
        var alongs = Value(0.0f);
        for (var j = 0u; j < params.cols; j++) {
            let g = dy[begin + j] * weight[j];
            plains += g;
            alongs += g * (((x[begin + j] - first) - m) * r);
        }
        let along = mean_of(alongs) / count;
        let plain = select(0.0f, mean_of(plains) / count, CENTRED);
        for (var j = 0u; j < params.cols; j++) {
            let g = dy[begin + j] * weight[j];
            let h = ((x[begin + j] - first) - m) * r;
            dx[begin + j] = fused(r * ((g - plain) - h * along), begin + j);
        }
    }
}
