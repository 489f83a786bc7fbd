// A tile of scores in the registers of one subgroup: up to 32 rows by 4*LANES columns, four columns to a lane.
//
// In some kernels rows are keys and columns queries, in others the reverse. What belongs to a column (a maximum, a sum,
// the limits of a mask) is then a vec4 in its lane, and no lane needs another's. As a matrix on the right of a product
// the tile serves as it lies (register_tile.wgsl): its rows are the strip. Needs LANES, STEP, ROWS and
// the loads left8 (what rows are multiplied from), right4 (what columns are) and value_left8 (what weights mix).

struct Tile { t0: Sums, t1: Sums, t2: Sums, t3: Sums }

// A value of each row of a tile, or their addresses, or a value of eight rows of A for each eight rows of a tile.
struct Column { c0: Values, c1: Values, c2: Values, c3: Values }

// Addresses of eight rows, none past the last.
fn row_offsets(base: u32, row: u32, last: u32, stride: u32) -> Offsets {
    return Offsets(
        base + min(row, last) * stride, base + min(row + 1u, last) * stride,
        base + min(row + 2u, last) * stride, base + min(row + 3u, last) * stride,
        base + min(row + 4u, last) * stride, base + min(row + 5u, last) * stride,
        base + min(row + 6u, last) * stride, base + min(row + 7u, last) * stride,
    );
}

// The values where `inside`, else 0.
fn valid(v: Values, inside: bool) -> Values {
    return Values(
        select(0.0f, v.r0, inside), select(0.0f, v.r1, inside), select(0.0f, v.r2, inside), select(0.0f, v.r3, inside),
        select(0.0f, v.r4, inside), select(0.0f, v.r5, inside), select(0.0f, v.r6, inside), select(0.0f, v.r7, inside),
    );
}

// STEP terms of the products of rows, a value of each in `a`, and columns.
fn dot_tile(a: Column, strip: Strip, tile: Tile) -> Tile {
    var t = tile;
    t.t0 = dot_rows(a.c0, strip, t.t0);
    if ROWS > 8u { t.t1 = dot_rows(a.c1, strip, t.t1); }
    if ROWS > 16u {
        t.t2 = dot_rows(a.c2, strip, t.t2);
        t.t3 = dot_rows(a.c3, strip, t.t3);
    }
    return t;
}

// sum + A times eight rows of a tile. A lane holds A's values of row `lane`, and in `high` of row `lane` + 4 if STEP is 4.
fn dot_octet(low: Values, high: Values, t: Sums, sum: Sums) -> Sums {
    if STEP > 4u { return dot_rows(low, Strip(t.r0, t.r1, t.r2, t.r3, t.r4, t.r5, t.r6, t.r7), sum); }
    var half: Strip;
    half.p0 = t.r0; half.p1 = t.r1; half.p2 = t.r2; half.p3 = t.r3;
    let s = dot_rows(low, half, sum);
    half.p0 = t.r4; half.p1 = t.r5; half.p2 = t.r6; half.p3 = t.r7;
    return dot_rows(high, half, s);
}

// The products of rows of the left buffer, `stride` apart, and of the right buffer, which begin at `columns`.
fn products(base: u32, row: u32, last: u32, stride: u32, columns: vec4<u32>, lane: u32) -> Tile {
    let end = params.width - 1u;
    var t: Tile;
    for (var p = 0u; p <= end; p += STEP) {
        let along = p + lane % STEP;
        let at = base + min(along, end);
        var x: Column;
        x.c0 = valid(left8(row_offsets(at, row, last, stride)), along <= end);
        if ROWS > 8u { x.c1 = valid(left8(row_offsets(at, row + 8u, last, stride)), along <= end); }
        if ROWS > 16u {
            x.c2 = valid(left8(row_offsets(at, row + 16u, last, stride)), along <= end);
            x.c3 = valid(left8(row_offsets(at, row + 24u, last, stride)), along <= end);
        }
        var y: Strip;
        y.p0 = right4(columns + min(p, end));
        y.p1 = right4(columns + min(p + 1u, end));
        y.p2 = right4(columns + min(p + 2u, end));
        y.p3 = right4(columns + min(p + 3u, end));
        if STEP > 4u {
            y.p4 = right4(columns + min(p + 4u, end));
            y.p5 = right4(columns + min(p + 5u, end));
            y.p6 = right4(columns + min(p + 6u, end));
            y.p7 = right4(columns + min(p + 7u, end));
        }
        t = dot_tile(x, y, t);
    }
    return t;
}

// sum + eight channels, from `channel` on, of the rows from `row` on mixed by the tile. `end` is the last channel.
fn add_values(base: u32, row: u32, last: u32, stride: u32, channel: u32, end: u32, t: Tile, lane: u32, sum: Sums) -> Sums {
    var s = sum;
    for (var n = 0u; n < ROWS; n += 8u) {
        let own = row + n + lane % STEP;
        let low = value_left8(row_offsets(base + min(own, last) * stride, channel, end, 1u));
        var high: Values;
        if STEP < 8u { high = value_left8(row_offsets(base + min(own + 4u, last) * stride, channel, end, 1u)); }
        s = dot_octet(low, high, octet(t, n), s);
    }
    return s;
}

// Eight rows of a tile by number; a select and not an index, which would put the tile in memory.
fn octet(t: Tile, row: u32) -> Sums {
    var s = t.t0;
    if ROWS > 8u { s = chosen(s, t.t1, row == 8u); }
    if ROWS > 16u { s = chosen(chosen(s, t.t2, row == 16u), t.t3, row == 24u); }
    return s;
}

// The tile with those eight rows replaced.
fn with_octet(tile: Tile, row: u32, s: Sums) -> Tile {
    var t = tile;
    t.t0 = chosen(t.t0, s, row == 0u);
    if ROWS > 8u { t.t1 = chosen(t.t1, s, row == 8u); }
    if ROWS > 16u {
        t.t2 = chosen(t.t2, s, row == 16u);
        t.t3 = chosen(t.t3, s, row == 24u);
    }
    return t;
}

fn chosen(a: Sums, b: Sums, second: bool) -> Sums {
    return Sums(
        select(a.r0, b.r0, second), select(a.r1, b.r1, second), select(a.r2, b.r2, second), select(a.r3, b.r3, second),
        select(a.r4, b.r4, second), select(a.r5, b.r5, second), select(a.r6, b.r6, second), select(a.r7, b.r7, second),
    );
}

fn add(a: Sums, b: Sums) -> Sums {
    return Sums(a.r0 + b.r0, a.r1 + b.r1, a.r2 + b.r2, a.r3 + b.r3, a.r4 + b.r4, a.r5 + b.r5, a.r6 + b.r6, a.r7 + b.r7);
}

fn multiply(a: Sums, b: Sums) -> Sums {
    return Sums(a.r0 * b.r0, a.r1 * b.r1, a.r2 * b.r2, a.r3 * b.r3, a.r4 * b.r4, a.r5 * b.r5, a.r6 * b.r6, a.r7 * b.r7);
}

// Every row times x, a factor of each column.
fn times(s: Sums, x: vec4<f32>) -> Sums {
    return Sums(s.r0 * x, s.r1 * x, s.r2 * x, s.r3 * x, s.r4 * x, s.r5 * x, s.r6 * x, s.r7 * x);
}

fn tile_times(tile: Tile, x: f32) -> Tile {
    var t = tile;
    t.t0 = times(t.t0, vec4(x));
    if ROWS > 8u { t.t1 = times(t.t1, vec4(x)); }
    if ROWS > 16u { t.t2 = times(t.t2, vec4(x)); t.t3 = times(t.t3, vec4(x)); }
    return t;
}
