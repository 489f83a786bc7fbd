// Cross-entropy of each row and its gradient in one pass, one workgroup per row.
//
// m = max_j x[j], s = sum_j exp(x[j] - m)
// losses = log(s) + (m - x[target]);  dlogits[j] = exp(x[j] - m) / s - (j == target)
// Where target == ignore_index, the loss and the whole row of dlogits are 0.
//
// Shapes: logits, dlogits [rows, cols]; targets, losses [rows]; cols >= 1. The mean over the rows that count, and
// the factor that it puts before dlogits, belong to the graph.
// Grid: at least `rows` workgroups in x and y; the rest do nothing. WORKGROUP is a power of two.
// Numeric: exp sees arguments <= 0 only; m - x[target] comes first, for the reason that softmax.wgsl gives. The sum
// is taken per invocation in order, then by a tree of fixed shape. A target >= cols is the host's to refuse; here the
// last column stands for it, so that no read leaves the row.

const WORKGROUP: u32 = 256u; // spec

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

var<workgroup> partial: array<f32, WORKGROUP>;

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
    let asked = targets[row];
    let counts = asked != params.ignore_index;
    let hit = begin + min(asked, params.cols - 1u);

    // A lane beyond the row repeats its last element, which a maximum does not notice.
    var top = logits[min(begin + lane, end - 1u)];
    for (var i = begin + lane + WORKGROUP; i < end; i += WORKGROUP) {
        top = max(top, logits[i]);
    }
    partial[lane] = top;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
    }
    workgroupBarrier();
    let m = partial[0];
    workgroupBarrier(); // everyone has read it before it is overwritten

    var sum = 0.0f;
    for (var i = begin + lane; i < end; i += WORKGROUP) {
        sum += exp(logits[i] - m);
    }
    partial[lane] = sum;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
        }
    }
    workgroupBarrier();
    let s = partial[0];

    if lane == 0u {
        losses[row] = select(0.0f, log(s) + (m - logits[hit]), counts);
    }
    let scale = 1.0f / s;
    for (var i = begin + lane; i < end; i += WORKGROUP) {
        let d = exp(logits[i] - m) * scale - select(0.0f, 1.0f, i == hit);
        dlogits[i] = select(0.0f, d, counts);
    }
}
