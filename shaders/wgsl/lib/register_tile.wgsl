// A tile of matrix product in registers, for one subgroup: eight rows by 4*LANES columns. Needs LANES and STEP.
//
// Lane l owns four columns of the tile, the parts of a vec4. For STEP values of p a lane holds one value of each row
// of A (that of p + l) and STEP values of each of its columns of B; subgroupBroadcast hands A's values round. Members
// have names because an indexed array would live in memory, and nothing is a loop because CPU adapters unroll none.

// Eight rows of sums, or of addresses or values of A.
struct Sums { r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>, r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32> }
struct Offsets { r0: u32, r1: u32, r2: u32, r3: u32, r4: u32, r5: u32, r6: u32, r7: u32 }
struct Values { r0: f32, r1: f32, r2: f32, r3: f32, r4: f32, r5: f32, r6: f32, r7: f32 }

// B[p .. p+8, the four columns of this lane]; with a STEP of 4 the second half is not used.
struct Strip { p0: vec4<f32>, p1: vec4<f32>, p2: vec4<f32>, p3: vec4<f32>, p4: vec4<f32>, p5: vec4<f32>, p6: vec4<f32>, p7: vec4<f32> }

// sum + the product of one row of A, a value in each lane, and the strip of B.
fn dot_row(value: f32, b: Strip, sum: vec4<f32>) -> vec4<f32> {
    var s = fma(vec4(subgroupBroadcast(value, 0u)), b.p0, sum);
    s = fma(vec4(subgroupBroadcast(value, 1u)), b.p1, s);
    s = fma(vec4(subgroupBroadcast(value, 2u)), b.p2, s);
    s = fma(vec4(subgroupBroadcast(value, 3u)), b.p3, s);
    if STEP > 4u {
        s = fma(vec4(subgroupBroadcast(value, 4u)), b.p4, s);
        s = fma(vec4(subgroupBroadcast(value, 5u)), b.p5, s);
        s = fma(vec4(subgroupBroadcast(value, 6u)), b.p6, s);
        s = fma(vec4(subgroupBroadcast(value, 7u)), b.p7, s);
    }
    return s;
}

// STEP values of p for eight rows.
fn dot_rows(v: Values, b: Strip, s: Sums) -> Sums {
    return Sums(
        dot_row(v.r0, b, s.r0), dot_row(v.r1, b, s.r1), dot_row(v.r2, b, s.r2), dot_row(v.r3, b, s.r3),
        dot_row(v.r4, b, s.r4), dot_row(v.r5, b, s.r5), dot_row(v.r6, b, s.r6), dot_row(v.r7, b, s.r7),
    );
}

// One value of p for eight rows: every lane holds the same values of A.
fn add_outer(v: Values, b: vec4<f32>, s: Sums) -> Sums {
    return Sums(
        fma(vec4(v.r0), b, s.r0), fma(vec4(v.r1), b, s.r1), fma(vec4(v.r2), b, s.r2), fma(vec4(v.r3), b, s.r3),
        fma(vec4(v.r4), b, s.r4), fma(vec4(v.r5), b, s.r5), fma(vec4(v.r6), b, s.r6), fma(vec4(v.r7), b, s.r7),
    );
}

// Row r % 8 of the sums, and part i % 4 of a row, for a loop that finishes them one by one. All of them stay in
// registers; an indexed array takes half a second to compile, and as many stores as there are sums nearly as long.
fn row_of(s: Sums, r: u32) -> vec4<f32> {
    let odd = (r & 1u) != 0u;
    let low = select(select(s.r0, s.r1, odd), select(s.r2, s.r3, odd), (r & 2u) != 0u);
    let high = select(select(s.r4, s.r5, odd), select(s.r6, s.r7, odd), (r & 2u) != 0u);
    return select(low, high, (r & 4u) != 0u);
}
fn part_of(row: vec4<f32>, i: u32) -> f32 {
    let odd = (i & 1u) != 0u;
    return select(select(row.x, row.y, odd), select(row.z, row.w, odd), (i & 2u) != 0u);
}
