// From products to scores S, and from scores to probabilities P, tile by tile (attention_tile.wgsl) by the rules of attention.wgsl. Needs
// KEY_ROWS: whether rows are keys.
//
// What differs from element to element (terms, dropout) is a loop over eight rows at a time: compilers of CPU adapters need long for
// much code, and this is much.

// Where a tile stands: its batch row, its head, the position of query 0, the last row that exists, and its columns, clamped too.
struct TileOrigin { b: u32, h: u32, start: i32, last: u32, columns: vec4<u32> }

// The queries and keys of a row. A row past the last one is the last one.
struct QueryKey { query: vec4<u32>, key: vec4<u32> }

fn query_key_of(origin: TileOrigin, row: u32) -> QueryKey {
    let r = vec4(min(row, origin.last));
    return QueryKey(select(r, origin.columns, KEY_ROWS), select(origin.columns, r, KEY_ROWS));
}

fn bias_row(origin: TileOrigin, row: u32) -> vec4<f32> {
    let at = query_key_of(origin, row);
    let b = origin.b;
    let h = origin.h;
    return vec4(
        bias_term(b, h, at.query.x, at.key.x), bias_term(b, h, at.query.y, at.key.y),
        bias_term(b, h, at.query.z, at.key.z), bias_term(b, h, at.query.w, at.key.w),
    );
}

fn distance_row(origin: TileOrigin, row: u32) -> vec4<f32> {
    let at = query_key_of(origin, row);
    let h = origin.h;
    let s = origin.start;
    return vec4(
        distance_term(h, at.query.x, at.key.x, s), distance_term(h, at.query.y, at.key.y, s),
        distance_term(h, at.query.z, at.key.z, s), distance_term(h, at.query.w, at.key.w, s),
    );
}

fn dropout_row(origin: TileOrigin, row: u32) -> vec4<f32> {
    let at = query_key_of(origin, row);
    let b = origin.b;
    let h = origin.h;
    return vec4(
        dropout_factor(b, h, at.query.x, at.key.x), dropout_factor(b, h, at.query.y, at.key.y),
        dropout_factor(b, h, at.query.z, at.key.z), dropout_factor(b, h, at.query.w, at.key.w),
    );
}

// The products times the scale, with all terms. Biases and distances have a loop each: where one loop reads both buffers, and
// dropout follows, the llvmpipe of Mesa 26.1 (LLVM 19) reads through a null descriptor.
fn tile_scores(products: Tile, origin: TileOrigin, row: u32) -> Tile {
    var t = tile_scale(products, params.scale);
    if BIAS {
        for (var n = 0u; n < ROWS; n += 8u) {
            let r = row + n;
            let terms = Octet(
                bias_row(origin, r), bias_row(origin, r + 1u), bias_row(origin, r + 2u), bias_row(origin, r + 3u),
                bias_row(origin, r + 4u), bias_row(origin, r + 5u), bias_row(origin, r + 6u), bias_row(origin, r + 7u),
            );
            t = with_octet(t, n, octet_add(octet(t, n), terms));
        }
    }
    if DISTANCE {
        for (var n = 0u; n < ROWS; n += 8u) {
            let r = row + n;
            let terms = Octet(
                distance_row(origin, r), distance_row(origin, r + 1u), distance_row(origin, r + 2u), distance_row(origin, r + 3u),
                distance_row(origin, r + 4u), distance_row(origin, r + 5u), distance_row(origin, r + 6u), distance_row(origin, r + 7u),
            );
            t = with_octet(t, n, octet_add(octet(t, n), terms));
        }
    }
    return t;
}

// Probabilities after dropout.
fn tile_dropout(tile: Tile, origin: TileOrigin, row: u32) -> Tile {
    var t = tile;
    if DROPOUT {
        for (var n = 0u; n < ROWS; n += 8u) {
            let r = row + n;
            let factors = Octet(
                dropout_row(origin, r), dropout_row(origin, r + 1u), dropout_row(origin, r + 2u), dropout_row(origin, r + 3u),
                dropout_row(origin, r + 4u), dropout_row(origin, r + 5u), dropout_row(origin, r + 6u), dropout_row(origin, r + 7u),
            );
            t = with_octet(t, n, octet_multiply(octet(t, n), factors));
        }
    }
    return t;
}

// The score where the row is in its column's range, else LOWEST.
fn octet_masked(s: Octet, row: u32, begin: vec4<u32>, size: vec4<u32>) -> Octet {
    let low = vec4(LOWEST);
    let at = vec4(row) - begin;
    return Octet(
        select(low, s.r0, at < size), select(low, s.r1, at + 1u < size), select(low, s.r2, at + 2u < size),
        select(low, s.r3, at + 3u < size), select(low, s.r4, at + 4u < size), select(low, s.r5, at + 5u < size),
        select(low, s.r6, at + 6u < size), select(low, s.r7, at + 7u < size),
    );
}

// The sizes of the ranges (as octet_masked takes them) that are left below `end`.
fn sizes_below(end: u32, begin: vec4<u32>, size: vec4<u32>) -> vec4<u32> { return min(size, max(vec4(end), begin) - begin); }

fn tile_masked(tile: Tile, row: u32, begin: vec4<u32>, size: vec4<u32>) -> Tile {
    var t = tile;
    t.t0 = octet_masked(t.t0, row, begin, size);
    if ROWS > 8u { t.t1 = octet_masked(t.t1, row + 8u, begin, size); }
    if ROWS > 16u {
        t.t2 = octet_masked(t.t2, row + 16u, begin, size);
        t.t3 = octet_masked(t.t3, row + 24u, begin, size);
    }
    return t;
}

// P = 2^(s - m), and 0 for a score that is masked. m is the running maximum, or the lse.
fn probability(s: vec4<f32>, m: vec4<f32>) -> vec4<f32> { return select(exp2(s - m), vec4(0.0f), s <= vec4(LOWEST)); }

fn octet_probabilities(s: Octet, m: vec4<f32>) -> Octet {
    return Octet(
        probability(s.r0, m), probability(s.r1, m), probability(s.r2, m), probability(s.r3, m),
        probability(s.r4, m), probability(s.r5, m), probability(s.r6, m), probability(s.r7, m),
    );
}

fn tile_probabilities(tile: Tile, m: vec4<f32>) -> Tile {
    var t = tile;
    t.t0 = octet_probabilities(t.t0, m);
    if ROWS > 8u { t.t1 = octet_probabilities(t.t1, m); }
    if ROWS > 16u { t.t2 = octet_probabilities(t.t2, m); t.t3 = octet_probabilities(t.t3, m); }
    return t;
}

fn octet_max(s: Octet) -> vec4<f32> {
    return max(max(max(s.r0, s.r1), max(s.r2, s.r3)), max(max(s.r4, s.r5), max(s.r6, s.r7)));
}

// The maximum of each column.
fn tile_max(t: Tile) -> vec4<f32> {
    var top = octet_max(t.t0);
    if ROWS > 8u { top = max(top, octet_max(t.t1)); }
    if ROWS > 16u { top = max(top, max(octet_max(t.t2), octet_max(t.t3))); }
    return top;
}

fn octet_sum(s: Octet) -> vec4<f32> { return ((s.r0 + s.r1) + (s.r2 + s.r3)) + ((s.r4 + s.r5) + (s.r6 + s.r7)); }

// The sum of each column.
fn tile_sum(t: Tile) -> vec4<f32> {
    var sum = octet_sum(t.t0);
    if ROWS > 8u { sum += octet_sum(t.t1); }
    if ROWS > 16u { sum += octet_sum(t.t2) + octet_sum(t.t3); }
    return sum;
}
