// A tile of matrix product in registers, for one subgroup: eight rows by 4*LANES columns, four values of k a step. Needs
// LANES, 4 or more, and octets.wgsl.
//
// A CPU adapter makes a loop over the lanes of each storage load, so a load of four values costs little more than one of
// one. Lane l owns four columns of the tile, the parts of a vec4. Of A a lane holds four values of row l%8 at k to k+3 (with
// four lanes those of row l, and of row l+4 besides), and subgroupBroadcast hands them round. Nothing is a loop because
// such adapters unroll none.

// B[k .. k+4, the four columns of this lane].
struct Strip { k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32> }

// The strip of four columns whose values at k to k+3 these are.
fn strip_of(c0: vec4<f32>, c1: vec4<f32>, c2: vec4<f32>, c3: vec4<f32>) -> Strip {
    return Strip(
        vec4(c0.x, c1.x, c2.x, c3.x), vec4(c0.y, c1.y, c2.y, c3.y),
        vec4(c0.z, c1.z, c2.z, c3.z), vec4(c0.w, c1.w, c2.w, c3.w),
    );
}

// sum + the product of four values of a row of A and the strip of B.
fn terms(a0: f32, a1: f32, a2: f32, a3: f32, b: Strip, sum: vec4<f32>) -> vec4<f32> {
    return fma(vec4(a3), b.k3, fma(vec4(a2), b.k2, fma(vec4(a1), b.k1, fma(vec4(a0), b.k0, sum))));
}

// What the lanes hold of eight rows of A: rows 0 to 3 in the first four lanes of `low`, rows 4 to 7 in the next four of
// `high`, or in the first where there are no more.
struct Held { low: vec4<f32>, high: vec4<f32> }

// Four values of k for eight rows.
fn add_rows(v: Held, b: Strip, s: Sums) -> Sums {
    return Sums(
        terms(
            subgroupBroadcast(v.low.x, 0u), subgroupBroadcast(v.low.y, 0u), subgroupBroadcast(v.low.z, 0u), subgroupBroadcast(v.low.w, 0u), b, s.r0,
        ),
        terms(
            subgroupBroadcast(v.low.x, 1u), subgroupBroadcast(v.low.y, 1u), subgroupBroadcast(v.low.z, 1u), subgroupBroadcast(v.low.w, 1u), b, s.r1,
        ),
        terms(
            subgroupBroadcast(v.low.x, 2u), subgroupBroadcast(v.low.y, 2u), subgroupBroadcast(v.low.z, 2u), subgroupBroadcast(v.low.w, 2u), b, s.r2,
        ),
        terms(
            subgroupBroadcast(v.low.x, 3u), subgroupBroadcast(v.low.y, 3u), subgroupBroadcast(v.low.z, 3u), subgroupBroadcast(v.low.w, 3u), b, s.r3,
        ),
        terms(
            subgroupBroadcast(v.high.x, 4u % LANES), subgroupBroadcast(v.high.y, 4u % LANES), subgroupBroadcast(v.high.z, 4u % LANES), subgroupBroadcast(v.high.w, 4u % LANES), b, s.r4,
        ),
        terms(
            subgroupBroadcast(v.high.x, 5u % LANES), subgroupBroadcast(v.high.y, 5u % LANES), subgroupBroadcast(v.high.z, 5u % LANES), subgroupBroadcast(v.high.w, 5u % LANES), b, s.r5,
        ),
        terms(
            subgroupBroadcast(v.high.x, 6u % LANES), subgroupBroadcast(v.high.y, 6u % LANES), subgroupBroadcast(v.high.z, 6u % LANES), subgroupBroadcast(v.high.w, 6u % LANES), b, s.r6,
        ),
        terms(
            subgroupBroadcast(v.high.x, 7u % LANES), subgroupBroadcast(v.high.y, 7u % LANES), subgroupBroadcast(v.high.z, 7u % LANES), subgroupBroadcast(v.high.w, 7u % LANES), b, s.r7,
        ),
    );
}
