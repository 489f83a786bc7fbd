// First stage of the global gradient norm: partials[offset + g] = sum of grads[i]^2 over workgroup g's share of the Values.
//
// Workgroup g of n takes the Values g * WORKGROUP + lane + k * n * WORKGROUP, k = 0, 1, ... If one of them is not finite, its partial is
// infinity. If `parts` is 0 nothing is added: only finiteness is asked.
//
// Shapes: grads [len], in Values; partials: one per workgroup of this launch from `offset` on, so that several launches, one for each
// arena, fill one buffer.
// Grid: any number of workgroups in x and y, fixed for a program. WORKGROUP is a power of two.
// Numeric: each invocation adds in order, each component of a Value on its own, then a tree of fixed shape adds the invocations: the bits
// depend on the grid and WORKGROUP only. Finiteness is read from the exponent bits, because a compiler may assume that there is no NaN.
//
// Joined: value, tree, tree_f32

const WORKGROUP: u32 = 256u; // spec

// The exponent bits of a number that is not finite; alone they are infinity.
const NOT_FINITE: u32 = 0x7f800000u;

struct Params {
    len: u32,
    offset: u32,
    parts: f32, // elements of a Value, or 0
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> grads: array<Value>;          // [len]
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [>= offset + workgroups]

var<workgroup> broken: atomic<u32>; // 1 if a gradient is not finite

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    if lane == 0u { atomicStore(&broken, 0u); }
    let at = group.x + group.y * groups.x;
    let stride = groups.x * groups.y * WORKGROUP;
    var acc = Value(0.0f);
    var largest = vec4(0u);
    for (var i = at * WORKGROUP + lane; i < params.len; i += stride) {
        let g = grads[i];
        acc += g * g;
        largest = max(largest, bitcast<vec4<u32>>(vec4<f32>(g)) & vec4(NOT_FINITE));
    }
    workgroupBarrier();
    if any(largest == vec4(NOT_FINITE)) { atomicStore(&broken, 1u); }
    let sum = tree_sum(lane, select(0.0f, mean_of(acc) * params.parts, params.parts > 0.0f));
    if lane == 0u {
        partials[params.offset + at] = bitcast<f32>(select(bitcast<u32>(sum), NOT_FINITE, atomicLoad(&broken) > 0u));
    }
}
