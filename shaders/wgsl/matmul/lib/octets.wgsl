// Sums of a tile in the registers of one subgroup, eight rows at a time, four columns to a lane. Needs ROWS: 8, 16 or 32.
//
// Members have names because an indexed array would live in memory. A loop that finishes rows one by one takes each by a
// tree of selects: one store in the code and not one for each row, since every store is branches, over which
// compilers of CPU adapters follow all sums that are still alive.

// Eight rows.
struct Sums { r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>, r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32> }

// Row r % 8 of eight.
fn row_of(s: Sums, r: u32) -> vec4<f32> {
    let odd = (r & 1u) != 0u;
    let low = select(select(s.r0, s.r1, odd), select(s.r2, s.r3, odd), (r & 2u) != 0u);
    let high = select(select(s.r4, s.r5, odd), select(s.r6, s.r7, odd), (r & 2u) != 0u);
    return select(low, high, (r & 4u) != 0u);
}

// Row r of up to 32.
fn tile_row(s0: Sums, s1: Sums, s2: Sums, s3: Sums, r: u32) -> vec4<f32> {
    var row = row_of(s0, r);
    if ROWS > 8u { row = select(row, row_of(s1, r), (r & 8u) != 0u); }
    if ROWS > 16u { row = select(row, select(row_of(s2, r), row_of(s3, r), (r & 8u) != 0u), (r & 16u) != 0u); }
    return row;
}

// Part i % 4 of a row.
fn part_of(row: vec4<f32>, i: u32) -> f32 {
    let odd = (i & 1u) != 0u;
    return select(select(row.x, row.y, odd), select(row.z, row.w, odd), (i & 2u) != 0u);
}
