// AdamW with decoupled decay, as PyTorch's: one Value of the arenas per turn.
//
// g  = grads * stats[1]                                     (clip factor and 1 / loss_scale)
// m  = beta1 * m + (1 - beta1) * g                          moment1
// v  = beta2 * v + (1 - beta2) * g^2                        moment2
// w  = w - lr * weight_decay * w
// w  = w - lr * (m * correction1) / (sqrt(v * correction2) + eps)
// Nothing changes where stats[2] != 0 (a gradient was not finite).
//
// Shapes: grads, weights, moment1, moment2 [len], in Values; stats [4] of norm_finish.wgsl.
// Grid: any number of workgroups in x and y; invocations stride over the arena.
// Numeric: f32 throughout; the corrections come from the host, which computes 1 - beta^t in f64.

const WORKGROUP: u32 = 64u; // spec

struct Params {
    len: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> control: Control;
@group(0) @binding(1) var<storage, read> stats: array<f32>;         // [4]
@group(0) @binding(2) var<storage, read> grads: array<Value>;         // [len]
@group(0) @binding(3) var<storage, read_write> weights: array<Value>; // [len]
@group(0) @binding(4) var<storage, read_write> moment1: array<Value>; // [len]
@group(0) @binding(5) var<storage, read_write> moment2: array<Value>; // [len]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    if stats[2] != 0.0f {
        return;
    }
    let scale = stats[1];
    let beta1 = control.beta1;
    let beta2 = control.beta2;
    let keep = 1.0f - control.lr * control.weight_decay;
    let step = control.lr * control.correction1;
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var i = gid.x + gid.y * row; i < params.len; i += stride) {
        let g = grads[i] * scale;
        let m = beta1 * moment1[i] + (1.0f - beta1) * g;
        let v = beta2 * moment2[i] + (1.0f - beta2) * g * g;
        moment1[i] = m;
        moment2[i] = v;
        weights[i] = weights[i] * keep - step * m / (sqrt(v * control.correction2) + control.eps);
    }
}
