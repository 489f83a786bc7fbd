// Second stage of the global gradient norm: the norm, the factor for the gradients, and whether to skip the step.
//
// norm     = sqrt(sum_j partials[j]) / loss_scale                      (the norm of the unscaled gradients)
// stats[0] = norm
// stats[1] = (clip_norm > 0 ? min(1, clip_norm / (norm + 1e-6)) : 1) / loss_scale
// stats[2] = 1 if a partial or the norm is infinite or NaN, else 0
// stats[3] = 0
//
// Shapes: partials [count]; stats [4].
// Grid: one workgroup. WORKGROUP is a power of two.
// Numeric: partials are added per invocation in order, then by a tree of fixed shape. Finiteness is read from the
// exponent bits, of each partial too, since a compiler may
// assume that floats compare as finite ones do, and that no sum meets a NaN. 1e-6 is PyTorch's.

const WORKGROUP: u32 = 256u; // spec

// The exponent of what is not finite.
const NOT_FINITE: u32 = 0x7f800000u;

struct Params {
    count: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> control: Control;
@group(0) @binding(1) var<storage, read> partials: array<f32>;    // [count]
@group(0) @binding(2) var<storage, read_write> stats: array<f32>; // [4]

var<workgroup> partial: array<f32, WORKGROUP>;
var<workgroup> exponents: array<u32, WORKGROUP>; // the largest of each invocation

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var acc = 0.0f;
    var largest = 0u;
    for (var i = lane; i < params.count; i += WORKGROUP) {
        acc += partials[i];
        largest = max(largest, bitcast<u32>(partials[i]) & NOT_FINITE);
    }
    partial[lane] = acc;
    exponents[lane] = largest;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
            exponents[lane] = max(exponents[lane], exponents[lane + half]);
        }
    }
    if lane == 0u {
        let norm = sqrt(partial[0]) / control.loss_scale;
        let not_finite = max(exponents[0], bitcast<u32>(norm) & NOT_FINITE) == NOT_FINITE;
        let clip = select(1.0f, min(1.0f, control.clip_norm / (norm + 1e-6f)), control.clip_norm > 0.0f);
        stats[0] = norm;
        stats[1] = clip / control.loss_scale;
        stats[2] = select(0.0f, 1.0f, not_finite);
        stats[3] = 0.0f;
    }
}
