// Gradient of elements picked along an axis: dx[places[p]] += sum over s in [starts[p], starts[p + 1]) of dy[order[s]].
//
// The host sorts the picks by the element that they took: `order` lists the picks of one element next to each other, in their
// order, and `places` names each element that was picked once. So every element is one invocation's sum: no atomics.
//
// A launch adds the picks first <= s < end, and dx is 0 before the first one: adapters that limit the iterations of an invocation
// get all picks in several launches.
//
// Shapes: dy [picks]; order [picks]; starts [picks + 1]; places [picks], of which those behind the last are `elements` and no place;
// dx [elements].
// Grid: any number of workgroups in x and y; invocations stride over the picks.
// Numeric: added in the order of `order`, in f32, by blocks whose sums are added in turn, so that the error of an element that is
// picked often grows as BLOCK + picks / BLOCK.
//
// Joined: nothing

const WORKGROUP: u32 = 64u; // spec

// Picks that are added one by one.
const BLOCK: u32 = 2048u;

struct Params {
    picks: u32,
    elements: u32,
    first: u32,
    end: u32, // at most picks
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> dy: array<f32>;       // [picks]
@group(0) @binding(1) var<storage, read> order: array<u32>;    // [picks]
@group(0) @binding(2) var<storage, read> starts: array<u32>;   // [picks + 1]
@group(0) @binding(3) var<storage, read> places: array<u32>;   // [picks]
@group(0) @binding(4) var<storage, read_write> dx: array<f32>; // [elements]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    for (var p = gid.x + gid.y * row; p < params.picks; p += stride) {
        let place = places[p];
        if place < params.elements {
            let end = min(starts[p + 1u], params.end);
            var total = dx[place];
            for (var begin = max(starts[p], params.first); begin < end; begin += BLOCK) {
                var acc = 0.0f;
                for (var s = begin; s < min(begin + BLOCK, end); s++) {
                    acc += dy[min(order[s], params.picks - 1u)];
                }
                total += acc;
            }
            dx[place] = total;
        }
    }
}
