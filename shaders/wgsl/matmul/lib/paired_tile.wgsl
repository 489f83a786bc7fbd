// A tile of a matrix product in the registers of one subgroup: eight rows by 4*LANES columns, STEP values of p a step. Needs STEP, half of
// LANES, and octets.wgsl.
//
// Lane l owns four columns of the tile, the components of a vec4. For STEP values of p it loads those of its columns of B, and of A one
// value of every second row: the values at p .. p+STEP of rows 0, 2, 4 and 6 are in the lower half of the lanes, those of rows 1, 3, 5
// and 7 in the upper half. subgroupBroadcast gives them to all lanes. Nothing is a loop, because CPU adapters unroll none.

// B[p .. p+STEP, the four columns of this lane]; members beyond STEP are not used.
struct Strip { p0: vec4<f32>, p1: vec4<f32>, p2: vec4<f32>, p3: vec4<f32>, p4: vec4<f32>, p5: vec4<f32>, p6: vec4<f32>, p7: vec4<f32> }

// sum + A[a row in the lower half of the lanes, p .. p+STEP] * B[p .. p+STEP, four columns].
fn dot_low(value: f32, b: Strip, sum: vec4<f32>) -> vec4<f32> {
    var s = fma(vec4(subgroupBroadcast(value, 0u)), b.p0, sum);
    s = fma(vec4(subgroupBroadcast(value, 1u)), b.p1, s);
    if STEP > 2u {
        s = fma(vec4(subgroupBroadcast(value, 2u)), b.p2, s);
        s = fma(vec4(subgroupBroadcast(value, 3u)), b.p3, s);
    }
    if STEP > 4u {
        s = fma(vec4(subgroupBroadcast(value, 4u)), b.p4, s);
        s = fma(vec4(subgroupBroadcast(value, 5u)), b.p5, s);
        s = fma(vec4(subgroupBroadcast(value, 6u)), b.p6, s);
        s = fma(vec4(subgroupBroadcast(value, 7u)), b.p7, s);
    }
    return s;
}

// The same for the row in the upper half.
fn dot_high(value: f32, b: Strip, sum: vec4<f32>) -> vec4<f32> {
    var s = fma(vec4(subgroupBroadcast(value, STEP)), b.p0, sum);
    s = fma(vec4(subgroupBroadcast(value, STEP + 1u)), b.p1, s);
    if STEP > 2u {
        s = fma(vec4(subgroupBroadcast(value, STEP + 2u)), b.p2, s);
        s = fma(vec4(subgroupBroadcast(value, STEP + 3u)), b.p3, s);
    }
    if STEP > 4u {
        s = fma(vec4(subgroupBroadcast(value, STEP + 4u)), b.p4, s);
        s = fma(vec4(subgroupBroadcast(value, STEP + 5u)), b.p5, s);
        s = fma(vec4(subgroupBroadcast(value, STEP + 6u)), b.p6, s);
        s = fma(vec4(subgroupBroadcast(value, STEP + 7u)), b.p7, s);
    }
    return s;
}

fn accumulate_pairs(v: vec4<f32>, b: Strip, s: Octet) -> Octet {
    return Octet(
        dot_low(v.x, b, s.r0), dot_high(v.x, b, s.r1), dot_low(v.y, b, s.r2), dot_high(v.y, b, s.r3),
        dot_low(v.z, b, s.r4), dot_high(v.z, b, s.r5), dot_low(v.w, b, s.r6), dot_high(v.w, b, s.r7),
    );
}
