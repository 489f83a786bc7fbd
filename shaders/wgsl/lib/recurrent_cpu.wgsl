// A recurrent step for adapters that run shaders on the CPU's vector units; joined with a cell, its direction and
// register_tile.wgsl, which says why such code looks as it does.
//
// A workgroup is one subgroup and owns ROWS rows of the batch and its share of the hidden units: the four columns of a
// lane's vec4 are those of one unit, or, where a unit has one, four units LANES apart.
// Grid: (groups, ceil(B / ROWS)), any number of groups.
//
// Units are finished one at a time, in a loop with an end that no compiler knows: unrolled, it takes seconds to compile.
// A remainder of k is a loop of its own, and left out where there is none, since that takes a quarter of a second.
//
// With HALVES a tile of 32 rows of which 16 at most are live makes sums for those alone, in a loop of its own: a loop that
// is not entered costs nothing, a branch inside one would cost both sides. It is for ragged batches, whose tiles empty.
//
// Numeric: f32 FMA in the order of k. Rows past the last compute what it does, and nobody asks.

const LANES: u32 = 8u; // spec
const ROWS: u32 = 16u; // spec
const REMAINDER: bool = true; // spec
const HALVES: bool = false; // spec

// Values of k in an unrolled step: as many as the subgroup can load at once, 4 or 8.
const STEP: u32 = select(8u, 4u, LANES < 8u);
// Units that a lane has at a time, and columns of its vec4 that are used.
const SPREAD: u32 = select(1u, 4u, COLUMNS == 1u);
const USED: u32 = SPREAD * COLUMNS;

fn operand_rows(now: Moment, b: u32, last: u32) -> Offsets {
    return Offsets(
        operand_row(now, min(b, last)), operand_row(now, min(b + 1u, last)),
        operand_row(now, min(b + 2u, last)), operand_row(now, min(b + 3u, last)),
        operand_row(now, min(b + 4u, last)), operand_row(now, min(b + 5u, last)),
        operand_row(now, min(b + 6u, last)), operand_row(now, min(b + 7u, last)),
    );
}

fn load_operand(at: Offsets, k: u32) -> Values {
    return Values(
        operand(at.r0 + k), operand(at.r1 + k), operand(at.r2 + k), operand(at.r3 + k),
        operand(at.r4 + k), operand(at.r5 + k), operand(at.r6 + k), operand(at.r7 + k),
    );
}

fn load_w(weights: vec4<u32>, k: u32) -> vec4<f32> {
    let at = weights + k * weight_pitch();
    var w = vec4(w_hh[at.x], w_hh[at.y], w_hh[at.z], 0.0f);
    if USED > 3u { w.w = w_hh[at.w]; }
    return w;
}

fn load_strip(weights: vec4<u32>, k: u32) -> Strip {
    var strip: Strip;
    strip.p0 = load_w(weights, k);
    strip.p1 = load_w(weights, k + 1u);
    strip.p2 = load_w(weights, k + 2u);
    strip.p3 = load_w(weights, k + 3u);
    if STEP > 4u {
        strip.p4 = load_w(weights, k + 4u);
        strip.p5 = load_w(weights, k + 5u);
        strip.p6 = load_w(weights, k + 6u);
        strip.p7 = load_w(weights, k + 7u);
    }
    return strip;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let H = params.hidden;
    let now = moment(params.t);
    let first = tile.y * ROWS;
    let rows = product_rows(now);
    let last = max(rows, 1u) - 1u;
    let at0 = operand_rows(now, first, last);
    let at1 = operand_rows(now, first + 8u, last);
    let at2 = operand_rows(now, first + 16u, last);
    let at3 = operand_rows(now, first + 24u, last);
    // A tile past the rows has no product, only rows that hand something on.
    let stop = select(0u, depth(), first < rows);
    let whole = stop - stop % STEP;
    let low = select(0u, whole, HALVES && rows <= first + 16u);
    let end = min(first + ROWS, all_rows(now));
    let finished = clamp(finish_rows(now), first, max(first, end));

    for (var block = tile.x * SPREAD * LANES; block < H; block += tiles.x * SPREAD * LANES) {
        let j = block + lane;
        var weights: vec4<u32>;
        if SPREAD == 1u {
            let unit = min(j, H - 1u);
            weights = vec4(weight_row(0u, unit), weight_row(1u, unit), weight_row(2u, unit), weight_row(3u, unit));
        } else {
            let units = min(j + vec4(0u, LANES, 2u * LANES, 3u * LANES), vec4(H - 1u));
            weights = vec4(
                weight_row(0u, units.x), weight_row(0u, units.y), weight_row(0u, units.z), weight_row(0u, units.w),
            );
        }
        var s0: Sums;
        var s1: Sums;
        var s2: Sums;
        var s3: Sums;
        if HALVES {
            for (var k = 0u; k < low; k += STEP) {
                let along = k + lane % STEP;
                let v0 = load_operand(at0, along);
                let v1 = load_operand(at1, along);
                let strip = load_strip(weights, k);
                s0 = dot_rows(v0, strip, s0);
                s1 = dot_rows(v1, strip, s1);
            }
        }
        for (var k = low; k < whole; k += STEP) {
            let along = k + lane % STEP;
            let v0 = load_operand(at0, along);
            var v1: Values;
            var v2: Values;
            var v3: Values;
            if ROWS > 8u { v1 = load_operand(at1, along); }
            if ROWS > 16u { v2 = load_operand(at2, along); v3 = load_operand(at3, along); }
            let strip = load_strip(weights, k);
            s0 = dot_rows(v0, strip, s0);
            if ROWS > 8u { s1 = dot_rows(v1, strip, s1); }
            if ROWS > 16u { s2 = dot_rows(v2, strip, s2); s3 = dot_rows(v3, strip, s3); }
        }
        if REMAINDER {
            for (var k = whole; k < stop; k++) {
                let w = load_w(weights, k);
                s0 = add_outer(load_operand(at0, k), w, s0);
                if ROWS > 8u { s1 = add_outer(load_operand(at1, k), w, s1); }
                if ROWS > 16u {
                    s2 = add_outer(load_operand(at2, k), w, s2);
                    s3 = add_outer(load_operand(at3, k), w, s3);
                }
            }
        }
        for (var e = SPREAD * first; e < SPREAD * finished; e++) {
            let b = e / SPREAD;
            let unit = j + e % SPREAD * LANES;
            var sum = row_of(s0, b);
            if ROWS > 8u { sum = select(sum, row_of(s1, b), (b & 8u) != 0u); }
            if ROWS > 16u {
                let lower = select(row_of(s2, b), row_of(s3, b), (b & 8u) != 0u);
                sum = select(sum, lower, (b & 16u) != 0u);
            }
            if SPREAD == 4u { sum.x = part_of(sum, e); }
            if unit < H { leave(b, unit, finish(now, b, unit, sum, state(b, unit))); }
        }
        for (var e = SPREAD * finished; e < SPREAD * end; e++) {
            let b = e / SPREAD;
            let unit = j + e % SPREAD * LANES;
            if unit < H { leave(b, unit, hand_on(now, b, unit, state(b, unit))); }
        }
    }
}
