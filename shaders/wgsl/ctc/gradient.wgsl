// The gradient of CTC's loss with respect to the logarithms of chances, one workgroup per step of a sequence.
//
// dlog_probs[b, t, v] = -dlosses[b] * (sum over states s of class v of exp(share[b, t, s])) / (sum over all states of exp(share[b, t, s]))
//
// Shapes: targets, links [B, S]; input_lengths, target_lengths, dlosses [B]; shares [B, T, 2S+1]; dlog_probs [B, T, V], 0 past the input's
// length, and the immediate `impossible` in the steps before if no path gives the target.
// Grid: at least B * T workgroups in x and y; the rest do nothing. WORKGROUP is a power of two.
// Numeric: the division by the step's own sum, and not by the chance of the target, takes away what all states of a step have in common:
// what the walks took off, and much of their rounding. Zeros are written first and the classes of the target over them. The labels of a class are added along their chain, the
// blanks by a tree of fixed shape.
//
// Joined: ctc, tree, tree_f32

const WORKGROUP: u32 = 64u; // spec

const LATER: u32 = 0x80000000u;

@group(0) @binding(0) var<storage, read> targets: array<u32>;           // [B, S]
@group(0) @binding(1) var<storage, read> input_lengths: array<u32>;     // [B]
@group(0) @binding(2) var<storage, read> target_lengths: array<u32>;    // [B]
@group(0) @binding(3) var<storage, read> links: array<u32>;             // [B, S]
@group(0) @binding(4) var<storage, read> shares: array<f32>;            // [B, T, 2S+1]
@group(0) @binding(5) var<storage, read> dlosses: array<f32>;           // [B]
@group(0) @binding(6) var<storage, read_write> dlog_probs: array<f32>;  // [B, T, V]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = group.x + group.y * groups.x;
    if row >= params.batch * params.time {
        return; // the whole workgroup: no barrier is left waiting
    }
    let b = row / params.time;
    let live = row - b * params.time < input_lengths[b];
    let labels = select(0u, min(target_lengths[b], params.labels), live);
    let states = select(0u, 2u * labels + 1u, live);
    let begin = row * (2u * params.labels + 1u);
    let out = row * params.classes;

    var greatest = LEAST;
    for (var s = lane; s < states; s += WORKGROUP) {
        greatest = reduced(greatest, shares[begin + s], MAX);
    }
    let top = tree_max(lane, greatest);
    let possible = !(top < 0.5f * LEAST);
    let elsewhere = select(0.0f, params.impossible, live & !possible);
    for (var v = lane; v < params.classes; v += WORKGROUP) {
        dlog_probs[out + v] = elsewhere;
    }

    var all = 0.0f;
    var blanks = 0.0f;
    for (var s = lane; s < states; s += WORKGROUP) {
        let share = exp(shares[begin + s] - top);
        all += share;
        blanks += select(0.0f, share, class_of(b, s) == params.blank);
    }
    let total = tree_sum(lane, all);
    let blank = tree_sum(lane, blanks);
    storageBarrier(); // what is written elsewhere comes before what the classes of the target have

    if live & possible {
        let scale = -dlosses[b] / total;
        if lane == 0u { dlog_probs[out + params.blank] = scale * blank; }
        for (var i = lane; i < labels; i += WORKGROUP) {
            let link = links[b * params.labels + i];
            if (link & LATER) == 0u {
                var sum = exp(shares[begin + 2u * i + 1u] - top);
                for (var next = link; next < labels; next = links[b * params.labels + next] & ~LATER) {
                    sum += exp(shares[begin + 2u * next + 1u] - top);
                }
                dlog_probs[out + class_of(b, 2u * i + 1u)] = scale * sum;
            }
        }
    }
}
