// out[z,i,j] = bias[j] + sum over p of A[z,i,p] * B[z,p,j]    on adapters that run shaders on the CPU's vector units
//
// A[z,i,p] = a[z*a_batch + i*a_row + p*a_col], [Z,M,K]; B[z,p,j] = b[z*b_batch + p*b_row + j*b_col], [Z,K,N];
// out [Z,M,N] row-major. With ADD the sum is added to what `out` holds, so that a long sum can be cut. Strides make NN, NT and TN one
// kernel; a stride of 0 broadcasts over the batch. An immediate says whether there is a bias, so products with and without a bias share a
// pipeline; any buffer may stand in for a bias that is not read.
// Grid: (ceil(N / (4*LANES)), ceil(M / ROWS), Z), or folded (grid.wgsl). A workgroup is exactly one subgroup and owns a tile of ROWS
// rows. Lane l owns the tile's columns l, l+LANES, l+2*LANES and l+3*LANES as the components of a vec4.
//
// Such an adapter turns a storage load into one scalar load for each lane, whatever the addresses, and that costs more than the
// arithmetic. So the tile saves loads. For STEP values of p, half a subgroup, one load of A covers two rows, one in each half of the
// lanes, and subgroupBroadcast gives the values to all lanes: ROWS/2 + 4*STEP loads for ROWS*STEP vector FMAs. All of it is unrolled in
// the source, loads before arithmetic, because such an adapter unrolls nothing. There is no workgroup memory and no barrier, because
// every barrier suspends a coroutine.
//
// The adapter compiles the kernel at its first launch, in a time that grows with the code after inlining. Therefore STEP is half of LANES
// (a few percent slower, compiled in two thirds of the time), the last values of p are taken one by one with one load for eight rows,
// a loop stores the results, and there is no fused epilogue: each would be a pipeline of its own. The sums start from the bias instead.
//
// Numeric: f32 FMA in the order of p, from the bias. A long sum comes in blocks, a launch for each, added in order. Rows and columns past
// an edge read clamped addresses and are not stored.
//
// Joined: grid, product_cpu, octets, paired_tile

const LANES: u32 = 8u; // spec
const ROWS: u32 = 32u; // spec
const ADD: bool = false; // spec

// Values of p in an unrolled step: 2, 4 or 8.
const STEP: u32 = LANES / 2u;

@group(0) @binding(0) var<storage, read> a: array<f32>; // [Z,M,K], strided
@group(0) @binding(1) var<storage, read> b: array<f32>; // [Z,K,N], strided
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [N], if biased
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [Z,M,N]

fn load_b(columns: vec4<u32>, p: u32) -> vec4<f32> {
    let at = columns + p * params.b_row;
    return vec4(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn load_strip(columns: vec4<u32>, p: u32) -> Strip {
    var strip: Strip;
    strip.p0 = load_b(columns, p);
    strip.p1 = load_b(columns, p + 1u);
    if STEP > 2u {
        strip.p2 = load_b(columns, p + 2u);
        strip.p3 = load_b(columns, p + 3u);
    }
    if STEP > 4u {
        strip.p4 = load_b(columns, p + 4u);
        strip.p5 = load_b(columns, p + 5u);
        strip.p6 = load_b(columns, p + 6u);
        strip.p7 = load_b(columns, p + 7u);
    }
    return strip;
}

// Where the values of A begin that this lane loads of eight rows: one row of each of four pairs.
fn row_pairs(z: u32, row: u32, lane: u32) -> vec4<u32> {
    return z * params.a_batch + min(row + vec4(0u, 2u, 4u, 6u) + lane / STEP, vec4(params.m - 1u)) * params.a_row;
}

fn load_pairs(at: vec4<u32>, along: u32) -> vec4<f32> {
    return vec4(a[at.x + along], a[at.y + along], a[at.z + along], a[at.w + along]);
}

// s + A[eight rows, p] * B[p, four columns]. Lane l loads A for row l; a subgroup of four lanes also for row l+4.
fn accumulate_outer(z: u32, row: u32, lane: u32, p: u32, b: vec4<f32>, s: Octet) -> Octet {
    let at = z * params.a_batch + p * params.a_col;
    var v: vec2<f32>;
    v.x = a[at + min(row + lane % ROW_LANES, params.m - 1u) * params.a_row];
    if ROW_LANES < 8u { v.y = a[at + min(row + 4u + lane, params.m - 1u) * params.a_row]; }
    return Octet(
        fma(vec4(subgroupBroadcast(v.x, 0u)), b, s.r0),
        fma(vec4(subgroupBroadcast(v.x, 1u)), b, s.r1),
        fma(vec4(subgroupBroadcast(v.x, 2u)), b, s.r2),
        fma(vec4(subgroupBroadcast(v.x, 3u)), b, s.r3),
        fma(vec4(subgroupBroadcast(v[4u / ROW_LANES], 4u % ROW_LANES)), b, s.r4),
        fma(vec4(subgroupBroadcast(v[5u / ROW_LANES], 5u % ROW_LANES)), b, s.r5),
        fma(vec4(subgroupBroadcast(v[6u / ROW_LANES], 6u % ROW_LANES)), b, s.r6),
        fma(vec4(subgroupBroadcast(v[7u / ROW_LANES], 7u % ROW_LANES)), b, s.r7),
    );
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
    let column = tile.x * (4u * LANES) + lane;
    let columns = min(column + vec4(0u, LANES, 2u * LANES, 3u * LANES), vec4(params.n - 1u)) * params.b_col
        + z * params.b_batch;
    let at0 = row_pairs(z, row, lane);
    let at1 = row_pairs(z, row + 8u, lane);
    let at2 = row_pairs(z, row + 16u, lane);
    let at3 = row_pairs(z, row + 24u, lane);
    var start: vec4<f32>;
    if params.biased != 0u {
        let at = min(column + vec4(0u, LANES, 2u * LANES, 3u * LANES), vec4(params.n - 1u));
        start = vec4(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
    }
    var s0 = Octet(start, start, start, start, start, start, start, start);
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;

    let whole = params.end - (params.end - params.first) % STEP;
    for (var p = params.first; p < whole; p += STEP) {
        let along = (p + lane % STEP) * params.a_col;
        let v0 = load_pairs(at0, along);
        var v1: vec4<f32>;
        var v2: vec4<f32>;
        var v3: vec4<f32>;
        if ROWS > 8u { v1 = load_pairs(at1, along); }
        if ROWS > 16u { v2 = load_pairs(at2, along); v3 = load_pairs(at3, along); }
        let strip = load_strip(columns, p);
        s0 = accumulate_pairs(v0, strip, s0);
        if ROWS > 8u { s1 = accumulate_pairs(v1, strip, s1); }
        if ROWS > 16u { s2 = accumulate_pairs(v2, strip, s2); s3 = accumulate_pairs(v3, strip, s3); }
    }
    for (var p = whole; p < params.end; p++) {
        let row_b = load_b(columns, p);
        s0 = accumulate_outer(z, row, lane, p, row_b, s0);
        if ROWS > 8u { s1 = accumulate_outer(z, row + 8u, lane, p, row_b, s1); }
        if ROWS > 16u {
            s2 = accumulate_outer(z, row + 16u, lane, p, row_b, s2);
            s3 = accumulate_outer(z, row + 24u, lane, p, row_b, s3);
        }
    }

    let rows = min(params.m - row, ROWS);
    for (var r = 0u; r < rows; r++) {
        let at = (z * params.m + row + r) * params.n + column;
        let sums = tile_row(s0, s1, s2, s3, r);
        for (var c = 0u; c < 4u && column + c * LANES < params.n; c++) {
            let to = at + c * LANES;
            let sum = component(sums, c);
            if ADD { out[to] += sum; } else { out[to] = sum; }
        }
    }
}
