// A walk over many recurrent steps in one launch, for hidden states of up to WORKGROUP units. Needs a cell and its direction by one value.
//
// A workgroup owns WORKGROUP / H rows of the batch. An invocation owns one unit of one row at every step. What the next step's product
// reads (h forward, dz backward) stays in workgroup memory, and a barrier separates the steps: where H is small, a launch costs more
// than a step. The weights are read from memory and mostly stay in the first cache.
// Grid: (1, ceil(B / (WORKGROUP / H))); y may continue along z.
//
// Numeric: f32 FMA in the order of k.

const WORKGROUP: u32 = 64u; // spec

var<workgroup> states: array<f32, STATES * WORKGROUP>; // [rows, STATES, H]

fn put_state(at: u32, value: vec4<f32>) {
    states[at] = value.x;
    if STATES > 1u {
        states[at + params.hidden] = value.y;
        states[at + 2u * params.hidden] = value.z;
    }
    if STATES > 3u { states[at + 3u * params.hidden] = value.w; }
}

// The sums of unit j of the row whose operand begins at `row`.
fn product(row: u32, j: u32) -> vec4<f32> {
    var at = vec4(weight_row(0u, j), 0u, 0u, 0u);
    if UNIT_COLUMNS > 1u { at.y = weight_row(1u, j); at.z = weight_row(2u, j); }
    if UNIT_COLUMNS > 3u { at.w = weight_row(3u, j); }
    var sum = vec4<f32>();
    let stop = depth();
    for (var k = 0u; k < stop; k++) {
        let a = states[row + k];
        sum.x = fma(a, weight(at.x), sum.x);
        if UNIT_COLUMNS > 1u {
            sum.y = fma(a, weight(at.y), sum.y);
            sum.z = fma(a, weight(at.z), sum.z);
        }
        if UNIT_COLUMNS > 3u { sum.w = fma(a, weight(at.w), sum.w); }
        at += vec4(weight_pitch());
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let H = params.hidden;
    let rows = WORKGROUP / H;
    let row = lid / H;
    let j = lid % H;
    let b = (tile.y + tiles.y * tile.z) * rows + row;
    let owns = row < rows && b < params.batch;
    let own = row * depth() + j;
    if owns { put_state(own, enter(moment(params.t), b, j)); }
    for (var done = 0u; done < params.walk; done++) {
        let now = moment(params.t + done * params.delta);
        workgroupBarrier();
        var after = vec4<f32>();
        if owns {
            let h = states[own];
            if b < finish_rows(now) {
                after = finish(now, b, j, product(row * depth(), j), h);
            } else {
                after = hand_on(now, b, j, h);
            }
        }
        workgroupBarrier();
        if owns { put_state(own, after); }
    }
    if owns { leave(b, j, vec4(states[own], 0.0f, 0.0f, 0.0f)); }
}
