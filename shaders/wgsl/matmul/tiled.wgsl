// out[z,i,j] = fused(sum over p of A[z,i,p] * B[z,p,j])    on GPUs: tiles in workgroup memory, sums in registers
//
// A[z,i,p] = a[z*a_batch + i*a_row + p*a_col], [Z,M,K]; B[z,p,j] = b[z*b_batch + p*b_row + j*b_col], [Z,K,N];
// out [Z,M,N] row-major. A stride of 0 broadcasts over the batch.
// Grid: (ceil(N / TILE_N), ceil(M / TILE_M), Z), or folded (grid.wgsl). The workgroup has THREADS_M * THREADS_N invocations. Each owns
// THREAD_M x THREAD_N results, THREADS_M rows and THREADS_N columns apart, so that neighbours read neighbouring words of workgroup memory.
//
// TRANS_A and TRANS_B say which index is the fast one in memory (strides stay general). Loads of a tile walk along that index, so that
// neighbouring invocations read neighbouring addresses. Rows of a tile are padded by PAD words, which spreads the transposing stores over
// the banks.
//
// Numeric: f32, in the order of p. With LONG, sums of `block` products each are taken first and added in order: the error grows as
// block + K / block and not as K. `out` holds what is added so far. Elements past an edge count as 0 in the tile and are not stored.
//
// Joined: value, view, grid, product

const TILE_M: u32 = 64u; // spec
const TILE_N: u32 = 64u; // spec
const TILE_K: u32 = 16u; // spec
const THREAD_M: u32 = 4u; // spec
const THREAD_N: u32 = 4u; // spec
const TRANS_A: bool = false; // spec
const TRANS_B: bool = false; // spec
const LONG: bool = false; // spec

const PAD: u32 = 4u;
const THREADS_M: u32 = TILE_M / THREAD_M; // invocations along each axis of the tile
const THREADS_N: u32 = TILE_N / THREAD_N;
const WORKGROUP: u32 = THREADS_M * THREADS_N;
const PITCH_A: u32 = TILE_M + PAD;
const PITCH_B: u32 = TILE_N + PAD;

@group(0) @binding(0) var<storage, read> a: array<f32>; // [Z,M,K], strided
@group(0) @binding(1) var<storage, read> b: array<f32>; // [Z,K,N], strided
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [Z,M,N]

var<workgroup> tile_a: array<f32, TILE_K * PITCH_A>; // [TILE_K, TILE_M]
var<workgroup> tile_b: array<f32, TILE_K * PITCH_B>; // [TILE_K, TILE_N]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

fn fill_a(z: u32, row0: u32, p0: u32, lid: u32) {
    for (var e = lid; e < TILE_M * TILE_K; e += WORKGROUP) {
        let i = select(e / TILE_K, e % TILE_M, TRANS_A);
        let p = select(e % TILE_K, e / TILE_M, TRANS_A);
        var value = 0.0f;
        if row0 + i < params.m && p0 + p < params.k {
            value = a[z * params.a_batch + (row0 + i) * params.a_row + (p0 + p) * params.a_col];
        }
        tile_a[p * PITCH_A + i] = value;
    }
}

fn fill_b(z: u32, column0: u32, p0: u32, lid: u32) {
    for (var e = lid; e < TILE_N * TILE_K; e += WORKGROUP) {
        let j = select(e % TILE_N, e / TILE_K, TRANS_B);
        let p = select(e / TILE_N, e % TILE_K, TRANS_B);
        var value = 0.0f;
        if column0 + j < params.n && p0 + p < params.k {
            value = b[z * params.b_batch + (p0 + p) * params.b_row + (column0 + j) * params.b_col];
        }
        tile_b[p * PITCH_B + j] = value;
    }
}

// Adds the sums of a block to what `out` holds, or stores them there, and sets them to 0.
fn flush(sums: ptr<function, array<f32, THREAD_M * THREAD_N>>, z: u32, row0: u32, column0: u32, onto: bool) {
    for (var r = 0u; r < THREAD_M; r++) {
        let row = row0 + r * THREADS_M;
        for (var c = 0u; c < THREAD_N; c++) {
            let column = column0 + c * THREADS_N;
            if row < params.m && column < params.n {
                let at = (z * params.m + row) * params.n + column;
                let sum = (*sums)[r * THREAD_N + c];
                if onto { out[at] += sum; } else { out[at] = sum; }
            }
            (*sums)[r * THREAD_N + c] = 0.0f;
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let tile = tile_of_workgroup(id, groups, vec2((params.n + TILE_N - 1u) / TILE_N, (params.m + TILE_M - 1u) / TILE_M));
    let z = tile.z;
    if z >= params.batch { return; }
    let row0 = tile.y * TILE_M;
    let column0 = tile.x * TILE_N;
    let own_row = lid / THREADS_N;
    let own_column = lid % THREADS_N;

    // Loops over these have constant bounds, which GPU compilers unroll into registers.
    var sums: array<f32, THREAD_M * THREAD_N>;
    for (var e = 0u; e < THREAD_M * THREAD_N; e++) { sums[e] = 0.0f; }

    for (var p0 = 0u; p0 < params.k; p0 += TILE_K) {
        fill_a(z, row0, p0, lid);
        fill_b(z, column0, p0, lid);
        workgroupBarrier();
        for (var p = 0u; p < TILE_K; p++) {
            var left: array<f32, THREAD_M>;
            var right: array<f32, THREAD_N>;
            for (var r = 0u; r < THREAD_M; r++) { left[r] = tile_a[p * PITCH_A + own_row + r * THREADS_M]; }
            for (var c = 0u; c < THREAD_N; c++) { right[c] = tile_b[p * PITCH_B + own_column + c * THREADS_N]; }
            for (var r = 0u; r < THREAD_M; r++) {
                for (var c = 0u; c < THREAD_N; c++) {
                    sums[r * THREAD_N + c] = fma(left[r], right[c], sums[r * THREAD_N + c]);
                }
            }
        }
        workgroupBarrier();
        if LONG {
            let done = p0 + TILE_K;
            if done % params.block == 0u && done < params.k {
                flush(&sums, z, row0 + own_row, column0 + own_column, done > params.block);
            }
        }
    }

    for (var r = 0u; r < THREAD_M; r++) {
        let row = row0 + own_row + r * THREADS_M;
        for (var c = 0u; c < THREAD_N; c++) {
            let column = column0 + own_column + c * THREADS_N;
            if row < params.m && column < params.n {
                let at = (z * params.m + row) * params.n + column;
                var sum = sums[r * THREAD_N + c];
                if LONG && params.k > params.block { sum += out[at]; }
                out[at] = fused(sum, at);
            }
        }
    }
}
