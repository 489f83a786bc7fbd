// out[z,i,j] = fused(sum over p of half(A[z,i,p]) * half(B[z,p,j]))    by cooperative matrices: tensor cores and the like
//
// A[z,i,p] = a[z*a_batch + i*a_row + p*a_col], [Z,M,K]; B[z,p,j] = b[z*b_batch + p*b_row + j*b_col], [Z,K,N];
// out [Z,M,N] row-major. half(x) is the 16-bit float nearest to x. product_wide.wgsl says which sizes are multiples of 4.
// Grid: (ceil(N / TILE_N), ceil(M / TILE_M), Z), or folded (grid.wgsl). The workgroup has SUBGROUPS_M x SUBGROUPS_N subgroups of LANES
// invocations. Each subgroup owns FRAGMENTS_M x FRAGMENTS_N matrices of SIDE x SIDE results and keeps their sums in registers.
//
// Both operands are staged in workgroup memory as 16-bit floats, in the order in which they lie (TRANS_A: A as [K,M], TRANS_B: B as
// [N,K]). So neighbouring invocations read and write neighbouring words; a cooperative load takes either order. Lines are padded by PAD
// halves, 16 bytes: this spreads them over the banks and keeps the alignment that cooperative loads want. Results pass through workgroup
// memory, a matrix at a time, because WGSL does not say which element of a cooperative matrix an invocation holds, and the edges and the
// fused epilogue must know.
//
// Numeric: products of halves are exact in f32, and sums are f32. Within a matrix the hardware chooses the order. With LONG, sums are
// taken by blocks as in tiled.wgsl. Values of 65520 and more become infinite, values below 3e-8 become 0. Elements past an edge count as
// 0 and are not stored.
//
// Joined: value, view, grid, product, product_wide

const LANES: u32 = 32u; // spec
const SIDE: u32 = 16u; // spec
const SUBGROUPS_M: u32 = 2u; // spec
const SUBGROUPS_N: u32 = 2u; // spec
const FRAGMENTS_M: u32 = 2u; // spec
const FRAGMENTS_N: u32 = 2u; // spec
const TRANS_A: bool = false; // spec
const TRANS_B: bool = false; // spec
const LONG: bool = false; // spec

alias Left = coop_mat16x16<f16, A>; // spec
alias Right = coop_mat16x16<f16, B>; // spec
alias Sum = coop_mat16x16<f32, C>; // spec

const PAD: u32 = 8u;
const TILE_M: u32 = SIDE * FRAGMENTS_M * SUBGROUPS_M;
const TILE_N: u32 = SIDE * FRAGMENTS_N * SUBGROUPS_N;
const TILE_K: u32 = 2u * SIDE;
const WORKGROUP: u32 = LANES * SUBGROUPS_M * SUBGROUPS_N;
const PITCH_A: u32 = u32(TRANS_A) * TILE_M + u32(!TRANS_A) * TILE_K + PAD;
const PITCH_B: u32 = u32(TRANS_B) * TILE_K + u32(!TRANS_B) * TILE_N + PAD;
const LINES_A: u32 = u32(TRANS_A) * TILE_K + u32(!TRANS_A) * TILE_M;
const LINES_B: u32 = u32(TRANS_B) * TILE_N + u32(!TRANS_B) * TILE_K;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [Z,M,K], strided
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [Z,K,N], strided
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [Z,M,N]

var<workgroup> tile_a: array<f16, LINES_A * PITCH_A>; // [TILE_M, TILE_K], or transposed
var<workgroup> tile_b: array<f16, LINES_B * PITCH_B>; // [TILE_K, TILE_N], or transposed
var<workgroup> results: array<f32, SUBGROUPS_M * SUBGROUPS_N * SIDE * SIDE>; // a matrix of each subgroup

fn fused(value: Value, index: u32) -> Value { return value; } // spec

// Where A[i,p] and B[p,j] lie in their tiles.
fn at_a(i: u32, p: u32) -> u32 {
    if TRANS_A { return p * PITCH_A + i; }
    return i * PITCH_A + p;
}

fn at_b(p: u32, j: u32) -> u32 {
    if TRANS_B { return j * PITCH_B + p; }
    return p * PITCH_B + j;
}

fn store_a(e: u32, v: vec4<f32>) {
    let own = place_a(e);
    let at = at_a(own.x, own.y);
    let half = vec4<f16>(v);
    for (var i = 0u; i < 4u; i++) { tile_a[at + i] = half[i]; }
}

fn store_b(e: u32, v: vec4<f32>) {
    let own = place_b(e);
    let at = at_b(own.y, own.x);
    let half = vec4<f16>(v);
    for (var i = 0u; i < 4u; i++) { tile_b[at + i] = half[i]; }
}

// Matrices of the tiles. coopLoad reads column after column, coopLoadT row after row.
fn matrix_a(i: u32, p: u32) -> Left {
    if TRANS_A { return coopLoad<Left>(&tile_a[at_a(i, p)], PITCH_A); }
    return coopLoadT<Left>(&tile_a[at_a(i, p)], PITCH_A);
}

fn matrix_b(p: u32, j: u32) -> Right {
    if TRANS_B { return coopLoad<Right>(&tile_b[at_b(p, j)], PITCH_B); }
    return coopLoadT<Right>(&tile_b[at_b(p, j)], PITCH_B);
}

// Where element e of a matrix stands in the result, and whether it exists: in one of the first `rows` rows.
struct Output { at: u32, exists: bool }

fn output_of(z: u32, row0: u32, column0: u32, e: u32, rows: u32) -> Output {
    let row = row0 + e / SIDE;
    let column = column0 + e % SIDE;
    return Output((z * params.m + row) * params.n + column, row < rows && column < params.n);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = tile_of_workgroup(id, groups, vec2((params.n + TILE_N - 1u) / TILE_N, (params.m + TILE_M - 1u) / TILE_M));
    // A workgroup past the last matrix computes the last one again and stores nothing. It does not return: cooperative operations want
    // uniform control flow, and naga takes what follows a return for non-uniform.
    let z = min(tile.z, params.batch - 1u);
    let rows = select(params.m, 0u, tile.z > z);
    let row0 = tile.y * TILE_M;
    let column0 = tile.x * TILE_N;
    // This subgroup's share of the tile.
    let top = subgroup / SUBGROUPS_N * (FRAGMENTS_M * SIDE);
    let left = subgroup % SUBGROUPS_N * (FRAGMENTS_N * SIDE);

    let own = subgroup * (SIDE * SIDE);

    // Loops over these have constant bounds, which GPU compilers unroll into registers.
    var sums: array<Sum, FRAGMENTS_M * FRAGMENTS_N>; // 0
    var next: Next;
    fetch(&next, z, row0, column0, 0u, lid);
    for (var p0 = 0u; p0 < params.k; p0 += TILE_K) {
        stage(&next, lid);
        workgroupBarrier();
        fetch(&next, z, row0, column0, p0 + TILE_K, lid);
        for (var p = 0u; p < TILE_K; p += SIDE) {
            var right: array<Right, FRAGMENTS_N>;
            for (var c = 0u; c < FRAGMENTS_N; c++) { right[c] = matrix_b(p, left + c * SIDE); }
            for (var r = 0u; r < FRAGMENTS_M; r++) {
                let row = matrix_a(top + r * SIDE, p);
                for (var c = 0u; c < FRAGMENTS_N; c++) {
                    let at = r * FRAGMENTS_N + c;
                    sums[at] = coopMultiplyAdd(row, right[c], sums[at]);
                }
            }
        }
        workgroupBarrier();
        if LONG {
            // The block's sums go where the results will, through workgroup memory as those do.
            let done = p0 + TILE_K;
            if done % params.block == 0u && done < params.k {
                for (var r = 0u; r < FRAGMENTS_M; r++) {
                    for (var c = 0u; c < FRAGMENTS_N; c++) {
                        coopStoreT(sums[r * FRAGMENTS_N + c], &results[own], SIDE);
                        workgroupBarrier();
                        for (var e = lane; e < SIDE * SIDE; e += LANES) {
                            let to = output_of(z, row0 + top + r * SIDE, column0 + left + c * SIDE, e, rows);
                            if to.exists {
                                if done > params.block { out[to.at] += results[own + e]; } else { out[to.at] = results[own + e]; }
                            }
                        }
                        workgroupBarrier();
                        sums[r * FRAGMENTS_N + c] = Sum();
                    }
                }
            }
        }
    }

    for (var r = 0u; r < FRAGMENTS_M; r++) {
        for (var c = 0u; c < FRAGMENTS_N; c++) {
            coopStoreT(sums[r * FRAGMENTS_N + c], &results[own], SIDE);
            workgroupBarrier();
            for (var e = lane; e < SIDE * SIDE; e += LANES) {
                let to = output_of(z, row0 + top + r * SIDE, column0 + left + c * SIDE, e, rows);
                if to.exists {
                    var sum = results[own + e];
                    if LONG && params.k > params.block { sum += out[to.at]; }
                    out[to.at] = fused(sum, to.at);
                }
            }
            workgroupBarrier();
        }
    }
}
