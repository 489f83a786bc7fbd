// The gradient of the cross-entropy of each row, in place: it overwrites the row's logits.
//
// x[j] becomes dloss * (exp(x[j] - top) / total - (1 - smoothing) * (j == target) - smoothing / cols), and 0 where
// target == ignore_index.
//
// Shapes: x [rows, cols], cols >= 1; targets, tops, totals, dlosses [rows]. `tops` and `totals` come from the forward kernel: the greatest
// logit of a row, and the sum of exp(x - top).
// Grid: any number of workgroups in x and y, which stride over the rows; the invocations of a workgroup stride over a row's columns. There
// is no barrier, so every adapter runs this kernel.
// Numeric: every element is computed on its own; exp sees arguments <= 0 only. The host refuses a target >= cols; here the last column
// stands for it.
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

@group(0) @binding(0) var<storage, read> targets: array<u32>;  // [rows]
@group(0) @binding(1) var<storage, read> tops: array<f32>;     // [rows]
@group(0) @binding(2) var<storage, read> totals: array<f32>;   // [rows]
@group(0) @binding(3) var<storage, read> dlosses: array<f32>;  // [rows]
@group(0) @binding(4) var<storage, read_write> x: array<f32>;  // [rows, cols]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let everywhere = params.smoothing / f32(params.cols);
    for (var row = group.x + group.y * groups.x; row < params.rows; row += groups.x * groups.y) {
        let begin = row * params.cols;
        let asked = targets[row];
        let counts = asked != params.ignore_index;
        let hit = min(asked, params.cols - 1u);
        let top = tops[row];
        let scale = 1.0f / totals[row];
        let d = dlosses[row];
        for (var j = lane; j < params.cols; j += WORKGROUP) {
            let wanted = select(0.0f, 1.0f - params.smoothing, j == hit) + everywhere;
            let apart = exp(x[begin + j] - top) * scale - wanted;
            x[begin + j] = select(0.0f, d * apart, counts);
        }
    }
}
