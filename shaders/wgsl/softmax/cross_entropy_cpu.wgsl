// Cross-entropy of each row and its gradient, one invocation per row: cross_entropy.wgsl for adapters whose barriers
// are dear.
//
// m = max_j x[j], s = sum_j exp(x[j] - m)
// losses = log(s) + (m - x[target]);  dlogits[j] = exp(x[j] - m) / s - (j == target)
// Where target == ignore_index, the loss and the whole row of dlogits are 0.
//
// Shapes: logits, dlogits [rows, cols]; targets, losses [rows]; cols >= 1.
// Grid: any number of workgroups in x and y; invocations stride over the rows.
// Numeric: exp sees arguments <= 0 only; m - x[target] comes first, for the reason that softmax.wgsl gives; the sum
// is taken in order. A target >= cols is the host's to refuse; here the last column stands for it, so that no read
// leaves the row.

const WORKGROUP: u32 = 64u; // spec

struct Params {
    rows: u32,
    cols: u32,
    ignore_index: u32, // 0xffffffff where none is ignored
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> logits: array<f32>;        // [rows, cols]
@group(0) @binding(1) var<storage, read> targets: array<u32>;       // [rows]
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;  // [rows]
@group(0) @binding(3) var<storage, read_write> dlogits: array<f32>; // [rows, cols]

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
        let asked = targets[row];
        if asked == params.ignore_index {
            losses[row] = 0.0f;
            for (var i = begin; i < end; i++) {
                dlogits[i] = 0.0f;
            }
            continue;
        }
        var m = logits[begin];
        for (var i = begin + 1u; i < end; i++) {
            m = max(m, logits[i]);
        }
        var s = 0.0f;
        for (var i = begin; i < end; i++) {
            let e = exp(logits[i] - m);
            dlogits[i] = e;
            s += e;
        }
        let hit = begin + min(asked, params.cols - 1u);
        losses[row] = log(s) + (m - logits[hit]);
        // The same invocation wrote these values: no barrier is needed to read them back.
        let scale = 1.0f / s;
        for (var i = begin; i < end; i++) {
            dlogits[i] *= scale;
        }
        dlogits[hit] -= 1.0f;
    }
}
