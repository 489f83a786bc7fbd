// A tile of scores in the registers of one subgroup: up to 32 rows by 4*LANES columns, four columns to a lane, or but one.
//
// In some kernels rows are keys and columns queries, in others the reverse. What belongs to a column (a maximum, a sum,
// the limits of a mask) is then a vec4 in its lane, and no lane needs another's.
//
// Such an adapter turns a load into a loop over lanes, in which each value costs less if it comes in fours. So all is read
// by quads, four channels at a time: lane r loads a quad of row r, and subgroupBroadcast hands it round. As a matrix on
// the right of a product the tile serves as it lies. Nothing is a loop because CPU adapters unroll none.
//
// Needs octets.wgsl, LANES, ROWS and COLUMNS, a lane's, and the loads `left` (what rows are) and `right` (what columns
// are): of queries and keys, or with `values` of values and the result's gradient. Widths and strides count quads.

struct Tile { t0: Sums, t1: Sums, t2: Sums, t3: Sums }

// Four channels of the lane's four columns.
struct Quad { p0: vec4<f32>, p1: vec4<f32>, p2: vec4<f32>, p3: vec4<f32> }

// Something of each of eight rows: lane r has it of row r, and of row r + 4 in `high` where there are but four lanes.
const SPAN: u32 = min(LANES, 8u);
struct Eight { low: vec4<f32>, high: vec4<f32> }

// Rows of a buffer: row r begins at base + r * stride; none is read past the last.
struct Rows { base: u32, stride: u32, last: u32 }

// A quad, `along` a row, of each of eight rows.
fn eight(values: bool, rows: Rows, row: u32, along: u32, lane: u32) -> Eight {
    let own = row + lane % SPAN;
    var v: Eight;
    v.low = left(values, rows.base + min(own, rows.last) * rows.stride + along);
    v.high = v.low;
    if SPAN < 8u { v.high = left(values, rows.base + min(own + 4u, rows.last) * rows.stride + along); }
    return v;
}

// What a lane knows of its columns. Where it has but one, the others are that one again, which leaves compilers nothing to
// compute for them; that has to be said of every sum that a loop goes on with.
fn own(v: vec4<f32>) -> vec4<f32> { return select(v, vec4(v.x), COLUMNS == 1u); }

// s + a quad of a row times that of each column.
fn dot_quad(a: vec4<f32>, b: Quad, s: vec4<f32>) -> vec4<f32> {
    return own(fma(vec4(a.w), b.p3, fma(vec4(a.z), b.p2, fma(vec4(a.y), b.p1, fma(vec4(a.x), b.p0, s)))));
}

fn dot_rows(v: Eight, b: Quad, s: Sums) -> Sums {
    return Sums(
        dot_quad(subgroupBroadcast(v.low, 0u), b, s.r0), dot_quad(subgroupBroadcast(v.low, 1u), b, s.r1),
        dot_quad(subgroupBroadcast(v.low, 2u), b, s.r2), dot_quad(subgroupBroadcast(v.low, 3u), b, s.r3),
        dot_quad(subgroupBroadcast(v.high, 4u % SPAN), b, s.r4), dot_quad(subgroupBroadcast(v.high, 5u % SPAN), b, s.r5),
        dot_quad(subgroupBroadcast(v.high, 6u % SPAN), b, s.r6), dot_quad(subgroupBroadcast(v.high, 7u % SPAN), b, s.r7),
    );
}

// The products of the rows from `row` on and of the columns, which begin at `columns`, over `width` quads.
fn products(values: bool, rows: Rows, row: u32, columns: vec4<u32>, width: u32, lane: u32) -> Tile {
    var t: Tile;
    for (var p = 0u; p < width; p++) {
        let x0 = eight(values, rows, row, p, lane);
        var x1: Eight;
        var x2: Eight;
        var x3: Eight;
        if ROWS > 8u { x1 = eight(values, rows, row + 8u, p, lane); }
        if ROWS > 16u {
            x2 = eight(values, rows, row + 16u, p, lane);
            x3 = eight(values, rows, row + 24u, p, lane);
        }
        let y = turned(Quad(
            right(values, columns.x + p), right(values, columns.y + p), right(values, columns.z + p), right(values, columns.w + p),
        ));
        t.t0 = dot_rows(x0, y, t.t0);
        if ROWS > 8u { t.t1 = dot_rows(x1, y, t.t1); }
        if ROWS > 16u {
            t.t2 = dot_rows(x2, y, t.t2);
            t.t3 = dot_rows(x3, y, t.t3);
        }
    }
    return t;
}

// Quads of four columns as four channels, or the reverse.
fn turned(q: Quad) -> Quad {
    return Quad(
        vec4(q.p0.x, q.p1.x, q.p2.x, q.p3.x), vec4(q.p0.y, q.p1.y, q.p2.y, q.p3.y),
        vec4(q.p0.z, q.p1.z, q.p2.z, q.p3.z), vec4(q.p0.w, q.p1.w, q.p2.w, q.p3.w),
    );
}

// s + one row of the tile times that row's quad.
fn mix_row(v: vec4<f32>, t: vec4<f32>, s: Quad) -> Quad {
    return Quad(
        fma(vec4(v.x), t, s.p0), fma(vec4(v.y), t, s.p1), fma(vec4(v.z), t, s.p2), fma(vec4(v.w), t, s.p3),
    );
}

fn mix_rows(v: Eight, t: Sums, sum: Quad) -> Quad {
    var s = mix_row(subgroupBroadcast(v.low, 0u), t.r0, sum);
    s = mix_row(subgroupBroadcast(v.low, 1u), t.r1, s);
    s = mix_row(subgroupBroadcast(v.low, 2u), t.r2, s);
    s = mix_row(subgroupBroadcast(v.low, 3u), t.r3, s);
    s = mix_row(subgroupBroadcast(v.high, 4u % SPAN), t.r4, s);
    s = mix_row(subgroupBroadcast(v.high, 5u % SPAN), t.r5, s);
    s = mix_row(subgroupBroadcast(v.high, 6u % SPAN), t.r6, s);
    return mix_row(subgroupBroadcast(v.high, 7u % SPAN), t.r7, s);
}

// The quad `along` the rows from `row` on, mixed by the tile: a quad for each column.
fn mixed(values: bool, rows: Rows, row: u32, along: u32, t: Tile, lane: u32) -> Quad {
    let x0 = eight(values, rows, row, along, lane);
    var x1: Eight;
    var x2: Eight;
    var x3: Eight;
    if ROWS > 8u { x1 = eight(values, rows, row + 8u, along, lane); }
    if ROWS > 16u {
        x2 = eight(values, rows, row + 16u, along, lane);
        x3 = eight(values, rows, row + 24u, along, lane);
    }
    var s: Quad;
    s = mix_rows(x0, t.t0, s);
    if ROWS > 8u { s = mix_rows(x1, t.t1, s); }
    if ROWS > 16u {
        s = mix_rows(x2, t.t2, s);
        s = mix_rows(x3, t.t3, s);
    }
    return turned(s);
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
