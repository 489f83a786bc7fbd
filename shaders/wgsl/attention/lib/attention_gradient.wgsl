// The gradient of scores, tile by tile: ds = p * (dropout(dout v^T) - delta), delta = sum over keys of p * dropout(dout v^T).

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

// Of a number that eight rows have, all eight: lane r has that of row r, or in y that of row r + 4.
fn each(v: vec2<f32>) -> Eight {
    return Eight(
        vec4(subgroupBroadcast(v.x, 0u), subgroupBroadcast(v.x, 1u), subgroupBroadcast(v.x, 2u), subgroupBroadcast(v.x, 3u)),
        vec4(
            subgroupBroadcast(v[4u / SPAN], 4u % SPAN), subgroupBroadcast(v[5u / SPAN], 5u % SPAN),
            subgroupBroadcast(v[6u / SPAN], 6u % SPAN), subgroupBroadcast(v[7u / SPAN], 7u % SPAN),
        ),
    );
}

// Weights of eight rows that each have a sum of their own, of logarithm lse.
fn weights_by_row(s: Sums, lse: Eight) -> Sums {
    let m = lse.low;
    let n = lse.high;
    return Sums(
        weight(s.r0, vec4(m.x)), weight(s.r1, vec4(m.y)), weight(s.r2, vec4(m.z)), weight(s.r3, vec4(m.w)),
        weight(s.r4, vec4(n.x)), weight(s.r5, vec4(n.y)), weight(s.r6, vec4(n.z)), weight(s.r7, vec4(n.w)),
    );
}

// `gradient` with a delta for each row.
fn gradient_by_row(kept: Sums, g: Sums, p: Sums, delta: Eight) -> Sums {
    let d = -delta.low;
    let e = -delta.high;
    return Sums(
        fma(kept.r0, g.r0, p.r0 * d.x), fma(kept.r1, g.r1, p.r1 * d.y),
        fma(kept.r2, g.r2, p.r2 * d.z), fma(kept.r3, g.r3, p.r3 * d.w),
        fma(kept.r4, g.r4, p.r4 * e.x), fma(kept.r5, g.r5, p.r5 * e.y),
        fma(kept.r6, g.r6, p.r6 * e.z), fma(kept.r7, g.r7, p.r7 * e.w),
    );
}
