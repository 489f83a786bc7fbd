// out[z,i,j] = fused(sum over p of A[z,i,p] * B[z,p,j])    as tiled.wgsl, four values at a time
//
// A[z,i,p] = a[z*a_batch + i*a_row + p*a_col], [Z,M,K]; B[z,p,j] = b[z*b_batch + p*b_row + j*b_col], [Z,K,N];
// out [Z,M,N] row-major. product_wide.wgsl says which sizes are multiples of 4.
// Grid: (ceil(N / TILE_N), ceil(M / TILE_M), Z), or folded (grid.wgsl). The workgroup has THREADS_M * THREADS_N invocations. Each owns
// THREAD_M x THREAD_N results as blocks of four by four; the blocks of an invocation are THREADS_M and THREADS_N blocks apart.
//
// Reads of workgroup memory bound the scalar kernel. For four by four results it reads eight words, this one two vectors. Both tiles lie
// with p outermost, padded by one vector. While one tile is multiplied, the next one is loaded into registers.
//
// Numeric: f32, in the order of p. With LONG, sums of `block` products each are taken first and added in order: the error grows as
// block + K / block and not as K. `out` holds what is added so far. Elements past an edge count as 0 in the tile and are not stored.
//
// Joined: value, view, grid, product, product_wide

const TILE_M: u32 = 64u; // spec
const TILE_N: u32 = 64u; // spec
const TILE_K: u32 = 16u; // spec
const THREAD_M: u32 = 4u; // spec
const THREAD_N: u32 = 4u; // spec
const TRANS_A: bool = false; // spec
const TRANS_B: bool = false; // spec
const LONG: bool = false; // spec

const THREADS_M: u32 = TILE_M / THREAD_M; // invocations along each axis of the tile
const THREADS_N: u32 = TILE_N / THREAD_N;
const WORKGROUP: u32 = THREADS_M * THREADS_N;
// In vectors of four: the pitch of a tile's lines, the blocks of an invocation.
const PITCH_A: u32 = TILE_M / 4u + 1u;
const PITCH_B: u32 = TILE_N / 4u + 1u;
const BLOCKS_M: u32 = THREAD_M / 4u;
const BLOCKS_N: u32 = THREAD_N / 4u;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [Z,M,K], strided
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [Z,K,N], strided
@group(0) @binding(2) var<storage, read_write> out: array<Value>; // [Z,M,N]

var<workgroup> tile_a: array<vec4<f32>, TILE_K * PITCH_A>; // [TILE_K, TILE_M]
var<workgroup> tile_b: array<vec4<f32>, TILE_K * PITCH_B>; // [TILE_K, TILE_N]

fn fused(value: Value, index: u32) -> Value { return value; } // spec

fn store_a(e: u32, v: vec4<f32>) {
    let at = place_a(e);
    if TRANS_A {
        tile_a[at.y * PITCH_A + at.x / 4u] = v;
    } else {
        for (var i = 0u; i < 4u; i++) { tile_a[(at.y + i) * PITCH_A + at.x / 4u][at.x % 4u] = v[i]; }
    }
}

fn store_b(e: u32, v: vec4<f32>) {
    let at = place_b(e);
    if TRANS_B {
        for (var i = 0u; i < 4u; i++) { tile_b[(at.y + i) * PITCH_B + at.x / 4u][at.x % 4u] = v[i]; }
    } else {
        tile_b[at.y * PITCH_B + at.x / 4u] = v;
    }
}

// Where the vector in row r and block c of an invocation stands in the result, in vectors, and whether it exists.
struct Output { at: u32, exists: bool }

fn output_of(z: u32, row0: u32, column0: u32, r: u32, c: u32) -> Output {
    let row = row0 + 4u * (r / 4u * THREADS_M) + r % 4u;
    let column = column0 + 4u * c * THREADS_N;
    return Output(((z * params.m + row) * params.n + column) / 4u, row < params.m && column < params.n);
}

// Adds the sums of a block to what `out` holds, or stores them there, and sets them to 0.
fn flush(sums: ptr<function, array<vec4<f32>, THREAD_M * BLOCKS_N>>, z: u32, row0: u32, column0: u32, onto: bool) {
    for (var r = 0u; r < THREAD_M; r++) {
        for (var c = 0u; c < BLOCKS_N; c++) {
            let own = output_of(z, row0, column0, r, c);
            let sum = (*sums)[r * BLOCKS_N + c];
            if own.exists {
                if onto { out[own.at] += sum; } else { out[own.at] = sum; }
            }
            (*sums)[r * BLOCKS_N + c] = vec4(0.0f);
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
    var sums: array<vec4<f32>, THREAD_M * BLOCKS_N>;
    for (var e = 0u; e < THREAD_M * BLOCKS_N; e++) { sums[e] = vec4(0.0f); }
    var next: Next;
    fetch(&next, z, row0, column0, 0u, lid);

    for (var p0 = 0u; p0 < params.k; p0 += TILE_K) {
        stage(&next, lid);
        workgroupBarrier();
        fetch(&next, z, row0, column0, p0 + TILE_K, lid);
        for (var p = 0u; p < TILE_K; p++) {
            var right: array<vec4<f32>, BLOCKS_N>;
            for (var c = 0u; c < BLOCKS_N; c++) { right[c] = tile_b[p * PITCH_B + own_column + c * THREADS_N]; }
            for (var r = 0u; r < BLOCKS_M; r++) {
                let left = tile_a[p * PITCH_A + own_row + r * THREADS_M];
                for (var c = 0u; c < BLOCKS_N; c++) {
                    let at = 4u * r * BLOCKS_N + c;
                    sums[at] = fma(vec4(left.x), right[c], sums[at]);
                    sums[at + BLOCKS_N] = fma(vec4(left.y), right[c], sums[at + BLOCKS_N]);
                    sums[at + 2u * BLOCKS_N] = fma(vec4(left.z), right[c], sums[at + 2u * BLOCKS_N]);
                    sums[at + 3u * BLOCKS_N] = fma(vec4(left.w), right[c], sums[at + 3u * BLOCKS_N]);
                }
            }
        }
        workgroupBarrier();
        if LONG {
            let done = p0 + TILE_K;
            if done % params.block == 0u && done < params.k {
                flush(&sums, z, row0 + 4u * own_row, column0 + 4u * own_column, done > params.block);
            }
        }
    }

    for (var r = 0u; r < THREAD_M; r++) {
        for (var c = 0u; c < BLOCKS_N; c++) {
            let own = output_of(z, row0 + 4u * own_row, column0 + 4u * own_column, r, c);
            if own.exists {
                var sum = sums[r * BLOCKS_N + c];
                if LONG && params.k > params.block { sum += out[own.at]; }
                out[own.at] = fused(sum, own.at);
            }
        }
    }
}
