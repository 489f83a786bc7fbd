// Labels of one class, chained: what gathers the states of a class without atomics.
//
// links[b, i] = the next label of target b with the class of label i, or S where there is none; with the bit LATER where an earlier label
// has that class, or where it is the blank, which the states of blanks count.
//
// Shapes: targets, links [B, S]; target_lengths [B]. Past a target's length a link has no meaning.
// Grid: any number of workgroups in x and y; invocations stride over B * S.
//
// Joined: ctc

const WORKGROUP: u32 = 64u; // spec

const LATER: u32 = 0x80000000u;

@group(0) @binding(0) var<storage, read> targets: array<u32>;        // [B, S]
@group(0) @binding(1) var<storage, read> target_lengths: array<u32>; // [B]
@group(0) @binding(2) var<storage, read_write> links: array<u32>;    // [B, S]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var at = gid.x + gid.y * row; at < params.batch * params.labels; at += stride) {
        let b = at / params.labels;
        let i = at - b * params.labels;
        let own = class_of(b, 2u * i + 1u);
        var next = params.labels;
        var later = own == params.blank;
        for (var other = 0u; other < min(target_lengths[b], params.labels); other++) {
            if class_of(b, 2u * other + 1u) == own {
                if other > i {
                    next = other;
                    break;
                }
                later |= other < i;
            }
        }
        links[at] = select(next, next | LATER, later);
    }
}
