// out[z,i,j] = fused(sum over p of A[z,i,p] * B[z,p,j])    for adapters that run shaders on the CPU's vector units
//
// A[z,i,p] = a[z*a_batch + i*a_row + p*a_col], [Z,M,K]; B[z,p,j] = b[z*b_batch + p*b_row + j*b_col], [Z,K,N];
// out [Z,M,N] row-major. Strides make NN, NT and TN one kernel, a stride of 0 broadcasts over the batch.
// Grid: (ceil(N / (4*LANES)), ceil(M / ROWS), Z). A workgroup is exactly one subgroup and owns a tile of ROWS rows;
// lane l owns its columns l, l+LANES, l+2*LANES, l+3*LANES as the parts of a vec4.
//
// Such an adapter turns a storage load into one scalar load for each lane, whatever the addresses, and that costs
// more than the arithmetic. So loads are what the tile saves: for STEP values of p a lane loads one value per row of A,
// which subgroupBroadcast hands to the others, and 4*STEP values of B: (ROWS + 4*LANES) scalar loads for every
// ROWS*4 vector FMAs. Everything is unrolled in the source, all loads of a step stand before its arithmetic, and
// there is no workgroup memory and no barrier (each would suspend a coroutine).
//
// Numeric: f32 FMA in the order of p. Rows and columns past the edge read clamped addresses and are not stored.

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec

// Values of p in an unrolled step: as many as the subgroup can load at once, 4 or 8.
const STEP: u32 = select(8u, 4u, LANES < 8u);

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,
    a_col: u32,
    a_batch: u32,
    b_row: u32,
    b_col: u32,
    b_batch: u32,
    view: View,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>; // [Z,M,K], strided
@group(0) @binding(1) var<storage, read> b: array<f32>; // [Z,K,N], strided
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [Z,M,N]

fn fused(value: f32, index: u32) -> f32 { return value; } // spec

fn row_offset(z: u32, row: u32) -> u32 {
    return z * params.a_batch + min(row, params.m - 1u) * params.a_row;
}

fn row_offsets(z: u32, row: u32) -> Offsets {
    return Offsets(
        row_offset(z, row), row_offset(z, row + 1u), row_offset(z, row + 2u), row_offset(z, row + 3u),
        row_offset(z, row + 4u), row_offset(z, row + 5u), row_offset(z, row + 6u), row_offset(z, row + 7u),
    );
}

fn load_a(at: Offsets, along: u32) -> Values {
    return Values(
        a[at.r0 + along], a[at.r1 + along], a[at.r2 + along], a[at.r3 + along],
        a[at.r4 + along], a[at.r5 + along], a[at.r6 + along], a[at.r7 + along],
    );
}

fn load_b(columns: vec4<u32>, p: u32) -> vec4<f32> {
    let at = columns + p * params.b_row;
    return vec4(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn load_strip(columns: vec4<u32>, p: u32) -> Strip {
    var strip: Strip;
    strip.p0 = load_b(columns, p);
    strip.p1 = load_b(columns, p + 1u);
    strip.p2 = load_b(columns, p + 2u);
    strip.p3 = load_b(columns, p + 3u);
    if STEP > 4u {
        strip.p4 = load_b(columns, p + 4u);
        strip.p5 = load_b(columns, p + 5u);
        strip.p6 = load_b(columns, p + 6u);
        strip.p7 = load_b(columns, p + 7u);
    }
    return strip;
}

fn store_row(z: u32, row: u32, column: u32, sum: vec4<f32>) {
    if row >= params.m { return; }
    let at = (z * params.m + row) * params.n + column;
    if column < params.n { out[at] = fused(sum.x, at); }
    if column + LANES < params.n { out[at + LANES] = fused(sum.y, at + LANES); }
    if column + 2u * LANES < params.n { out[at + 2u * LANES] = fused(sum.z, at + 2u * LANES); }
    if column + 3u * LANES < params.n { out[at + 3u * LANES] = fused(sum.w, at + 3u * LANES); }
}

fn store_rows(z: u32, row: u32, column: u32, s: Sums) {
    store_row(z, row, column, s.r0);
    store_row(z, row + 1u, column, s.r1);
    store_row(z, row + 2u, column, s.r2);
    store_row(z, row + 3u, column, s.r3);
    store_row(z, row + 4u, column, s.r4);
    store_row(z, row + 5u, column, s.r5);
    store_row(z, row + 6u, column, s.r6);
    store_row(z, row + 7u, column, s.r7);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let z = tile.z;
    let row = tile.y * ROWS;
    let column = tile.x * (4u * LANES) + lane;
    let columns = min(column + vec4(0u, LANES, 2u * LANES, 3u * LANES), vec4(params.n - 1u)) * params.b_col
        + z * params.b_batch;
    let at0 = row_offsets(z, row);
    let at1 = row_offsets(z, row + 8u);
    let at2 = row_offsets(z, row + 16u);
    let at3 = row_offsets(z, row + 24u);
    var s0: Sums;
    var s1: Sums;
    var s2: Sums;
    var s3: Sums;

    let whole = params.k - params.k % STEP;
    for (var p = 0u; p < whole; p += STEP) {
        let along = (p + lane % STEP) * params.a_col;
        var v0 = load_a(at0, along);
        var v1: Values;
        var v2: Values;
        var v3: Values;
        if ROWS > 8u { v1 = load_a(at1, along); }
        if ROWS > 16u { v2 = load_a(at2, along); v3 = load_a(at3, along); }
        let strip = load_strip(columns, p);
        s0 = dot_rows(v0, strip, s0);
        if ROWS > 8u { s1 = dot_rows(v1, strip, s1); }
        if ROWS > 16u { s2 = dot_rows(v2, strip, s2); s3 = dot_rows(v3, strip, s3); }
    }
    for (var p = whole; p < params.k; p++) {
        let along = p * params.a_col;
        let strip = load_b(columns, p);
        s0 = add_outer(load_a(at0, along), strip, s0);
        if ROWS > 8u { s1 = add_outer(load_a(at1, along), strip, s1); }
        if ROWS > 16u {
            s2 = add_outer(load_a(at2, along), strip, s2);
            s3 = add_outer(load_a(at3, along), strip, s3);
        }
    }

    store_rows(z, row, column, s0);
    if ROWS > 8u { store_rows(z, row + 8u, column, s1); }
    if ROWS > 16u { store_rows(z, row + 16u, column, s2); store_rows(z, row + 24u, column, s3); }
}
