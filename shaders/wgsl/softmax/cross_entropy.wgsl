// Cross-entropy of each row, one workgroup per row.
//
// top = max_j x[j], total = sum_j exp(x[j] - top);
// loss = log(total) + (1 - smoothing) * (top - x[target]) + smoothing * mean_j (top - x[j]), 0 where target == ignore_index
//
// Shapes: logits [rows, cols], cols >= 1; targets, losses, tops, totals [rows]. The gradient takes `tops` and `totals`. The graph takes
// the mean over the rows that count.
// Grid: at least `rows` workgroups in x and y; the rest do nothing. WORKGROUP is a power of two.
// Numeric: exp sees arguments <= 0 only; logit less top comes first, as in softmax.wgsl. Each invocation sums in order, then a tree of
// fixed shape adds the invocations. The host refuses a target >= cols; here the last column stands for it, so that no read leaves the row.
//
// Joined: tree, tree_f32

const WORKGROUP: u32 = 256u; // spec

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
    var greatest = logits[min(begin + lane, end - 1u)];
    for (var i = begin + lane + WORKGROUP; i < end; i += WORKGROUP) {
        greatest = max(greatest, logits[i]);
    }
    let top = tree_max(lane, greatest);

    var sum = 0.0f;
    var lower = 0.0f;
    for (var i = begin + lane; i < end; i += WORKGROUP) {
        let d = logits[i] - top;
        sum += exp(d);
        lower -= d;
    }
    let total = tree_sum(lane, sum);
    let below = tree_sum(lane, lower);

    if lane == 0u {
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
