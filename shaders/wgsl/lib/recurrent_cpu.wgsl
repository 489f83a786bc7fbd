// A recurrent step for adapters that run shaders on the CPU's vector units; joined after the cell. Needs
// register_tile.wgsl, which says why it looks as it does.
//
// A workgroup is one subgroup and owns ROWS rows of the batch and its share of the hidden units: the four columns of a
// lane's vec4 are those of one unit, or, where a unit has one, four units LANES apart.
// Grid: (groups, ceil(B / ROWS)), any number of groups.
//
// The sums go through memory, where a loop finishes one unit at a time: kept in an indexed array they take most of a
// second to compile, and so do the stores if they are unrolled.
//
// Numeric: f32 FMA in the order of k. Rows past the end compute what the last one does and store it once more.

const LANES: u32 = 8u; // spec
const ROWS: u32 = 16u; // spec
const TAIL: bool = true; // spec

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

fn partial_rows(now: Moment, b: u32, last: u32) -> Offsets {
    return Offsets(
        partial_row(now, min(b, last)), partial_row(now, min(b + 1u, last)),
        partial_row(now, min(b + 2u, last)), partial_row(now, min(b + 3u, last)),
        partial_row(now, min(b + 4u, last)), partial_row(now, min(b + 5u, last)),
        partial_row(now, min(b + 6u, last)), partial_row(now, min(b + 7u, last)),
    );
}

fn load_operand(at: Offsets, k: u32) -> Values {
    return Values(
        operand(at.r0 + k), operand(at.r1 + k), operand(at.r2 + k), operand(at.r3 + k),
        operand(at.r4 + k), operand(at.r5 + k), operand(at.r6 + k), operand(at.r7 + k),
    );
}

fn load_w(columns: vec4<u32>, k: u32) -> vec4<f32> {
    let at = columns + k * weight_pitch();
    var w = vec4(w_hh[at.x], w_hh[at.y], w_hh[at.z], 0.0f);
    if USED > 3u { w.w = w_hh[at.w]; }
    return w;
}

fn load_strip(columns: vec4<u32>, k: u32) -> Strip {
    var strip: Strip;
    strip.p0 = load_w(columns, k);
    strip.p1 = load_w(columns, k + 1u);
    strip.p2 = load_w(columns, k + 2u);
    strip.p3 = load_w(columns, k + 3u);
    if STEP > 4u {
        strip.p4 = load_w(columns, k + 4u);
        strip.p5 = load_w(columns, k + 5u);
        strip.p6 = load_w(columns, k + 6u);
        strip.p7 = load_w(columns, k + 7u);
    }
    return strip;
}

fn keep_column(at: Offsets, column: u32, v: Values) {
    keep_partial(at.r0 + column, v.r0);
    keep_partial(at.r1 + column, v.r1);
    keep_partial(at.r2 + column, v.r2);
    keep_partial(at.r3 + column, v.r3);
    keep_partial(at.r4 + column, v.r4);
    keep_partial(at.r5 + column, v.r5);
    keep_partial(at.r6 + column, v.r6);
    keep_partial(at.r7 + column, v.r7);
}

// Eight rows of sums, as far as `within` says that their columns exist.
fn keep_rows(at: Offsets, columns: vec4<u32>, within: vec4<bool>, s: Sums) {
    if within.x {
        keep_column(at, columns.x, Values(s.r0.x, s.r1.x, s.r2.x, s.r3.x, s.r4.x, s.r5.x, s.r6.x, s.r7.x));
    }
    if within.y {
        keep_column(at, columns.y, Values(s.r0.y, s.r1.y, s.r2.y, s.r3.y, s.r4.y, s.r5.y, s.r6.y, s.r7.y));
    }
    if within.z {
        keep_column(at, columns.z, Values(s.r0.z, s.r1.z, s.r2.z, s.r3.z, s.r4.z, s.r5.z, s.r6.z, s.r7.z));
    }
    if USED > 3u && within.w {
        keep_column(at, columns.w, Values(s.r0.w, s.r1.w, s.r2.w, s.r3.w, s.r4.w, s.r5.w, s.r6.w, s.r7.w));
    }
}

// The sums of unit j of a row.
fn sums(now: Moment, b: u32, j: u32) -> vec4<f32> {
    let at = partial_row(now, b) + j;
    var sum = vec4(partial(at), 0.0f, 0.0f, 0.0f);
    if COLUMNS > 1u {
        sum.y = partial(at + slot(1u) * params.hidden);
        sum.z = partial(at + slot(2u) * params.hidden);
    }
    if COLUMNS > 3u { sum.w = partial(at + slot(3u) * params.hidden); }
    return sum;
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
    let end = min(first + ROWS, all_rows(now));
    let finished = clamp(finish_rows(now), first, max(first, end));

    for (var block = tile.x * SPREAD * LANES; block < H; block += tiles.x * SPREAD * LANES) {
        let j = block + lane;
        var units = vec4(min(j, H - 1u));
        var columns = vec4(0u, 1u, 2u, 3u);
        var slots = vec4(slot(0u), slot(1u), slot(2u), slot(3u)) * H + j;
        if SPREAD == 4u {
            units = min(j + vec4(0u, LANES, 2u * LANES, 3u * LANES), vec4(H - 1u));
            columns = vec4<u32>();
            slots = j + vec4(0u, LANES, 2u * LANES, 3u * LANES);
        }
        let weights = vec4(
            weight_row(columns.x, units.x), weight_row(columns.y, units.y),
            weight_row(columns.z, units.z), weight_row(columns.w, units.w),
        );
        var s0: Sums;
        var s1: Sums;
        var s2: Sums;
        var s3: Sums;
        for (var k = 0u; k < whole; k += STEP) {
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
        if TAIL {
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
        if first < rows {
            var within = vec4(j < H);
            if SPREAD == 4u { within = slots < vec4(H); }
            keep_rows(partial_rows(now, first, last), slots, within, s0);
            if ROWS > 8u { keep_rows(partial_rows(now, first + 8u, last), slots, within, s1); }
            if ROWS > 16u {
                keep_rows(partial_rows(now, first + 16u, last), slots, within, s2);
                keep_rows(partial_rows(now, first + 24u, last), slots, within, s3);
            }
        }
        for (var e = SPREAD * first; e < SPREAD * finished; e++) {
            let b = e / SPREAD;
            let unit = j + e % SPREAD * LANES;
            if unit < H { leave(b, unit, finish(now, b, unit, sums(now, b, unit), state(b, unit))); }
        }
        for (var e = SPREAD * finished; e < SPREAD * end; e++) {
            let b = e / SPREAD;
            let unit = j + e % SPREAD * LANES;
            if unit < H { leave(b, unit, hand_on(now, b, unit, state(b, unit))); }
        }
    }
}
