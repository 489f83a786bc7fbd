// Cross-entropy of each row, one invocation per row: cross_entropy.wgsl for adapters on which barriers are slow.
//
// top = max_j x[j], total = sum_j exp(x[j] - top);
// loss = log(total) + (1 - smoothing) * (top - x[target]) + smoothing * mean_j (top - x[j]), 0 where target == ignore_index
//
// Shapes: logits [rows, cols], cols >= 1; targets, losses, tops, totals [rows].
// Grid: any number of workgroups in x and y; invocations stride over the rows.
// Numeric: exp sees arguments <= 0 only; logit less top comes first, as in softmax.wgsl; sums in order. The host refuses a target >= cols;
// here the last column stands for it, so that no read leaves the row.
//
// Joined: nothing

const WORKGROUP: u32 = 64u; // spec

struct Params {
    rows: u32,
    cols: u32,
    ignore_index: u32, // 0xffffffff where none is ignored
    smoothing: f32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> logits: array<f32>;       // [rows, cols]
@group(0) @binding(1) var<storage, read> targets: array<u32>;      // [rows]
@group(0) @binding(2) var<storage, read_write> losses: array<f32>; // [rows]
@group(0) @binding(3) var<storage, read_write> tops: array<f32>;   // [rows]
@group(0) @binding(4) var<storage, read_write> totals: array<f32>; // [rows]

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
        var top = logits[begin];
        for (var i = begin + 1u; i < end; i++) {
            top = max(top, logits[i]);
        }
        var total = 0.0f;
        var below = 0.0f;
        for (var i = begin; i < end; i++) {
            let d = logits[i] - top;
            total += exp(d);
            below -= d;
        }
        tops[row] = top;
        totals[row] = total;
        let asked = targets[row];
        let hit = begin + min(asked, params.cols - 1u);
        var loss = log(total) + (1.0f - params.smoothing) * (top - logits[hit]);
        if params.smoothing > 0.0f { // without smoothing a logit of -inf is legal
            loss += params.smoothing * (below / f32(params.cols));
        }
        losses[row] = select(0.0f, loss, asked != params.ignore_index);
    }
}
