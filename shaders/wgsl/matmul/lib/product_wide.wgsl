// The tiles of matrix products by loads of four values: from memory into registers, and from there into workgroup memory. The loads of the
// next tile are under way while one tile is multiplied. Needs TILE_M, TILE_N, TILE_K, WORKGROUP, TRANS_A, TRANS_B, the operands a and b
// as vectors, store_a and store_b, and product.wgsl.
//
// N is a multiple of 4, and so is the size of the axis along which each operand lies in memory: of A it is M with TRANS_A, else K; of B it
// is K with TRANS_B, else N. So four neighbours are all within the operand or all outside.

// Loads of an invocation for a tile.
const LOADS_A: u32 = TILE_M * TILE_K / (4u * WORKGROUP);
const LOADS_B: u32 = TILE_N * TILE_K / (4u * WORKGROUP);

struct Next { a: array<vec4<f32>, LOADS_A>, b: array<vec4<f32>, LOADS_B> }

// Where the first of the four elements of load e stands in the tile: along the operand's own axis, of which the tile has `size`, and
// along p. Neighbours walk along memory, which is the own axis or p.
fn place(e: u32, size: u32, along_own: bool) -> vec2<u32> {
    if along_own { return vec2(e % (size / 4u) * 4u, e / (size / 4u)); }
    return vec2(e / (TILE_K / 4u), e % (TILE_K / 4u) * 4u);
}

fn place_a(e: u32) -> vec2<u32> { return place(e, TILE_M, TRANS_A); }

fn place_b(e: u32) -> vec2<u32> { return place(e, TILE_N, !TRANS_B); }

// 0 past an edge.
fn load_a(z: u32, row0: u32, p0: u32, e: u32) -> vec4<f32> {
    let at = place_a(e) + vec2(row0, p0);
    if at.x >= params.m || at.y >= params.k { return vec4(0.0f); }
    return a[(z * params.a_batch + at.x * params.a_row + at.y * params.a_col) / 4u];
}

fn load_b(z: u32, column0: u32, p0: u32, e: u32) -> vec4<f32> {
    let at = place_b(e) + vec2(column0, p0);
    if at.x >= params.n || at.y >= params.k { return vec4(0.0f); }
    return b[(z * params.b_batch + at.y * params.b_row + at.x * params.b_col) / 4u];
}

// This invocation's part of both tiles from p0 on. The last turn of a product fetches past the end: zeros, which are never staged.
fn fetch(next: ptr<function, Next>, z: u32, row0: u32, column0: u32, p0: u32, lid: u32) {
    for (var e = 0u; e < LOADS_A; e++) { (*next).a[e] = load_a(z, row0, p0, lid + e * WORKGROUP); }
    for (var e = 0u; e < LOADS_B; e++) { (*next).b[e] = load_b(z, column0, p0, lid + e * WORKGROUP); }
}

fn stage(next: ptr<function, Next>, lid: u32) {
    for (var e = 0u; e < LOADS_A; e++) { store_a(lid + e * WORKGROUP, (*next).a[e]); }
    for (var e = 0u; e < LOADS_B; e++) { store_b(lid + e * WORKGROUP, (*next).b[e]); }
}
