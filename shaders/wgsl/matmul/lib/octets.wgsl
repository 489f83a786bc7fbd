// A tile in the registers of one subgroup, eight rows at a time, four columns to a lane. Matrix products, recurrent steps and attention
// on CPU adapters are made of it. Needs LANES, 4 or more, and ROWS: 8, 16 or 32.
//
// Members have names because an indexed array would live in memory. A loop that stores row after row takes each by a tree of selects,
// so the code has one store and not one for each row. A store is a branch for each lane, and compilers of CPU adapters follow all
// live sums over every branch.

// Eight rows of a tile.
struct Octet { r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>, r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32> }

// Four neighbours (values of k, or channels) of each of eight rows, as a lane loads them: lane r has those of row r. A subgroup of four
// lanes has those of row r + 4 in `high`. subgroupBroadcast gives every lane a row's four.
struct RowSlice { low: vec4<f32>, high: vec4<f32> }

// Lanes that hold different rows of eight.
const ROW_LANES: u32 = min(LANES, 8u);

// Row r % 8 of eight.
fn octet_row(s: Octet, r: u32) -> vec4<f32> {
    let odd = (r & 1u) != 0u;
    let low = select(select(s.r0, s.r1, odd), select(s.r2, s.r3, odd), (r & 2u) != 0u);
    let high = select(select(s.r4, s.r5, odd), select(s.r6, s.r7, odd), (r & 2u) != 0u);
    return select(low, high, (r & 4u) != 0u);
}

// Row r of up to 32.
fn tile_row(s0: Octet, s1: Octet, s2: Octet, s3: Octet, r: u32) -> vec4<f32> {
    var row = octet_row(s0, r);
    if ROWS > 8u { row = select(row, octet_row(s1, r), (r & 8u) != 0u); }
    if ROWS > 16u { row = select(row, select(octet_row(s2, r), octet_row(s3, r), (r & 8u) != 0u), (r & 16u) != 0u); }
    return row;
}

// Component i % 4 of a row.
fn component(row: vec4<f32>, i: u32) -> f32 {
    let odd = (i & 1u) != 0u;
    return select(select(row.x, row.y, odd), select(row.z, row.w, odd), (i & 2u) != 0u);
}
