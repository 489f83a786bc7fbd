// The gradient of scores, tile by tile: ds = p * (dropout(dout v^T) - delta), delta = sum over keys of p * dropout(dout v^T).
//
// Needs value_left4 and value_right4, which load v and dout as left4 and right4 load k and q (attention_tile.wgsl).

// products of attention_tile.wgsl for the values.
fn value_products(base: u32, row: u32, last: u32, stride: u32, columns: vec4<u32>, lane: u32) -> Tile {
    let end = params.value_width - 1u;
    var t: Tile;
    for (var p = 0u; p <= end; p += STEP) {
        let along = min(p + lane % STEP, end);
        let inside = p + lane % STEP <= end;
        let zero = vec4(0.0f);
        let x0 = select(zero, value_left4(pair_rows(base, row, last, stride, lane) + along), inside);
        var x1: vec4<f32>;
        var x2: vec4<f32>;
        var x3: vec4<f32>;
        if ROWS > 8u { x1 = select(zero, value_left4(pair_rows(base, row + 8u, last, stride, lane) + along), inside); }
        if ROWS > 16u {
            x2 = select(zero, value_left4(pair_rows(base, row + 16u, last, stride, lane) + along), inside);
            x3 = select(zero, value_left4(pair_rows(base, row + 24u, last, stride, lane) + along), inside);
        }
        var y: Strip;
        y.p0 = value_right4(columns + p);
        y.p1 = value_right4(columns + min(p + 1u, end));
        if STEP > 2u {
            y.p2 = value_right4(columns + min(p + 2u, end));
            y.p3 = value_right4(columns + min(p + 3u, end));
        }
        if STEP > 4u {
            y.p4 = value_right4(columns + min(p + 4u, end));
            y.p5 = value_right4(columns + min(p + 5u, end));
            y.p6 = value_right4(columns + min(p + 6u, end));
            y.p7 = value_right4(columns + min(p + 7u, end));
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

// mixed_values for the rows of the left buffer.
fn mixed_left(base: u32, row: u32, last: u32, stride: u32, channel: u32, end: u32, t: Tile, lane: u32) -> Sums {
    let channels = pair_rows(base, channel, end, 1u, lane);
    var s: Sums;
    for (var n = 0u; n < ROWS; n += 8u) {
        let rows = octet(t, n);
        let own = row + n + lane % STEP;
        s = dot_rows(left4(channels + min(own, last) * stride), strip_of(rows, 0u), s);
        if STEP < 8u { s = dot_rows(left4(channels + min(own + STEP, last) * stride), strip_of(rows, 1u), s); }
        if STEP < 4u {
            s = dot_rows(left4(channels + min(own + 2u * STEP, last) * stride), strip_of(rows, 2u), s);
            s = dot_rows(left4(channels + min(own + 3u * STEP, last) * stride), strip_of(rows, 3u), s);
        }
    }
    return s;
}

// Weights after dropout times g, minus weights times delta, a number of each column.
fn gradient(kept: Sums, g: Sums, p: Sums, delta: vec4<f32>) -> Sums {
    return Sums(
        fma(kept.r0, g.r0, p.r0 * -delta), fma(kept.r1, g.r1, p.r1 * -delta),
        fma(kept.r2, g.r2, p.r2 * -delta), fma(kept.r3, g.r3, p.r3 * -delta),
        fma(kept.r4, g.r4, p.r4 * -delta), fma(kept.r5, g.r5, p.r5 * -delta),
        fma(kept.r6, g.r6, p.r6 * -delta), fma(kept.r7, g.r7, p.r7 * -delta),
    );
}

fn tile_gradient(kept: Tile, g: Tile, p: Tile, delta: vec4<f32>) -> Tile {
    var t: Tile;
    t.t0 = gradient(kept.t0, g.t0, p.t0, delta);
    if ROWS > 8u { t.t1 = gradient(kept.t1, g.t1, p.t1, delta); }
    if ROWS > 16u {
        t.t2 = gradient(kept.t2, g.t2, p.t2, delta);
        t.t3 = gradient(kept.t3, g.t3, p.t3, delta);
    }
    return t;
}

// Weights of eight rows that each have a sum of their own, of logarithm lse.
fn weights_by_row(s: Sums, lse: Values) -> Sums {
    return Sums(
        weight(s.r0, vec4(lse.r0)), weight(s.r1, vec4(lse.r1)), weight(s.r2, vec4(lse.r2)), weight(s.r3, vec4(lse.r3)),
        weight(s.r4, vec4(lse.r4)), weight(s.r5, vec4(lse.r5)), weight(s.r6, vec4(lse.r6)), weight(s.r7, vec4(lse.r7)),
    );
}

// `gradient` with a delta for each row.
fn gradient_by_row(kept: Sums, g: Sums, p: Sums, delta: Values) -> Sums {
    return Sums(
        fma(kept.r0, g.r0, p.r0 * -delta.r0), fma(kept.r1, g.r1, p.r1 * -delta.r1),
        fma(kept.r2, g.r2, p.r2 * -delta.r2), fma(kept.r3, g.r3, p.r3 * -delta.r3),
        fma(kept.r4, g.r4, p.r4 * -delta.r4), fma(kept.r5, g.r5, p.r5 * -delta.r5),
        fma(kept.r6, g.r6, p.r6 * -delta.r6), fma(kept.r7, g.r7, p.r7 * -delta.r7),
    );
}

// One of eight rows, and one of all.
fn octet_row(s: Sums, r: u32) -> vec4<f32> {
    let low = select(select(s.r0, s.r1, r == 1u), select(s.r2, s.r3, r == 3u), r > 1u);
    let high = select(select(s.r4, s.r5, r == 5u), select(s.r6, s.r7, r == 7u), r > 5u);
    return select(low, high, r > 3u);
}

fn tile_row(t: Tile, r: u32) -> vec4<f32> { return octet_row(octet(t, r - r % 8u), r % 8u); }
