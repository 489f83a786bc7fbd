// AdamW with decoupled weight decay, as PyTorch's, over the arenas.
//
// g  = grads * stats[1]                                     (clip factor and 1 / loss_scale)
// m  = beta1 * m + (1 - beta1) * g                          moment1
// v  = beta2 * v + (1 - beta2) * g^2                        moment2
// w  = w - lr * weight_decay * w
// w  = w - lr * (m * c1) / (sqrt(v * c2) + eps)             c1, c2 of the parameter that the Value belongs to
// Nothing changes where stats[2] != 0 (the step is skipped).
//
// The learning rate is stats[4]. Where all parameters have had the same number of updates, as is usual, they share the corrections
// stats[5] and stats[6], and nothing is looked up. Otherwise `owners` names the parameter of each block of 256 bytes.
//
// Shapes: grads, weights, moment1, moment2 [len], in Values; stats [8 + 2P] of norm_finish.wgsl. owners: one a block of the whole arena;
// this launch has the blocks from `first` on.
// Grid: any number of workgroups in x and y; invocations stride over the arena.
// Numeric: f32 throughout.
//
// Joined: value, control

const WORKGROUP: u32 = 64u; // spec

struct Params {
    len: u32,
    first: u32,
    block: u32, // Values in 256 bytes
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> control: Control;
@group(0) @binding(1) var<storage, read> stats: array<f32>;         // [8 + 2P]
@group(0) @binding(2) var<storage, read> owners: array<u32>;        // [>= first + len / block]
@group(0) @binding(3) var<storage, read> grads: array<Value>;         // [len]
@group(0) @binding(4) var<storage, read_write> weights: array<Value>; // [len]
@group(0) @binding(5) var<storage, read_write> moment1: array<Value>; // [len]
@group(0) @binding(6) var<storage, read_write> moment2: array<Value>; // [len]

// The numbers that all Values share.
struct Step {
    scale: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    keep: f32,
    lr: f32,
}

fn update(step: Step, i: u32, correction1: f32, correction2: f32) {
    let g = grads[i] * step.scale;
    let m = step.beta1 * moment1[i] + (1.0f - step.beta1) * g;
    let v = step.beta2 * moment2[i] + (1.0f - step.beta2) * g * g;
    moment1[i] = m;
    moment2[i] = v;
    weights[i] = weights[i] * step.keep - step.lr * correction1 * m / (sqrt(v * correction2) + step.eps);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    if stats[2] != 0.0f {
        return;
    }
    let lr = stats[4];
    let keep = 1.0f - lr * control.weight_decay;
    let step = Step(stats[1], control.beta1, control.beta2, control.eps, keep, lr);
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let begin = gid.x + gid.y * row;
    if stats[3] == 0.0f {
        let c1 = stats[5];
        let c2 = stats[6];
        for (var i = begin; i < params.len; i += stride) {
            update(step, i, c1, c2);
        }
    } else {
        for (var i = begin; i < params.len; i += stride) {
            let at = 8u + 2u * owners[params.first + i / params.block];
            update(step, i, stats[at], stats[at + 1u]);
        }
    }
}
