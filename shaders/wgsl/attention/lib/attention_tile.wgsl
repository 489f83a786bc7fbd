// A tile of scores S, probabilities P or their gradients dP and dS in the registers of one subgroup: ROWS rows by COLUMNS*LANES columns.
// A lane has four columns, or one. Needs octets.wgsl, ROWS and COLUMNS.
//
// In some kernels rows are keys and columns are queries, in others the reverse. What belongs to a column (a running maximum, a sum, the
// limits of a mask) is a vec4 in its lane, and no lane needs another's.
//
// CPU adapters turn a load into a loop over lanes, in which four values cost little more than one. So everything is read four channels
// at a time: lane r loads four channels of row r, and subgroupBroadcast gives them to all lanes. Widths and strides count such quads. The
// tile is the right operand of a product as it lies. Nothing is a loop, because CPU adapters unroll none.
//
// A kernel defines `load_row` and `load_column`: four channels at an index, of what its rows and its columns are. Their first argument
// says of which pair of operands: QK or DO_V.

// q and k, whose products are the scores S.
const QK: bool = false;
// dout and v, whose products are dP. Forward, v alone.
const DO_V: bool = true;

// Up to 32 rows; what is beyond ROWS is not used.
struct Tile { t0: Octet, t1: Octet, t2: Octet, t3: Octet }

// Four channels (a slice of the head dimension) of each of the lane's four columns: a vec4 of channels for each column, or transposed.
struct HeadSlice { p0: vec4<f32>, p1: vec4<f32>, p2: vec4<f32>, p3: vec4<f32> }

// Rows of a buffer: row r begins at base + r * stride. A row past the last one reads the last one.
struct StridedRows { base: u32, stride: u32, last: u32 }

// Four channels, from quad `channel` on, of each of eight rows.
fn load_row_slice(pair: bool, rows: StridedRows, row: u32, channel: u32, lane: u32) -> RowSlice {
    let first = row + lane % ROW_LANES;
    var v: RowSlice;
    v.low = load_row(pair, rows.base + min(first, rows.last) * rows.stride + channel);
    v.high = v.low;
    if ROW_LANES < 8u { v.high = load_row(pair, rows.base + min(first + 4u, rows.last) * rows.stride + channel); }
    return v;
}

// With one column to a lane the other three repeat it, so compilers compute nothing for them. Every sum that a loop carries on must
// be wrapped in this.
fn single_column(v: vec4<f32>) -> vec4<f32> { return select(v, vec4(v.x), COLUMNS == 1u); }

// s + four channels of a row times those of each column.
fn dot_slice(a: vec4<f32>, b: HeadSlice, s: vec4<f32>) -> vec4<f32> {
    return single_column(fma(vec4(a.w), b.p3, fma(vec4(a.z), b.p2, fma(vec4(a.y), b.p1, fma(vec4(a.x), b.p0, s)))));
}

fn accumulate_dots(v: RowSlice, b: HeadSlice, s: Octet) -> Octet {
    return Octet(
        dot_slice(subgroupBroadcast(v.low, 0u), b, s.r0), dot_slice(subgroupBroadcast(v.low, 1u), b, s.r1),
        dot_slice(subgroupBroadcast(v.low, 2u), b, s.r2), dot_slice(subgroupBroadcast(v.low, 3u), b, s.r3),
        dot_slice(subgroupBroadcast(v.high, 4u % ROW_LANES), b, s.r4), dot_slice(subgroupBroadcast(v.high, 5u % ROW_LANES), b, s.r5),
        dot_slice(subgroupBroadcast(v.high, 6u % ROW_LANES), b, s.r6), dot_slice(subgroupBroadcast(v.high, 7u % ROW_LANES), b, s.r7),
    );
}

// The dot products of the rows from `row` on with the lane's columns, which begin at `columns`, over `width` quads of channels: a tile of
// S = q k^T or of dP = dout v^T.
fn tile_dots(pair: bool, rows: StridedRows, row: u32, columns: vec4<u32>, width: u32, lane: u32) -> Tile {
    var t: Tile;
    for (var p = 0u; p < width; p++) {
        let x0 = load_row_slice(pair, rows, row, p, lane);
        var x1: RowSlice;
        var x2: RowSlice;
        var x3: RowSlice;
        if ROWS > 8u { x1 = load_row_slice(pair, rows, row + 8u, p, lane); }
        if ROWS > 16u {
            x2 = load_row_slice(pair, rows, row + 16u, p, lane);
            x3 = load_row_slice(pair, rows, row + 24u, p, lane);
        }
        let y = transposed(HeadSlice(
            load_column(pair, columns.x + p), load_column(pair, columns.y + p),
            load_column(pair, columns.z + p), load_column(pair, columns.w + p),
        ));
        t.t0 = accumulate_dots(x0, y, t.t0);
        if ROWS > 8u { t.t1 = accumulate_dots(x1, y, t.t1); }
        if ROWS > 16u {
            t.t2 = accumulate_dots(x2, y, t.t2);
            t.t3 = accumulate_dots(x3, y, t.t3);
        }
    }
    return t;
}

// Columns by channels as channels by columns, or the reverse.
fn transposed(q: HeadSlice) -> HeadSlice {
    return HeadSlice(
        vec4(q.p0.x, q.p1.x, q.p2.x, q.p3.x), vec4(q.p0.y, q.p1.y, q.p2.y, q.p3.y),
        vec4(q.p0.z, q.p1.z, q.p2.z, q.p3.z), vec4(q.p0.w, q.p1.w, q.p2.w, q.p3.w),
    );
}

// s + four channels of a row times that row's number in each column of the tile.
fn combine_row(v: vec4<f32>, t: vec4<f32>, s: HeadSlice) -> HeadSlice {
    return HeadSlice(
        fma(vec4(v.x), t, s.p0), fma(vec4(v.y), t, s.p1), fma(vec4(v.z), t, s.p2), fma(vec4(v.w), t, s.p3),
    );
}

fn combine_octet(v: RowSlice, t: Octet, sum: HeadSlice) -> HeadSlice {
    var s = combine_row(subgroupBroadcast(v.low, 0u), t.r0, sum);
    s = combine_row(subgroupBroadcast(v.low, 1u), t.r1, s);
    s = combine_row(subgroupBroadcast(v.low, 2u), t.r2, s);
    s = combine_row(subgroupBroadcast(v.low, 3u), t.r3, s);
    s = combine_row(subgroupBroadcast(v.high, 4u % ROW_LANES), t.r4, s);
    s = combine_row(subgroupBroadcast(v.high, 5u % ROW_LANES), t.r5, s);
    s = combine_row(subgroupBroadcast(v.high, 6u % ROW_LANES), t.r6, s);
    return combine_row(subgroupBroadcast(v.high, 7u % ROW_LANES), t.r7, s);
}

// Four channels of a sum of the rows from `row` on, for each column: each row times its number in the tile. So P makes of v the
// result, and dS of k the gradient of q.
fn combine_rows(pair: bool, rows: StridedRows, row: u32, channel: u32, t: Tile, lane: u32) -> HeadSlice {
    let x0 = load_row_slice(pair, rows, row, channel, lane);
    var x1: RowSlice;
    var x2: RowSlice;
    var x3: RowSlice;
    if ROWS > 8u { x1 = load_row_slice(pair, rows, row + 8u, channel, lane); }
    if ROWS > 16u {
        x2 = load_row_slice(pair, rows, row + 16u, channel, lane);
        x3 = load_row_slice(pair, rows, row + 24u, channel, lane);
    }
    var s: HeadSlice;
    s = combine_octet(x0, t.t0, s);
    if ROWS > 8u { s = combine_octet(x1, t.t1, s); }
    if ROWS > 16u {
        s = combine_octet(x2, t.t2, s);
        s = combine_octet(x3, t.t3, s);
    }
    return transposed(s);
}

// Eight rows of a tile by number; a select and not an index, which would put the tile in memory.
fn octet(t: Tile, row: u32) -> Octet {
    var s = t.t0;
    if ROWS > 8u { s = octet_select(s, t.t1, row == 8u); }
    if ROWS > 16u { s = octet_select(octet_select(s, t.t2, row == 16u), t.t3, row == 24u); }
    return s;
}

// The tile with those eight rows replaced.
fn with_octet(tile: Tile, row: u32, s: Octet) -> Tile {
    var t = tile;
    t.t0 = octet_select(t.t0, s, row == 0u);
    if ROWS > 8u { t.t1 = octet_select(t.t1, s, row == 8u); }
    if ROWS > 16u {
        t.t2 = octet_select(t.t2, s, row == 16u);
        t.t3 = octet_select(t.t3, s, row == 24u);
    }
    return t;
}

fn octet_select(a: Octet, b: Octet, second: bool) -> Octet {
    return Octet(
        select(a.r0, b.r0, second), select(a.r1, b.r1, second), select(a.r2, b.r2, second), select(a.r3, b.r3, second),
        select(a.r4, b.r4, second), select(a.r5, b.r5, second), select(a.r6, b.r6, second), select(a.r7, b.r7, second),
    );
}

fn octet_add(a: Octet, b: Octet) -> Octet {
    return Octet(a.r0 + b.r0, a.r1 + b.r1, a.r2 + b.r2, a.r3 + b.r3, a.r4 + b.r4, a.r5 + b.r5, a.r6 + b.r6, a.r7 + b.r7);
}

fn octet_multiply(a: Octet, b: Octet) -> Octet {
    return Octet(a.r0 * b.r0, a.r1 * b.r1, a.r2 * b.r2, a.r3 * b.r3, a.r4 * b.r4, a.r5 * b.r5, a.r6 * b.r6, a.r7 * b.r7);
}

// Every row times x, a factor of each column.
fn octet_scale(s: Octet, x: vec4<f32>) -> Octet {
    return Octet(s.r0 * x, s.r1 * x, s.r2 * x, s.r3 * x, s.r4 * x, s.r5 * x, s.r6 * x, s.r7 * x);
}

fn tile_scale(tile: Tile, x: f32) -> Tile {
    var t = tile;
    t.t0 = octet_scale(t.t0, vec4(x));
    if ROWS > 8u { t.t1 = octet_scale(t.t1, vec4(x)); }
    if ROWS > 16u { t.t2 = octet_scale(t.t2, vec4(x)); t.t3 = octet_scale(t.t3, vec4(x)); }
    return t;
}
