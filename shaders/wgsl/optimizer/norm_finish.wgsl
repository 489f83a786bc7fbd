// Second stage of the global gradient norm: the norm, the factor for the gradients, and whether to skip the step.
//
// norm     = sqrt(sum_j partials[j]) / loss_scale                      (the norm of the unscaled gradients)
// stats[0] = norm
// stats[1] = (clip_norm > 0 ? min(1, clip_norm / (norm + 1e-6)) : 1) / loss_scale
// stats[2] = 1 if norm is infinite or NaN, else 0
// stats[3] = 0
//
// Shapes: partials [count]; stats [4].
// Grid: one workgroup. WORKGROUP is a power of two.
// Numeric: partials are added per invocation in order, then by a tree of fixed shape. Finiteness is read from the
// exponent bits, since a compiler may assume that floats compare as finite ones do. 1e-6 is PyTorch's.

const WORKGROUP: u32 = 256u; // spec

struct Params {
    count: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> control: Control;
@group(0) @binding(1) var<storage, read> partials: array<f32>;    // [count]
@group(0) @binding(2) var<storage, read_write> stats: array<f32>; // [4]

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var acc = 0.0f;
    for (var i = lane; i < params.count; i += WORKGROUP) {
        acc += partials[i];
    }
    partial[lane] = acc;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
        }
    }
    if lane == 0u {
        let norm = sqrt(partial[0]) / control.loss_scale;
        let not_finite = (bitcast<u32>(norm) & 0x7f800000u) == 0x7f800000u;
        let clip = select(1.0f, min(1.0f, control.clip_norm / (norm + 1e-6f)), control.clip_norm > 0.0f);
        stats[0] = norm;
        stats[1] = clip / control.loss_scale;
        stats[2] = select(0.0f, 1.0f, not_finite);
        stats[3] = 0.0f;
    }
}
