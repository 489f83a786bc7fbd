// A recurrent step on adapters that run shaders on the CPU's vector units. Needs a cell, its direction by four values, and wide_tile.wgsl,
// which says why the code looks as it does.
//
// A workgroup is one subgroup and owns ROWS rows of the batch and its share of the hidden units. The four columns of a lane's vec4 are
// those of one unit or, where a unit has one column, those of four neighbouring units.
// Grid: (groups, ceil(B / ROWS)), any number of groups; y may continue along z.
//
// Units are finished one by one in a loop whose bound is not a constant, because an unrolled one takes seconds to compile. H is a multiple
// of 4, so operand and weights are loaded four values at a time.
//
// With HALVES a tile of 32 rows with at most 16 live rows makes sums for 16 rows only, in a loop of its own. A loop that is not entered
// costs nothing; a branch inside one loop would cost both sides. This is for ragged batches, whose tiles empty.
//
// Numeric: f32 FMA in the order of k. Rows past the last one repeat it; their results are not stored.

const LANES: u32 = 8u; // spec
const ROWS: u32 = 16u; // spec
const HALVES: bool = false; // spec

// Units of a lane at a time, and used columns of its vec4.
const SPREAD: u32 = select(1u, 4u, UNIT_COLUMNS == 1u);
const USED: u32 = SPREAD * UNIT_COLUMNS;

// Where the operand of this lane's row begins, and that of the row four further, for a subgroup of four lanes.
fn operand_rows(now: Moment, b: u32, last: u32, lane: u32) -> vec2<u32> {
    let row = b + lane % 8u;
    return vec2(operand_row(now, min(row, last)), operand_row(now, min(row + 4u, last)));
}

fn load_row_slice(at: vec2<u32>, k: u32) -> RowSlice {
    let low = operand_four(at.x + k);
    if LANES < 8u { return RowSlice(low, operand_four(at.y + k)); }
    return RowSlice(low, low);
}

// The weights of this lane's columns at k to k+3. Each column lies along k, or the four units lie side by side.
fn load_block(weights: vec4<u32>, k: u32) -> BlockB {
    if UNIT_COLUMNS == 1u && weight_pitch() != 1u {
        let at = weights.x + (k + vec4(0u, 1u, 2u, 3u)) * weight_pitch();
        return BlockB(weight_four(at.x), weight_four(at.y), weight_four(at.z), weight_four(at.w));
    }
    var last = vec4<f32>();
    if USED > 3u { last = weight_four(weights.w + k); }
    return block_of_columns(weight_four(weights.x + k), weight_four(weights.y + k), weight_four(weights.z + k), last);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let H = params.hidden;
    let now = moment(params.t);
    let first = (tile.y + tiles.y * tile.z) * ROWS;
    let rows = product_rows(now);
    let last = max(rows, 1u) - 1u;
    let at0 = operand_rows(now, first, last, lane);
    let at1 = operand_rows(now, first + 8u, last, lane);
    let at2 = operand_rows(now, first + 16u, last, lane);
    let at3 = operand_rows(now, first + 24u, last, lane);
    // A tile past the rows with a product has only rows that hand their state on.
    let stop = select(0u, depth(), first < rows);
    let low = select(0u, stop, HALVES && rows <= first + 16u);
    let end = min(first + ROWS, all_rows(now));
    let finished = clamp(finish_rows(now), first, max(first, end));

    for (var block = tile.x * SPREAD * LANES; block < H; block += tiles.x * SPREAD * LANES) {
        let j = block + SPREAD * lane;
        var weights: vec4<u32>;
        if SPREAD == 1u {
            let unit = min(j, H - 1u);
            weights = vec4(weight_row(0u, unit), weight_row(1u, unit), weight_row(2u, unit), weight_row(3u, unit));
        } else {
            let units = min(j, H - 4u) + vec4(0u, 1u, 2u, 3u);
            weights = vec4(
                weight_row(0u, units.x), weight_row(0u, units.y), weight_row(0u, units.z), weight_row(0u, units.w),
            );
        }
        var s0: Octet;
        var s1: Octet;
        var s2: Octet;
        var s3: Octet;
        if HALVES {
            for (var k = 0u; k < low; k += 4u) {
                let v0 = load_row_slice(at0, k);
                let v1 = load_row_slice(at1, k);
                let block_b = load_block(weights, k);
                s0 = accumulate_rows(v0, block_b, s0);
                s1 = accumulate_rows(v1, block_b, s1);
            }
        }
        for (var k = low; k < stop; k += 4u) {
            let v0 = load_row_slice(at0, k);
            var v1: RowSlice;
            var v2: RowSlice;
            var v3: RowSlice;
            if ROWS > 8u { v1 = load_row_slice(at1, k); }
            if ROWS > 16u { v2 = load_row_slice(at2, k); v3 = load_row_slice(at3, k); }
            let block_b = load_block(weights, k);
            s0 = accumulate_rows(v0, block_b, s0);
            if ROWS > 8u { s1 = accumulate_rows(v1, block_b, s1); }
            if ROWS > 16u { s2 = accumulate_rows(v2, block_b, s2); s3 = accumulate_rows(v3, block_b, s3); }
        }
        for (var e = SPREAD * first; e < SPREAD * finished; e++) {
            let b = e / SPREAD;
            let unit = j + e % SPREAD;
            var sum = tile_row(s0, s1, s2, s3, b);
            if SPREAD == 4u { sum.x = component(sum, e); }
            if unit < H { leave(b, unit, finish(now, b, unit, sum, state(b, unit))); }
        }
        for (var e = SPREAD * finished; e < SPREAD * end; e++) {
            let b = e / SPREAD;
            let unit = j + e % SPREAD;
            if unit < H { leave(b, unit, hand_on(now, b, unit, state(b, unit))); }
        }
    }
}
