// Second stage of the global gradient norm: the norm, the factor for the gradients, and whether to skip the step. If the step is not
// skipped, this kernel also counts the update and computes the numbers that an optimizer needs.
//
// norm     = sqrt(sum_j partials[j]) / loss_scale                      (the norm of the unscaled gradients)
// stats[0] = norm
// stats[1] = (clip_norm > 0 ? min(1, clip_norm / (norm + 1e-6)) : 1) / loss_scale
// stats[2] = 1 if a partial or the norm is infinite or NaN: the step is skipped; else 0
// stats[3] = 1 if two members have had different numbers of updates, else 0
// stats[4] = the learning rate
// stats[5], stats[6] = corrections of the first member, c1 and c2      (of all members where stats[3] is 0)
// stats[7] = t of the first member
// stats[8 + 3p], stats[9 + 3p], stats[10 + 3p] = corrections and t of parameter p, if it is a member
// counts[0] += 1, counts[1 + p] += 1 for each member p                  (if the step is not skipped)
//
// A member is a parameter that this step updates. Its corrections are c = 1 / (1 - beta^t). t is its own number of updates, this one
// included: a parameter whose first gradient comes late starts from 1, as in PyTorch. The host wrote a learning rate for each number of
// updates that may be reached, because it does not know yet how many of the last steps were skipped.
//
// Shapes: partials [count]; member [members]; counts [1 + P]; stats [8 + 3P], P parameters of the store.
// Grid: one workgroup. WORKGROUP is a power of two.
// Numeric: each invocation adds partials in order, then a tree of fixed shape adds the invocations. Finiteness is read from the exponent
// bits, also of each partial: a compiler may assume that there is no NaN and no infinity in comparisons and sums. 1e-6 is PyTorch's.
// Counts of parameters stop at 2^24, where PyTorch's float counts stop.
//
// Joined: control, tree, tree_f32

const WORKGROUP: u32 = 256u; // spec

// The exponent bits of a number that is not finite.
const NOT_FINITE: u32 = 0x7f800000u;
const MOST: u32 = 16777216u;
const RATES: u32 = 8u;

struct Params {
    count: u32,
    members: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> control: Control;
@group(0) @binding(1) var<storage, read> partials: array<f32>;     // [count]
@group(0) @binding(2) var<storage, read> member: array<u32>;       // [members]
@group(0) @binding(3) var<storage, read_write> counts: array<u32>; // [1 + P]
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;  // [8 + 3P]

var<workgroup> broken: atomic<u32>;     // 1 if a partial is not finite
var<workgroup> skipped: bool;
var<workgroup> first: u32;              // updates of the first member, this one included
var<workgroup> different: atomic<u32>;  // members that have had another number

// ln of a decay from 0 to below 1, with a relative error of some 1e-7. Near 1 it uses ln x = 2 artanh((x - 1) / (x + 1)), because a
// driver's log may be off by 2^-21 there, which is 5e-4 of ln 0.999.
fn log_of(decay: f32) -> f32 {
    if decay < 0.5f {
        return log(max(decay, 1e-30f));
    }
    let s = (decay - 1.0f) / (decay + 1.0f);
    let q = s * s;
    let tail = q * (1.0f / 7.0f + q * (1.0f / 9.0f + q * (1.0f / 11.0f + q / 13.0f)));
    return 2.0f * s * (1.0f + q * (1.0f / 3.0f + q * (1.0f / 5.0f + tail)));
}

// 1 - e^x for x <= 0, with a relative error of some 1e-7 also where the difference would cancel: the series of e^(x/64), then six times
// 1 - e^2y = (1 - e^y)(2 - (1 - e^y)). Below -20 it is 1.
fn decayed(x: f32) -> f32 {
    let y = max(x, -20.0f) / 64.0f;
    let tail = 1.0f + y / 5.0f * (1.0f + y / 6.0f * (1.0f + y / 7.0f));
    var rest = -y * (1.0f + y / 2.0f * (1.0f + y / 3.0f * (1.0f + y / 4.0f * tail)));
    for (var i = 0u; i < 6u; i++) {
        rest = rest * (2.0f - rest);
    }
    return rest;
}

// 1 / (1 - decay^count)
fn correction(log_decay: f32, count: u32) -> f32 {
    return 1.0f / decayed(f32(count) * log_decay);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    if lane == 0u { atomicStore(&broken, 0u); }
    var acc = 0.0f;
    var largest = 0u;
    for (var i = lane; i < params.count; i += WORKGROUP) {
        acc += partials[i];
        largest = max(largest, bitcast<u32>(partials[i]) & NOT_FINITE);
    }
    workgroupBarrier();
    if largest == NOT_FINITE { atomicStore(&broken, 1u); }
    let sum = tree_sum(lane, acc);
    if lane == 0u {
        let norm = sqrt(sum) / control.loss_scale;
        let not_finite = (atomicLoad(&broken) > 0u) | ((bitcast<u32>(norm) & NOT_FINITE) == NOT_FINITE);
        let clip = select(1.0f, min(1.0f, control.clip_norm / (norm + 1e-6f)), control.clip_norm > 0.0f);
        stats[0] = norm;
        stats[1] = clip / control.loss_scale;
        stats[2] = select(0.0f, 1.0f, not_finite);
        skipped = not_finite;
        first = min(counts[1u + member[0]] + 1u, MOST);
        atomicStore(&different, 0u);
    }
    workgroupBarrier();
    let logs = vec2<f32>(log_of(control.beta1), log_of(control.beta2));
    if !skipped {
        for (var i = lane; i < params.members; i += WORKGROUP) {
            let p = member[i];
            let count = min(counts[1u + p] + 1u, MOST);
            counts[1u + p] = count;
            stats[8u + 3u * p] = correction(logs.x, count);
            stats[9u + 3u * p] = correction(logs.y, count);
            stats[10u + 3u * p] = f32(count);
            if count != first {
                atomicAdd(&different, 1u);
            }
        }
    }
    workgroupBarrier();
    if lane == 0u {
        let before = counts[0];
        stats[3] = select(0.0f, 1.0f, atomicLoad(&different) > 0u);
        stats[4] = control.lr[min(before - min(before, control.applied), RATES - 1u)];
        stats[5] = correction(logs.x, first);
        stats[6] = correction(logs.y, first);
        stats[7] = f32(first);
        counts[0] = before + select(1u, 0u, skipped);
    }
}
