// out[z,i,j] = bias[j] + sum over p of A[z,i,p] * B[z,p,j]    as matmul_cpu, with loads and stores of four values
//
// A[z,i,p] = a[z*a_batch + i*a_row + p*a_col], [Z,M,K]; B[z,p,j] = b[z*b_batch + p*b_row + j*b_col], [Z,K,N];
// out [Z,M,N] row-major; with ADD the sum is added to what is there. Strides are those of values. N is a multiple of 4, as
// is the size of the axis along which each operand lies in memory: with A_ROWS that of A is M, else K; with B_COLUMNS
// that of B is N, else K. Whether there is a bias is an immediate.
// Grid: (ceil(N / 32), ceil(M / ROWS), Z). A workgroup is one subgroup of eight lanes and owns a tile of ROWS rows; lane l
// owns its columns 4*l to 4*l+3 as the parts of a vec4.
//
// An adapter that runs shaders on the CPU makes a loop over the lanes of each storage load, so four values a load cost
// little more than one. A step takes four values of p. Of eight rows of A, each lane loads four values: where A lies
// along p, those of row l; where it lies along rows, for p + l%4 the rows 4*(l/4) to 4*(l/4)+3. subgroupBroadcast hands
// them round. All is unrolled in the source and there is no workgroup memory, as in matmul_cpu.
//
// Numeric: f32 FMA in the order of p, from the bias. Rows and columns past the edge read clamped addresses and are not
// stored; where K is no multiple of 4, A counts as 0 past its end.

const ROWS: u32 = 32u; // spec
const A_ROWS: bool = false; // spec
const B_COLUMNS: bool = true; // spec
const ADD: bool = false; // spec

const LANES: u32 = 8u;

struct Params {
    m: u32,
    n: u32,
    first: u32, // the sum's first p and its end: 0 and K, unless it is cut
    end: u32,
    a_row: u32,
    a_col: u32,
    a_batch: u32,
    b_row: u32,
    b_col: u32,
    b_batch: u32,
    biased: u32, // whether the sums start with the bias, and not with 0
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [Z,M,K], strided
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [Z,K,N], strided
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [N], if biased
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>; // [Z,M,N]

// Sums of eight rows.
struct Sums { r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>, r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32> }

// Four columns of B at four values of p.
struct Strip { p0: vec4<f32>, p1: vec4<f32>, p2: vec4<f32>, p3: vec4<f32> }

fn load_strip(z: u32, column: u32, p: u32) -> Strip {
    let at = z * params.b_batch;
    if B_COLUMNS {
        let last = params.end - 1u;
        let row = vec4(p, min(p + 1u, last), min(p + 2u, last), min(p + 3u, last)) * params.b_row + at + column;
        return Strip(b[row.x / 4u], b[row.y / 4u], b[row.z / 4u], b[row.w / 4u]);
    }
    let places = (column + vec4(0u, 1u, 2u, 3u)) * params.b_col + at + p;
    let c0 = b[places.x / 4u];
    let c1 = b[places.y / 4u];
    let c2 = b[places.z / 4u];
    let c3 = b[places.w / 4u];
    return Strip(vec4(c0.x, c1.x, c2.x, c3.x), vec4(c0.y, c1.y, c2.y, c3.y), vec4(c0.z, c1.z, c2.z, c3.z), vec4(c0.w, c1.w, c2.w, c3.w));
}

// This lane's four values of eight rows of A from `row` on.
fn load_rows(z: u32, row: u32, lane: u32, p: u32) -> vec4<f32> {
    if A_ROWS {
        let along = p + lane % 4u;
        let own = min(row + lane / 4u * 4u, params.m - 4u);
        let value = a[(z * params.a_batch + min(along, params.end - 1u) * params.a_col + own) / 4u];
        return select(vec4(0.0f), value, along < params.end);
    }
    return a[(z * params.a_batch + min(row + lane, params.m - 1u) * params.a_row + p) / 4u];
}

// sum + A's values of one row at four values of p * B[the same p, four columns].
fn terms(a0: f32, a1: f32, a2: f32, a3: f32, b: Strip, sum: vec4<f32>) -> vec4<f32> {
    return fma(vec4(a3), b.p3, fma(vec4(a2), b.p2, fma(vec4(a1), b.p1, fma(vec4(a0), b.p0, sum))));
}

// Four values of p for eight rows, which the lanes hold as `load_rows` says.
fn add_rows(v: vec4<f32>, b: Strip, s: Sums) -> Sums {
    if A_ROWS {
        return Sums(
            terms(subgroupBroadcast(v.x, 0u), subgroupBroadcast(v.x, 1u), subgroupBroadcast(v.x, 2u), subgroupBroadcast(v.x, 3u), b, s.r0),
            terms(subgroupBroadcast(v.y, 0u), subgroupBroadcast(v.y, 1u), subgroupBroadcast(v.y, 2u), subgroupBroadcast(v.y, 3u), b, s.r1),
            terms(subgroupBroadcast(v.z, 0u), subgroupBroadcast(v.z, 1u), subgroupBroadcast(v.z, 2u), subgroupBroadcast(v.z, 3u), b, s.r2),
            terms(subgroupBroadcast(v.w, 0u), subgroupBroadcast(v.w, 1u), subgroupBroadcast(v.w, 2u), subgroupBroadcast(v.w, 3u), b, s.r3),
            terms(subgroupBroadcast(v.x, 4u), subgroupBroadcast(v.x, 5u), subgroupBroadcast(v.x, 6u), subgroupBroadcast(v.x, 7u), b, s.r4),
            terms(subgroupBroadcast(v.y, 4u), subgroupBroadcast(v.y, 5u), subgroupBroadcast(v.y, 6u), subgroupBroadcast(v.y, 7u), b, s.r5),
            terms(subgroupBroadcast(v.z, 4u), subgroupBroadcast(v.z, 5u), subgroupBroadcast(v.z, 6u), subgroupBroadcast(v.z, 7u), b, s.r6),
            terms(subgroupBroadcast(v.w, 4u), subgroupBroadcast(v.w, 5u), subgroupBroadcast(v.w, 6u), subgroupBroadcast(v.w, 7u), b, s.r7),
        );
    }
    return Sums(
        terms(subgroupBroadcast(v.x, 0u), subgroupBroadcast(v.y, 0u), subgroupBroadcast(v.z, 0u), subgroupBroadcast(v.w, 0u), b, s.r0),
        terms(subgroupBroadcast(v.x, 1u), subgroupBroadcast(v.y, 1u), subgroupBroadcast(v.z, 1u), subgroupBroadcast(v.w, 1u), b, s.r1),
        terms(subgroupBroadcast(v.x, 2u), subgroupBroadcast(v.y, 2u), subgroupBroadcast(v.z, 2u), subgroupBroadcast(v.w, 2u), b, s.r2),
        terms(subgroupBroadcast(v.x, 3u), subgroupBroadcast(v.y, 3u), subgroupBroadcast(v.z, 3u), subgroupBroadcast(v.w, 3u), b, s.r3),
        terms(subgroupBroadcast(v.x, 4u), subgroupBroadcast(v.y, 4u), subgroupBroadcast(v.z, 4u), subgroupBroadcast(v.w, 4u), b, s.r4),
        terms(subgroupBroadcast(v.x, 5u), subgroupBroadcast(v.y, 5u), subgroupBroadcast(v.z, 5u), subgroupBroadcast(v.w, 5u), b, s.r5),
        terms(subgroupBroadcast(v.x, 6u), subgroupBroadcast(v.y, 6u), subgroupBroadcast(v.z, 6u), subgroupBroadcast(v.w, 6u), b, s.r6),
        terms(subgroupBroadcast(v.x, 7u), subgroupBroadcast(v.y, 7u), subgroupBroadcast(v.z, 7u), subgroupBroadcast(v.w, 7u), b, s.r7),
    );
}

// Stores eight rows' sums, as far as there are rows; `at` is that of the first.
fn store(at: u32, sum: vec4<f32>) {
    if ADD { out[at / 4u] += sum; } else { out[at / 4u] = sum; }
}
fn store_rows(at: u32, rows: u32, s: Sums) {
    if rows > 0u { store(at, s.r0); }
    if rows > 1u { store(at + params.n, s.r1); }
    if rows > 2u { store(at + 2u * params.n, s.r2); }
    if rows > 3u { store(at + 3u * params.n, s.r3); }
    if rows > 4u { store(at + 4u * params.n, s.r4); }
    if rows > 5u { store(at + 5u * params.n, s.r5); }
    if rows > 6u { store(at + 6u * params.n, s.r6); }
    if rows > 7u { store(at + 7u * params.n, s.r7); }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let z = tile.z;
    let row = tile.y * ROWS;
    let own = tile.x * (4u * LANES) + 4u * lane;
    let column = min(own, params.n - 4u);
    var start: vec4<f32>;
    if params.biased != 0u { start = bias[column / 4u]; }
    var s0 = Sums(start, start, start, start, start, start, start, start);
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;
    for (var p = params.first; p < params.end; p += 4u) {
        let v0 = load_rows(z, row, lane, p);
        var v1: vec4<f32>;
        var v2: vec4<f32>;
        var v3: vec4<f32>;
        if ROWS > 8u { v1 = load_rows(z, row + 8u, lane, p); }
        if ROWS > 16u { v2 = load_rows(z, row + 16u, lane, p); v3 = load_rows(z, row + 24u, lane, p); }
        let strip = load_strip(z, column, p);
        s0 = add_rows(v0, strip, s0);
        if ROWS > 8u { s1 = add_rows(v1, strip, s1); }
        if ROWS > 16u { s2 = add_rows(v2, strip, s2); s3 = add_rows(v3, strip, s3); }
    }
    if own < params.n {
        let rows = params.m - row;
        let at = (z * params.m + row) * params.n + own;
        store_rows(at, rows, s0);
        if ROWS > 8u { store_rows(at + 8u * params.n, max(rows, 8u) - 8u, s1); }
        if ROWS > 16u {
            store_rows(at + 16u * params.n, max(rows, 16u) - 16u, s2);
            store_rows(at + 24u * params.n, max(rows, 24u) - 24u, s3);
        }
    }
}
