// From products to scores, and from scores to weights, tile by tile (attention_tile.wgsl) by the rules of attention.wgsl.
//
// What differs from element to element (terms, dropout) is a loop over eight rows at a time, because a compiler of CPU
// adapters takes its time for code and these need much. Needs KEY_ROWS: whether rows are keys.

// Where a tile stands: its batch row, head, the position of query 0, the last row that exists, and its columns, clamped too.
struct Place { b: u32, h: u32, start: i32, last: u32, columns: vec4<u32> }

// The queries and keys of a row; a row past the last stands for it.
struct Pairs { query: vec4<u32>, key: vec4<u32> }

fn pairs_of(place: Place, row: u32) -> Pairs {
    let r = vec4(min(row, place.last));
    return Pairs(select(r, place.columns, KEY_ROWS), select(place.columns, r, KEY_ROWS));
}

fn bias_row(place: Place, row: u32) -> vec4<f32> {
    let at = pairs_of(place, row);
    let b = place.b;
    let h = place.h;
    return vec4(
        bias_term(b, h, at.query.x, at.key.x), bias_term(b, h, at.query.y, at.key.y),
        bias_term(b, h, at.query.z, at.key.z), bias_term(b, h, at.query.w, at.key.w),
    );
}

fn distance_row(place: Place, row: u32) -> vec4<f32> {
    let at = pairs_of(place, row);
    let h = place.h;
    let s = place.start;
    return vec4(
        distance_term(h, at.query.x, at.key.x, s), distance_term(h, at.query.y, at.key.y, s),
        distance_term(h, at.query.z, at.key.z, s), distance_term(h, at.query.w, at.key.w, s),
    );
}

fn kept_row(place: Place, row: u32) -> vec4<f32> {
    let at = pairs_of(place, row);
    let b = place.b;
    let h = place.h;
    return vec4(
        kept(b, h, at.query.x, at.key.x), kept(b, h, at.query.y, at.key.y),
        kept(b, h, at.query.z, at.key.z), kept(b, h, at.query.w, at.key.w),
    );
}

// The products times the scale, with all terms. Biases and distances have a loop each: where one loop reads both buffers, and
// dropout follows, the llvmpipe of Mesa 26.1 (LLVM 19) reads through a null descriptor.
fn tile_scores(products: Tile, place: Place, row: u32) -> Tile {
    var t = tile_times(products, params.scale);
    if BIAS {
        for (var n = 0u; n < ROWS; n += 8u) {
            let r = row + n;
            let terms = Sums(
                bias_row(place, r), bias_row(place, r + 1u), bias_row(place, r + 2u), bias_row(place, r + 3u),
                bias_row(place, r + 4u), bias_row(place, r + 5u), bias_row(place, r + 6u), bias_row(place, r + 7u),
            );
            t = with_octet(t, n, add(octet(t, n), terms));
        }
    }
    if DISTANCE {
        for (var n = 0u; n < ROWS; n += 8u) {
            let r = row + n;
            let terms = Sums(
                distance_row(place, r), distance_row(place, r + 1u), distance_row(place, r + 2u), distance_row(place, r + 3u),
                distance_row(place, r + 4u), distance_row(place, r + 5u), distance_row(place, r + 6u), distance_row(place, r + 7u),
            );
            t = with_octet(t, n, add(octet(t, n), terms));
        }
    }
    return t;
}

// Weights, or gradients of weights, after dropout.
fn tile_kept(tile: Tile, place: Place, row: u32) -> Tile {
    var t = tile;
    if DROPOUT {
        for (var n = 0u; n < ROWS; n += 8u) {
            let r = row + n;
            let factors = Sums(
                kept_row(place, r), kept_row(place, r + 1u), kept_row(place, r + 2u), kept_row(place, r + 3u),
                kept_row(place, r + 4u), kept_row(place, r + 5u), kept_row(place, r + 6u), kept_row(place, r + 7u),
            );
            t = with_octet(t, n, multiply(octet(t, n), factors));
        }
    }
    return t;
}

// The score where the row is one of the column's range, else LOWEST.
fn masked(s: Sums, row: u32, begin: vec4<u32>, size: vec4<u32>) -> Sums {
    let low = vec4(LOWEST);
    let at = vec4(row) - begin;
    return Sums(
        select(low, s.r0, at < size), select(low, s.r1, at + 1u < size), select(low, s.r2, at + 2u < size),
        select(low, s.r3, at + 3u < size), select(low, s.r4, at + 4u < size), select(low, s.r5, at + 5u < size),
        select(low, s.r6, at + 6u < size), select(low, s.r7, at + 7u < size),
    );
}

// Of ranges as `masked` takes them, the sizes of what lies below `end`.
fn below(end: u32, begin: vec4<u32>, size: vec4<u32>) -> vec4<u32> { return min(size, max(vec4(end), begin) - begin); }

fn tile_masked(tile: Tile, row: u32, begin: vec4<u32>, size: vec4<u32>) -> Tile {
    var t = tile;
    t.t0 = masked(t.t0, row, begin, size);
    if ROWS > 8u { t.t1 = masked(t.t1, row + 8u, begin, size); }
    if ROWS > 16u {
        t.t2 = masked(t.t2, row + 16u, begin, size);
        t.t3 = masked(t.t3, row + 24u, begin, size);
    }
    return t;
}

// 2^(s - m), and 0 for a score that does not count.
fn weight(s: vec4<f32>, m: vec4<f32>) -> vec4<f32> { return select(exp2(s - m), vec4(0.0f), s <= vec4(LOWEST)); }

fn weights(s: Sums, m: vec4<f32>) -> Sums {
    return Sums(
        weight(s.r0, m), weight(s.r1, m), weight(s.r2, m), weight(s.r3, m),
        weight(s.r4, m), weight(s.r5, m), weight(s.r6, m), weight(s.r7, m),
    );
}

fn tile_weights(tile: Tile, m: vec4<f32>) -> Tile {
    var t = tile;
    t.t0 = weights(t.t0, m);
    if ROWS > 8u { t.t1 = weights(t.t1, m); }
    if ROWS > 16u { t.t2 = weights(t.t2, m); t.t3 = weights(t.t3, m); }
    return t;
}

fn greatest(s: Sums) -> vec4<f32> {
    return max(max(max(s.r0, s.r1), max(s.r2, s.r3)), max(max(s.r4, s.r5), max(s.r6, s.r7)));
}

// The greatest score of each column.
fn tile_greatest(t: Tile) -> vec4<f32> {
    var top = greatest(t.t0);
    if ROWS > 8u { top = max(top, greatest(t.t1)); }
    if ROWS > 16u { top = max(top, max(greatest(t.t2), greatest(t.t3))); }
    return top;
}

fn total(s: Sums) -> vec4<f32> { return ((s.r0 + s.r1) + (s.r2 + s.r3)) + ((s.r4 + s.r5) + (s.r6 + s.r7)); }

// The sum of each column.
fn tile_total(t: Tile) -> vec4<f32> {
    var sum = total(t.t0);
    if ROWS > 8u { sum += total(t.t1); }
    if ROWS > 16u { sum += total(t.t2) + total(t.t3); }
    return sum;
}
