// A recurrent step spread over a GPU. Needs a cell and its direction by one value.
//
// A workgroup computes UNITS hidden units of ROWS rows of the batch; an invocation computes all columns of one unit of one row. Operand and
// weights pass through workgroup memory in tiles of DEPTH, so a workgroup reads each of them from memory once. The order of launches is
// the only synchronisation between steps: WebGPU promises workgroups no progress, so they cannot wait for one another.
// Grid: (ceil(H / UNITS), ceil(B / ROWS)); y may continue along z.
//
// Numeric: f32 FMA in the order of k.

const ROWS: u32 = 8u; // spec
const UNITS: u32 = 16u; // spec
const DEPTH: u32 = 32u; // spec

const WORKGROUP: u32 = ROWS * UNITS;
// One word more than DEPTH, so that rows and units in a column fall into different banks.
const PITCH: u32 = DEPTH + 1u;

var<workgroup> tile_a: array<f32, ROWS * PITCH>; // [ROWS, DEPTH]
var<workgroup> tile_w: array<f32, UNIT_COLUMNS * UNITS * PITCH>; // [UNIT_COLUMNS, UNITS, DEPTH]

fn fill(now: Moment, row0: u32, j0: u32, k0: u32, lid: u32) {
    for (var e = lid; e < ROWS * DEPTH; e += WORKGROUP) {
        let b = row0 + e / DEPTH;
        let k = k0 + e % DEPTH;
        var value = 0.0f;
        if b < product_rows(now) && k < depth() { value = operand(operand_row(now, b) + k); }
        tile_a[(e / DEPTH) * PITCH + e % DEPTH] = value;
    }
    for (var e = lid; e < UNIT_COLUMNS * UNITS * DEPTH; e += WORKGROUP) {
        // Neighbours load neighbours, whichever way the weights lie.
        let along_k = weight_pitch() == 1u;
        let part = select(e % (UNIT_COLUMNS * UNITS), e / DEPTH, along_k); // column * UNITS + unit
        let deep = select(e / (UNIT_COLUMNS * UNITS), e % DEPTH, along_k);
        let j = j0 + part % UNITS;
        let k = k0 + deep;
        var value = 0.0f;
        if j < params.hidden && k < depth() { value = weight(weight_row(part / UNITS, j) + k * weight_pitch()); }
        tile_w[part * PITCH + deep] = value;
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let now = moment(params.t);
    let row0 = (tile.y + tiles.y * tile.z) * ROWS;
    let j0 = tile.x * UNITS;
    let row = lid / UNITS;
    let unit = lid % UNITS;
    // A tile past the rows with a product has only rows that hand their state on.
    let stop = select(0u, depth(), row0 < product_rows(now));
    var sum = vec4<f32>();
    for (var k0 = 0u; k0 < stop; k0 += DEPTH) {
        fill(now, row0, j0, k0, lid);
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let a = tile_a[row * PITCH + k];
            sum.x = fma(a, tile_w[unit * PITCH + k], sum.x);
            if UNIT_COLUMNS > 1u {
                sum.y = fma(a, tile_w[(UNITS + unit) * PITCH + k], sum.y);
                sum.z = fma(a, tile_w[(2u * UNITS + unit) * PITCH + k], sum.z);
            }
            if UNIT_COLUMNS > 3u { sum.w = fma(a, tile_w[(3u * UNITS + unit) * PITCH + k], sum.w); }
        }
        workgroupBarrier();
    }
    let b = row0 + row;
    let j = j0 + unit;
    if j >= params.hidden || b >= all_rows(now) { return; }
    let h = state(b, j);
    if b < finish_rows(now) { leave(b, j, finish(now, b, j, sum, h)); } else { leave(b, j, hand_on(now, b, j, h)); }
}
