// The gradient of scores, tile by tile: dS = P * (dropout(dP) - delta) with dP = dout v^T and delta = rowsum(dout * out). Needs
// attention_scores.wgsl.

// P after dropout times dP, minus P times delta. A column has one delta.
fn octet_gradient(dropped: Octet, dp: Octet, p: Octet, delta: vec4<f32>) -> Octet {
    return Octet(
        fma(dropped.r0, dp.r0, p.r0 * -delta), fma(dropped.r1, dp.r1, p.r1 * -delta),
        fma(dropped.r2, dp.r2, p.r2 * -delta), fma(dropped.r3, dp.r3, p.r3 * -delta),
        fma(dropped.r4, dp.r4, p.r4 * -delta), fma(dropped.r5, dp.r5, p.r5 * -delta),
        fma(dropped.r6, dp.r6, p.r6 * -delta), fma(dropped.r7, dp.r7, p.r7 * -delta),
    );
}

fn tile_gradient(dropped: Tile, dp: Tile, p: Tile, delta: vec4<f32>) -> Tile {
    var t: Tile;
    t.t0 = octet_gradient(dropped.t0, dp.t0, p.t0, delta);
    if ROWS > 8u { t.t1 = octet_gradient(dropped.t1, dp.t1, p.t1, delta); }
    if ROWS > 16u {
        t.t2 = octet_gradient(dropped.t2, dp.t2, p.t2, delta);
        t.t3 = octet_gradient(dropped.t3, dp.t3, p.t3, delta);
    }
    return t;
}

// A number (lse or delta) of each of eight rows, in every lane: rows 0 to 3 and rows 4 to 7.
struct RowStats { low: vec4<f32>, high: vec4<f32> }

// The same from what lanes hold: lane r has the number of row r in x. A subgroup of four lanes has that of row r + 4 in y.
fn row_stats(v: vec2<f32>) -> RowStats {
    return RowStats(
        vec4(subgroupBroadcast(v.x, 0u), subgroupBroadcast(v.x, 1u), subgroupBroadcast(v.x, 2u), subgroupBroadcast(v.x, 3u)),
        vec4(
            subgroupBroadcast(v[4u / ROW_LANES], 4u % ROW_LANES), subgroupBroadcast(v[5u / ROW_LANES], 5u % ROW_LANES),
            subgroupBroadcast(v[6u / ROW_LANES], 6u % ROW_LANES), subgroupBroadcast(v[7u / ROW_LANES], 7u % ROW_LANES),
        ),
    );
}

// Probabilities where a row has one lse.
fn octet_probabilities_by_row(s: Octet, lse: RowStats) -> Octet {
    let m = lse.low;
    let n = lse.high;
    return Octet(
        probability(s.r0, vec4(m.x)), probability(s.r1, vec4(m.y)), probability(s.r2, vec4(m.z)), probability(s.r3, vec4(m.w)),
        probability(s.r4, vec4(n.x)), probability(s.r5, vec4(n.y)), probability(s.r6, vec4(n.z)), probability(s.r7, vec4(n.w)),
    );
}

// `octet_gradient` where a row has one delta.
fn octet_gradient_by_row(dropped: Octet, dp: Octet, p: Octet, delta: RowStats) -> Octet {
    let d = -delta.low;
    let e = -delta.high;
    return Octet(
        fma(dropped.r0, dp.r0, p.r0 * d.x), fma(dropped.r1, dp.r1, p.r1 * d.y),
        fma(dropped.r2, dp.r2, p.r2 * d.z), fma(dropped.r3, dp.r3, p.r3 * d.w),
        fma(dropped.r4, dp.r4, p.r4 * e.x), fma(dropped.r5, dp.r5, p.r5 * e.y),
        fma(dropped.r6, dp.r6, p.r6 * e.z), fma(dropped.r7, dp.r7, p.r7 * e.w),
    );
}
