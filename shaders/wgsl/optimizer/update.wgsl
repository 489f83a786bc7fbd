// One step of an optimizer over adjacent parameters: weights[i] = fused(weights[i], i), and the fused code writes the states that it
// keeps too (`state0`, `state1`, ...). It reads the gradients as `leaf0`, and the numbers of the step as `numbers`.
//
// Nothing changes where stats[2] != 0 (the step is skipped).
//
// Where all parameters have had the same number of updates, as is usual, they share the numbers stats[5] to stats[7], and nothing is
// looked up. Otherwise `owners` names the parameter of each block of 256 bytes.
//
// Shapes: weights, and the gradients and states of the fused code [len], in Values; stats [8 + 3P] of norm_finish.wgsl. owners: one a
// block of the whole arena; this launch has the blocks from `first` on.
// Grid: any number of workgroups in x and y; invocations stride over the arena.
// Numeric: f32 throughout.
//
// Joined: value, view

const WORKGROUP: u32 = 64u; // spec

struct Params {
    len: u32,
    first: u32,
    block: u32, // Values in 256 bytes
    view: View,
}

// What all elements of a parameter share.
struct Numbers {
    scale: f32,       // factor of the gradients: the clip's, and 1 / loss_scale
    lr: f32,
    correction1: f32, // 1 / (1 - beta1^count)
    correction2: f32,
    count: f32,       // updates of the parameter, this one included
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> stats: array<f32>;           // [8 + 3P]
@group(0) @binding(1) var<storage, read> owners: array<u32>;          // [>= first + len / block]
@group(0) @binding(2) var<storage, read_write> weights: array<Value>; // [len]

var<private> numbers: Numbers;

fn fused(value: Value, index: u32) -> Value { return value; } // spec

// The numbers of the parameter whose own stand at `at`.
fn numbers_at(at: u32) -> Numbers {
    return Numbers(stats[1], stats[4], stats[at], stats[at + 1u], stats[at + 2u]);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    if stats[2] != 0.0f {
        return;
    }
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let begin = gid.x + gid.y * row;
    if stats[3] == 0.0f {
        numbers = numbers_at(5u);
        for (var i = begin; i < params.len; i += stride) {
            weights[i] = fused(weights[i], i);
        }
    } else {
        for (var i = begin; i < params.len; i += stride) {
            numbers = numbers_at(8u + 3u * owners[params.first + i / params.block]);
            weights[i] = fused(weights[i], i);
        }
    }
}
