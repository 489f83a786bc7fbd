// The loss of CTC and its forward variables, one workgroup per sequence.
//
// alpha[t, s] = log of the chance that steps 0..t emit what a path to state s emits:
// alpha[0, s] = p[0, s] for s < 2, alpha[t, s] = log_sum(alpha[t-1, s], alpha[t-1, s-1], alpha[t-1, s-2] where a path passes) + p[t, s],
// p[t, s] = log_probs[t, class of s]; loss = -log(exp(alpha[last, 2L]) + exp(alpha[last, 2L-1])).
// What is stored is alpha less what was taken off up to t, which is the same for all states of a step.
//
// Shapes: log_probs [B, T, V]; targets [B, S]; input_lengths, target_lengths, losses [B]; alphas [B, T, 2S+1], LEAST past the lengths.
// Grid: at least B workgroups in x and y; the rest do nothing. Invocations share the states, and a barrier parts the steps. A launch walks
// the steps first..end and goes on from what the one before left in alphas, and in losses, where it keeps what was taken off.
// WORKGROUP is a power of two.
// Numeric: as ctc.wgsl says. Each state adds in a fixed order. The loss of an empty sequence is 0 if its target is empty too.
//
// Joined: ctc, tree, tree_f32

const WORKGROUP: u32 = 64u; // spec

@group(0) @binding(0) var<storage, read> log_probs: array<f32>;      // [B, T, V]
@group(0) @binding(1) var<storage, read> targets: array<u32>;        // [B, S]
@group(0) @binding(2) var<storage, read> input_lengths: array<u32>;  // [B]
@group(0) @binding(3) var<storage, read> target_lengths: array<u32>; // [B]
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;   // [B]
@group(0) @binding(5) var<storage, read_write> alphas: array<f32>;   // [B, T, 2S+1]

// alphas[row, state], LEAST where the condition fails.
fn alpha_if(reached: bool, at: u32) -> f32 {
    if reached { return alphas[at]; }
    return LEAST;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let b = group.x + group.y * groups.x;
    if b >= params.batch {
        return; // the whole workgroup: no barrier is left waiting
    }
    let steps = min(input_lengths[b], params.time);
    let states = 2u * min(target_lengths[b], params.labels) + 1u;
    let width = 2u * params.labels + 1u;
    var offset = 0.0f; // what was taken off up to here
    if params.first > 0u { offset = losses[b]; }
    for (var t = params.first; t < params.end; t++) {
        let row = b * params.time + t;
        var off = 0.0f;
        if t % APART == 0u && t > 0u {
            var greatest = LEAST;
            for (var s = lane; s < width; s += WORKGROUP) {
                greatest = reduced(greatest, alphas[(row - 1u) * width + s], MAX);
            }
            off = taken_off(tree_max(lane, greatest));
            offset += off;
        }
        for (var s = lane; s < width; s += WORKGROUP) {
            var alpha = LEAST;
            if t < steps && s < states {
                var before = select(LEAST, 0.0f, s < 2u);
                if t > 0u {
                    let at = (row - 1u) * width + s;
                    before = log_sum(alphas[at], alpha_if(s >= 1u, at - 1u), alpha_if(passes(b, s), at - 2u));
                }
                alpha = bounded(before - off + bounded(log_probs[row * params.classes + class_of(b, s)]));
            }
            alphas[row * width + s] = alpha;
        }
        storageBarrier(); // the next step reads what other invocations have written
    }
    if lane == 0u {
        if params.end < params.time {
            losses[b] = offset;
            return;
        }
        var chance = select(LEAST, 0.0f, states == 1u);
        if steps > 0u {
            let last = (b * params.time + steps - 1u) * width + states - 1u;
            chance = log_sum(alphas[last], alpha_if(states > 1u, last - 1u), LEAST);
        }
        losses[b] = select(-(chance + offset), params.impossible, chance < 0.5f * LEAST);
    }
}
