// A tile of a matrix product in the registers of one subgroup: eight rows by 4*LANES columns, four values of k a step. Needs octets.wgsl.
//
// A CPU adapter turns each storage load into a loop over lanes, so loading four values costs little more than loading one. Lane l owns
// four columns of the tile, the components of a vec4. It loads four values of k of one row of A (RowSlice), and subgroupBroadcast gives
// them to all lanes. Nothing is a loop, because such adapters unroll none.

// B[k .. k+4, the four columns of this lane].
struct BlockB { k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32> }

// The same from four columns, each with its values at k to k+3.
fn block_of_columns(c0: vec4<f32>, c1: vec4<f32>, c2: vec4<f32>, c3: vec4<f32>) -> BlockB {
    return BlockB(
        vec4(c0.x, c1.x, c2.x, c3.x), vec4(c0.y, c1.y, c2.y, c3.y),
        vec4(c0.z, c1.z, c2.z, c3.z), vec4(c0.w, c1.w, c2.w, c3.w),
    );
}

// sum + four values of a row of A times the block of B.
fn dot_block(a0: f32, a1: f32, a2: f32, a3: f32, b: BlockB, sum: vec4<f32>) -> vec4<f32> {
    return fma(vec4(a3), b.k3, fma(vec4(a2), b.k2, fma(vec4(a1), b.k1, fma(vec4(a0), b.k0, sum))));
}

// Eight rows, four values of k, where each lane holds those of one row.
fn accumulate_rows(v: RowSlice, b: BlockB, s: Octet) -> Octet {
    return Octet(
        dot_block(
            subgroupBroadcast(v.low.x, 0u), subgroupBroadcast(v.low.y, 0u), subgroupBroadcast(v.low.z, 0u), subgroupBroadcast(v.low.w, 0u), b, s.r0,
        ),
        dot_block(
            subgroupBroadcast(v.low.x, 1u), subgroupBroadcast(v.low.y, 1u), subgroupBroadcast(v.low.z, 1u), subgroupBroadcast(v.low.w, 1u), b, s.r1,
        ),
        dot_block(
            subgroupBroadcast(v.low.x, 2u), subgroupBroadcast(v.low.y, 2u), subgroupBroadcast(v.low.z, 2u), subgroupBroadcast(v.low.w, 2u), b, s.r2,
        ),
        dot_block(
            subgroupBroadcast(v.low.x, 3u), subgroupBroadcast(v.low.y, 3u), subgroupBroadcast(v.low.z, 3u), subgroupBroadcast(v.low.w, 3u), b, s.r3,
        ),
        dot_block(
            subgroupBroadcast(v.high.x, 4u % ROW_LANES), subgroupBroadcast(v.high.y, 4u % ROW_LANES), subgroupBroadcast(v.high.z, 4u % ROW_LANES), subgroupBroadcast(v.high.w, 4u % ROW_LANES), b, s.r4,
        ),
        dot_block(
            subgroupBroadcast(v.high.x, 5u % ROW_LANES), subgroupBroadcast(v.high.y, 5u % ROW_LANES), subgroupBroadcast(v.high.z, 5u % ROW_LANES), subgroupBroadcast(v.high.w, 5u % ROW_LANES), b, s.r5,
        ),
        dot_block(
            subgroupBroadcast(v.high.x, 6u % ROW_LANES), subgroupBroadcast(v.high.y, 6u % ROW_LANES), subgroupBroadcast(v.high.z, 6u % ROW_LANES), subgroupBroadcast(v.high.w, 6u % ROW_LANES), b, s.r6,
        ),
        dot_block(
            subgroupBroadcast(v.high.x, 7u % ROW_LANES), subgroupBroadcast(v.high.y, 7u % ROW_LANES), subgroupBroadcast(v.high.z, 7u % ROW_LANES), subgroupBroadcast(v.high.w, 7u % ROW_LANES), b, s.r7,
        ),
    );
}
