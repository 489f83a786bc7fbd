// out[z,i,j] = bias[j] + sum over p of A[z,i,p] * B[z,p,j]    as cpu.wgsl, with loads and stores of four values
//
// A[z,i,p] = a[z*a_batch + i*a_row + p*a_col], [Z,M,K]; B[z,p,j] = b[z*b_batch + p*b_row + j*b_col], [Z,K,N];
// out [Z,M,N] row-major. With ADD the sum is added to what `out` holds. Strides count values. N is a multiple of 4, and so is the size of
// the axis along which each operand lies in memory: of A it is M with A_ROWS, else K; of B it is N with B_COLUMNS, else K. An immediate
// says whether there is a bias.
// Grid: (ceil(N / (4*LANES)), ceil(M / ROWS), Z), or folded (grid.wgsl). A workgroup is one subgroup and owns a tile of ROWS rows. Lane l
// owns the tile's columns 4*l to 4*l+3 as the components of a vec4. wide_tile.wgsl says why the code looks as it does.
//
// A step takes four values of p. Of eight rows of A each lane loads four values: those of row l where A lies along p; rows 4*(l/4) to
// 4*(l/4)+3 at p + l%4 where it lies along rows.
//
// Numeric: f32 FMA in the order of p, from the bias; long sums as in cpu.wgsl. Rows and columns past an edge read clamped addresses and
// are not stored. Where K is no multiple of 4, A counts as 0 past its end.
//
// Joined: grid, product_cpu, octets, wide_tile

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const A_ROWS: bool = false; // spec
const B_COLUMNS: bool = true; // spec
const ADD: bool = false; // spec

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [Z,M,K], strided
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [Z,K,N], strided
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [N], if biased
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>; // [Z,M,N]

fn load_block(z: u32, column: u32, p: u32) -> BlockB {
    let at = z * params.b_batch;
    if B_COLUMNS {
        let last = params.end - 1u;
        let row = vec4(p, min(p + 1u, last), min(p + 2u, last), min(p + 3u, last)) * params.b_row + at + column;
        return BlockB(b[row.x / 4u], b[row.y / 4u], b[row.z / 4u], b[row.w / 4u]);
    }
    let places = (column + vec4(0u, 1u, 2u, 3u)) * params.b_col + at + p;
    return block_of_columns(b[places.x / 4u], b[places.y / 4u], b[places.z / 4u], b[places.w / 4u]);
}

// This lane's four values of A: of eight rows from `row` on, or of four where the subgroup has four lanes.
fn load_rows(z: u32, row: u32, lane: u32, p: u32) -> vec4<f32> {
    let at = z * params.a_batch;
    if A_ROWS {
        let along = p + lane % 4u;
        let own = min(row + lane % 8u / 4u * 4u, params.m - 4u);
        let value = a[(at + min(along, params.end - 1u) * params.a_col + own) / 4u];
        return select(vec4(0.0f), value, along < params.end);
    }
    return a[(at + min(row + lane % 8u, params.m - 1u) * params.a_row + p) / 4u];
}

// Eight rows, four values of p, where each lane holds four rows at one p.
fn accumulate_columns(v: RowSlice, b: BlockB, s: Octet) -> Octet {
    return Octet(
        dot_block(
            subgroupBroadcast(v.low.x, 0u), subgroupBroadcast(v.low.x, 1u), subgroupBroadcast(v.low.x, 2u), subgroupBroadcast(v.low.x, 3u), b, s.r0,
        ),
        dot_block(
            subgroupBroadcast(v.low.y, 0u), subgroupBroadcast(v.low.y, 1u), subgroupBroadcast(v.low.y, 2u), subgroupBroadcast(v.low.y, 3u), b, s.r1,
        ),
        dot_block(
            subgroupBroadcast(v.low.z, 0u), subgroupBroadcast(v.low.z, 1u), subgroupBroadcast(v.low.z, 2u), subgroupBroadcast(v.low.z, 3u), b, s.r2,
        ),
        dot_block(
            subgroupBroadcast(v.low.w, 0u), subgroupBroadcast(v.low.w, 1u), subgroupBroadcast(v.low.w, 2u), subgroupBroadcast(v.low.w, 3u), b, s.r3,
        ),
        dot_block(
            subgroupBroadcast(v.high.x, 4u % ROW_LANES), subgroupBroadcast(v.high.x, 5u % ROW_LANES), subgroupBroadcast(v.high.x, 6u % ROW_LANES), subgroupBroadcast(v.high.x, 7u % ROW_LANES), b, s.r4,
        ),
        dot_block(
            subgroupBroadcast(v.high.y, 4u % ROW_LANES), subgroupBroadcast(v.high.y, 5u % ROW_LANES), subgroupBroadcast(v.high.y, 6u % ROW_LANES), subgroupBroadcast(v.high.y, 7u % ROW_LANES), b, s.r5,
        ),
        dot_block(
            subgroupBroadcast(v.high.z, 4u % ROW_LANES), subgroupBroadcast(v.high.z, 5u % ROW_LANES), subgroupBroadcast(v.high.z, 6u % ROW_LANES), subgroupBroadcast(v.high.z, 7u % ROW_LANES), b, s.r6,
        ),
        dot_block(
            subgroupBroadcast(v.high.w, 4u % ROW_LANES), subgroupBroadcast(v.high.w, 5u % ROW_LANES), subgroupBroadcast(v.high.w, 6u % ROW_LANES), subgroupBroadcast(v.high.w, 7u % ROW_LANES), b, s.r7,
        ),
    );
}

// The same of eight rows, for any number of lanes.
fn load_row_slice(z: u32, row: u32, lane: u32, p: u32) -> RowSlice {
    let low = load_rows(z, row, lane, p);
    if LANES < 8u { return RowSlice(low, load_rows(z, row + 4u, lane, p)); }
    return RowSlice(low, low);
}

fn accumulate(v: RowSlice, block_b: BlockB, s: Octet) -> Octet {
    if A_ROWS { return accumulate_columns(v, block_b, s); }
    return accumulate_rows(v, block_b, s);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = tile_of_workgroup(id, groups, vec2((params.n + 4u * LANES - 1u) / (4u * LANES), (params.m + ROWS - 1u) / ROWS));
    let z = tile.z;
    if z >= params.batch { return; }
    let row = tile.y * ROWS;
    let own = tile.x * (4u * LANES) + 4u * lane;
    let column = min(own, params.n - 4u);
    var start: vec4<f32>;
    if params.biased != 0u { start = bias[column / 4u]; }
    var s0 = Octet(start, start, start, start, start, start, start, start);
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;
    for (var p = params.first; p < params.end; p += 4u) {
        // Loads before arithmetic: between arithmetic, each load would wait for the one before.
        let v0 = load_row_slice(z, row, lane, p);
        var v1: RowSlice;
        var v2: RowSlice;
        var v3: RowSlice;
        if ROWS > 8u { v1 = load_row_slice(z, row + 8u, lane, p); }
        if ROWS > 16u { v2 = load_row_slice(z, row + 16u, lane, p); v3 = load_row_slice(z, row + 24u, lane, p); }
        let block_b = load_block(z, column, p);
        s0 = accumulate(v0, block_b, s0);
        if ROWS > 8u { s1 = accumulate(v1, block_b, s1); }
        if ROWS > 16u { s2 = accumulate(v2, block_b, s2); s3 = accumulate(v3, block_b, s3); }
    }
    if own < params.n {
        let rows = min(params.m - row, ROWS);
        let at = (z * params.m + row) * params.n + own;
        for (var r = 0u; r < rows; r++) {
            let to = (at + r * params.n) / 4u;
            let sum = tile_row(s0, s1, s2, s3, r);
            if ADD { out[to] += sum; } else { out[to] = sum; }
        }
    }
}
