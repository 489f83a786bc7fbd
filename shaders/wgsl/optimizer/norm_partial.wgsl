// First stage of the global gradient norm: partials[offset + g] = sum of grads[i]^2 over workgroup g's share of the Values.
//
// Workgroup g of n takes the Values g * WORKGROUP + lane + k * n * WORKGROUP, k = 0, 1, ...
//
// Shapes: grads [len], in Values; partials: one per workgroup of this launch from `offset` on, so that several arenas fill one
// buffer by several launches.
// Grid: any number of workgroups in x and y, fixed for a program. WORKGROUP is a power of two.
// Numeric: each invocation adds in order, the parts of Values apart, then a tree of fixed shape: the bits depend on the grid and WORKGROUP only.

const WORKGROUP: u32 = 256u; // spec

struct Params {
    len: u32,
    offset: u32,
    parts: f32, // elements of a Value
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> grads: array<Value>;          // [len]
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [>= offset + workgroups]

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = group.x + group.y * groups.x;
    let stride = groups.x * groups.y * WORKGROUP;
    var acc = Value(0.0f);
    for (var i = at * WORKGROUP + lane; i < params.len; i += stride) {
        acc += grads[i] * grads[i];
    }
    partial[lane] = mean_of(acc) * params.parts;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
        }
    }
    if lane == 0u {
        partials[params.offset + at] = partial[0];
    }
}
