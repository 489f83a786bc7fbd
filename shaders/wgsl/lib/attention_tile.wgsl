// A tile of scores in the registers of one subgroup: up to 32 rows by 4*LANES columns, four columns to a lane.
//
// In some kernels rows are keys and columns queries, in others the reverse. What belongs to a column (a maximum, a sum,
// the limits of a mask) is then a vec4 in its lane, and no lane needs another's. As a matrix on the right of a product
// the tile serves as it lies (paired_tile.wgsl): its rows are the strip. Needs LANES, STEP, half of it, ROWS, and the
// loads left4 (what rows are multiplied from), right4 (what columns are) and value_left4 (what weights mix).

struct Tile { t0: Sums, t1: Sums, t2: Sums, t3: Sums }

// Where the lane loads A for eight rows: for one row of each pair, none past the last.
fn pair_rows(base: u32, row: u32, last: u32, stride: u32, lane: u32) -> vec4<u32> {
    return base + min(row + vec4(0u, 2u, 4u, 6u) + lane / STEP, vec4(last)) * stride;
}

// The products of rows of the left buffer, `stride` apart, and of the right buffer, which begin at `columns`.
fn products(base: u32, row: u32, last: u32, stride: u32, columns: vec4<u32>, lane: u32) -> Tile {
    let end = params.width - 1u;
    var t: Tile;
    for (var p = 0u; p <= end; p += STEP) {
        let along = min(p + lane % STEP, end);
        let inside = p + lane % STEP <= end;
        let zero = vec4(0.0f);
        let x0 = select(zero, left4(pair_rows(base, row, last, stride, lane) + along), inside);
        var x1: vec4<f32>;
        var x2: vec4<f32>;
        var x3: vec4<f32>;
        if ROWS > 8u { x1 = select(zero, left4(pair_rows(base, row + 8u, last, stride, lane) + along), inside); }
        if ROWS > 16u {
            x2 = select(zero, left4(pair_rows(base, row + 16u, last, stride, lane) + along), inside);
            x3 = select(zero, left4(pair_rows(base, row + 24u, last, stride, lane) + along), inside);
        }
        var y: Strip;
        y.p0 = right4(columns + p);
        y.p1 = right4(columns + min(p + 1u, end));
        if STEP > 2u {
            y.p2 = right4(columns + min(p + 2u, end));
            y.p3 = right4(columns + min(p + 3u, end));
        }
        if STEP > 4u {
            y.p4 = right4(columns + min(p + 4u, end));
            y.p5 = right4(columns + min(p + 5u, end));
            y.p6 = right4(columns + min(p + 6u, end));
            y.p7 = right4(columns + min(p + 7u, end));
        }
        t.t0 = dot_rows(x0, y, t.t0);
        if ROWS > 8u { t.t1 = dot_rows(x1, y, t.t1); }
        if ROWS > 16u {
            t.t2 = dot_rows(x2, y, t.t2);
            t.t3 = dot_rows(x3, y, t.t3);
        }
    }
    return t;
}

// STEP of eight rows, the n-th such part, as the right side of a product: the rest of the strip is not used.
fn strip_of(t: Sums, n: u32) -> Strip {
    var s = Strip(t.r0, t.r1, t.r2, t.r3, t.r4, t.r5, t.r6, t.r7);
    if STEP == 4u {
        if n == 1u { s = Strip(t.r4, t.r5, t.r6, t.r7, t.r4, t.r5, t.r6, t.r7); }
    }
    if STEP == 2u {
        if n == 1u { s.p0 = t.r2; s.p1 = t.r3; }
        if n == 2u { s.p0 = t.r4; s.p1 = t.r5; }
        if n == 3u { s.p0 = t.r6; s.p1 = t.r7; }
    }
    return s;
}

// Eight channels, from `channel` on, of the rows from `row` on, mixed by the tile. `end` is the last channel.
fn mixed_values(base: u32, row: u32, last: u32, stride: u32, channel: u32, end: u32, t: Tile, lane: u32) -> Sums {
    let channels = pair_rows(base, channel, end, 1u, lane);
    var s: Sums;
    for (var n = 0u; n < ROWS; n += 8u) {
        let rows = octet(t, n);
        let own = row + n + lane % STEP;
        s = dot_rows(value_left4(channels + min(own, last) * stride), strip_of(rows, 0u), s);
        if STEP < 8u { s = dot_rows(value_left4(channels + min(own + STEP, last) * stride), strip_of(rows, 1u), s); }
        if STEP < 4u {
            s = dot_rows(value_left4(channels + min(own + 2u * STEP, last) * stride), strip_of(rows, 2u), s);
            s = dot_rows(value_left4(channels + min(own + 3u * STEP, last) * stride), strip_of(rows, 3u), s);
        }
    }
    return s;
}

// Eight addresses in a row, none past the last.
struct Offsets { r0: u32, r1: u32, r2: u32, r3: u32, r4: u32, r5: u32, r6: u32, r7: u32 }
struct Values { r0: f32, r1: f32, r2: f32, r3: f32, r4: f32, r5: f32, r6: f32, r7: f32 }

fn offsets(base: u32, first: u32, last: u32) -> Offsets {
    return Offsets(
        base + min(first, last), base + min(first + 1u, last), base + min(first + 2u, last), base + min(first + 3u, last),
        base + min(first + 4u, last), base + min(first + 5u, last), base + min(first + 6u, last), base + min(first + 7u, last),
    );
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
