// The backward variables of CTC, and with them how likely each state is at each step, one workgroup per sequence.
//
// beta[t, s] = log of the chance that steps t.. emit what a path from state s on emits:
// beta[last, s] = p[last, s] for s >= 2L - 1, beta[t, s] = log_sum(beta[t+1, s], beta[t+1, s+1], beta[t+1, s+2] where a path passes) + p[t, s],
// p[t, s] = log_probs[t, class of s]; share[t, s] = alpha[t, s] + beta[t, s] - p[t, s], the log of what all paths through s have at t.
// Stored are beta and share less what was taken off, which is the same for all states of a step.
//
// Shapes: log_probs [B, T, V]; targets [B, S]; input_lengths, target_lengths [B]; alphas, shares [B, T, 2S+1]; betas [B, 2, 2S+1], those
// of even and of odd steps, because a step needs only the one behind it. Past the lengths a share has no meaning.
// Grid: as forward.wgsl. A launch walks the steps from T - 1 - first down to T - end. WORKGROUP is a power of two.
// Numeric: as ctc.wgsl says. Each state adds in a fixed order.
//
// Joined: ctc, tree, tree_f32

const WORKGROUP: u32 = 64u; // spec

@group(0) @binding(0) var<storage, read> log_probs: array<f32>;      // [B, T, V]
@group(0) @binding(1) var<storage, read> targets: array<u32>;        // [B, S]
@group(0) @binding(2) var<storage, read> input_lengths: array<u32>;  // [B]
@group(0) @binding(3) var<storage, read> target_lengths: array<u32>; // [B]
@group(0) @binding(4) var<storage, read> alphas: array<f32>;         // [B, T, 2S+1]
@group(0) @binding(5) var<storage, read_write> betas: array<f32>;    // [B, 2, 2S+1]
@group(0) @binding(6) var<storage, read_write> shares: array<f32>;   // [B, T, 2S+1]

// betas[at], LEAST where the condition fails.
fn beta_if(reached: bool, at: u32) -> f32 {
    if reached { return betas[at]; }
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
    for (var walked = params.first; walked < params.end; walked++) {
        let t = params.time - 1u - walked;
        let row = b * params.time + t;
        let one_behind = (b * 2u + (t + 1u) % 2u) * width;
        var off = 0.0f;
        if t % APART == 0u {
            var greatest = LEAST;
            for (var s = lane; s < states && t + 1u < steps; s += WORKGROUP) {
                greatest = reduced(greatest, betas[one_behind + s], MAX);
            }
            off = taken_off(tree_max(lane, greatest));
        }
        for (var s = lane; s < width; s += WORKGROUP) {
            var share = LEAST;
            if t < steps && s < states {
                var behind = select(LEAST, 0.0f, s + 2u >= states);
                if t + 1u < steps {
                    let at = one_behind + s;
                    let passed = s + 2u < states && passes(b, s + 2u);
                    behind = log_sum(betas[at], beta_if(s + 1u < states, at + 1u), beta_if(passed, at + 2u)) - off;
                }
                let chance = bounded(log_probs[row * params.classes + class_of(b, s)]);
                betas[(b * 2u + t % 2u) * width + s] = bounded(behind + chance);
                share = bounded(alphas[row * width + s] + behind);
            }
            shares[row * width + s] = share;
        }
        storageBarrier(); // the next step reads what other invocations have written
    }
}
