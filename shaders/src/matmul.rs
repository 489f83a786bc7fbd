//! Matrix products: one formula, six kernels.
//!
//! `tiled` is the classic of GPUs, tiles in workgroup memory and sums in registers; `tiled_wide` is the same by four values at
//! once, where sizes are multiples of 4, and reads a quarter as often. `cpu_wide` and `cpu` serve adapters that
//! run shaders on the CPU's vector units, where a barrier suspends a coroutine and a load costs more than an FMA: one
//! subgroup a workgroup, no workgroup memory, values handed round by subgroup broadcast. They take no fused code: such an
//! adapter compiles each pipeline for a good part of a second, and a pass over the result costs it no more than an epilogue
//! does; a bias they do take, as the value that the sums start with, which is no pipeline of its own. `cpu_wide` loads four
//! values at once and is the faster by a half; `cpu` is for sizes that are no multiples of 4. `row` multiplies a single row,
//! as generation does: there the launch is the cost, so it takes a norm before it and fused code behind it. `cooperative`
//! is `tiled` for GPUs that multiply small matrices of 16-bit floats in hardware, for those who ask for that.
//! Strides in the immediates make batches, and all layouts of `cpu`, one kernel each.

use crate::contract::{ViewParams, Width, kernel, params};
use crate::tables::family;

params! {
    /// Immediates of [`MatmulCpu`]: as [`MatmulParams`], with a part of the sum and without a view.
    MatmulCpuParams {
        /// Rows of A and of the result.
        m: u32,
        /// Columns of B and of the result.
        n: u32,
        /// First column of A, row of B, that the launch sums over.
        first: u32,
        /// End of those; at most K.
        end: u32,
        /// Stride of A between rows.
        a_row: u32,
        /// Stride of A between columns.
        a_col: u32,
        /// Stride of A between matrices; 0 where one serves all.
        a_batch: u32,
        /// Stride of B between rows.
        b_row: u32,
        /// Stride of B between columns.
        b_col: u32,
        /// Stride of B between matrices; 0 where one serves all.
        b_batch: u32,
        /// 1 if the sums start with the bias, 0 if they start with 0.
        biased: u32,
        /// Number of products, Z.
        batch: u32,
    }
}

params! {
    /// Immediates of [`MatmulTiled`], [`MatmulTiledWide`] and [`MatmulCooperative`]: A\[z,i,p\] =
    /// a\[z·a_batch + i·a_row + p·a_col\], B\[z,p,j\] likewise.
    MatmulParams {
        /// Rows of A and of the result.
        m: u32,
        /// Columns of B and of the result.
        n: u32,
        /// Columns of A, rows of B.
        k: u32,
        /// Stride of A between rows.
        a_row: u32,
        /// Stride of A between columns.
        a_col: u32,
        /// Stride of A between matrices; 0 where one serves all.
        a_batch: u32,
        /// Stride of B between rows.
        b_row: u32,
        /// Stride of B between columns.
        b_col: u32,
        /// Stride of B between matrices; 0 where one serves all.
        b_batch: u32,
        /// Number of products, Z.
        batch: u32,
        /// Values of p whose products are added one by one where the kernel is one for long sums: a multiple of its tile's depth.
        block: u32,
        /// Alignment of `view`.
        pad: u32,
        /// How the leaves are read.
        view: ViewParams,
    }
}

kernel! {
    /// \[Z,M,K\]·\[Z,K,N\] → \[Z,M,N\] by one subgroup a tile of `rows` × 4·`lanes`.
    /// Grid: (⌈N / 4·lanes⌉, ⌈M / rows⌉, Z).
    MatmulCpu: "matmul_cpu" in "matmul/cpu.wgsl",
    params MatmulCpuParams,
    libs [GRID, PRODUCT_CPU, OCTETS, PAIRED_TILE],
    subgroups true,
    fusable false,
    spec {
        /// Invocations of the workgroup, which must be the adapter's fixed subgroup size; at least 4.
        LANES lanes: u32,
        /// Rows of a tile: 8, 16 or 32.
        ROWS rows: u32,
        /// Add to what the result holds: for all parts but the first of a long sum.
        ADD add: bool,
    }
    bindings { a: Read F32, b: Read F32, bias: Read F32, out: ReadWrite F32 }
    shipped [
        { lanes: 4, rows: 32, add: false },
        { lanes: 8, rows: 8, add: false },
        { lanes: 8, rows: 16, add: false },
        { lanes: 8, rows: 32, add: false },
        { lanes: 8, rows: 32, add: true },
        { lanes: 16, rows: 32, add: false },
    ]
}

kernel! {
    /// [`MatmulCpu`] with loads and stores of four values, for sizes that are multiples of 4.
    /// Grid: (⌈N / 4·lanes⌉, ⌈M / rows⌉, Z).
    MatmulCpuWide: "matmul_cpu_wide" in "matmul/cpu_wide.wgsl",
    params MatmulCpuParams,
    libs [GRID, PRODUCT_CPU, OCTETS, WIDE_TILE],
    subgroups true,
    fusable false,
    spec {
        /// Invocations of the workgroup, which must be the adapter's fixed subgroup size; at least 4.
        LANES lanes: u32,
        /// Rows of a tile: 8, 16 or 32.
        ROWS rows: u32,
        /// A lies in memory as [K, M].
        A_ROWS a_rows: bool,
        /// B lies in memory as [K, N].
        B_COLUMNS b_columns: bool,
        /// Add to what the result holds: for all parts but the first of a long sum.
        ADD add: bool,
    }
    bindings { a: Read F32x4, b: Read F32x4, bias: Read F32x4, out: ReadWrite F32x4 }
    shipped [
        { lanes: 4, rows: 32, a_rows: false, b_columns: false, add: false },
        { lanes: 16, rows: 32, a_rows: true, b_columns: true, add: false },
        { lanes: 8, rows: 8, a_rows: false, b_columns: false, add: false },
        { lanes: 8, rows: 16, a_rows: false, b_columns: true, add: false },
        { lanes: 8, rows: 32, a_rows: false, b_columns: false, add: false },
        { lanes: 8, rows: 32, a_rows: false, b_columns: true, add: false },
        { lanes: 8, rows: 32, a_rows: true, b_columns: true, add: false },
        { lanes: 8, rows: 32, a_rows: true, b_columns: false, add: false },
        { lanes: 8, rows: 32, a_rows: true, b_columns: true, add: true },
    ]
}

params! {
    /// Immediates of [`MatmulRow`].
    MatmulRowParams {
        /// Columns of the result.
        n: u32,
        /// K / 4.
        quads: u32,
        /// Added to the variance.
        eps: f32,
        /// Alignment of `view`.
        pad: u32,
        /// How the leaves are read.
        view: ViewParams,
    }
}

kernel! {
    /// \[1,K\]·\[N,K\]ᵀ → \[1,N\] by one subgroup for eight columns, the row normalised on request; K a multiple of 4. Any
    /// grid in x.
    MatmulRow: "matmul_row" in "matmul/row.wgsl",
    params MatmulRowParams,
    libs [VALUE, VIEW],
    subgroups true,
    fusable true,
    spec {
        /// Invocations of the workgroup, which must be the adapter's fixed subgroup size; at least 4.
        LANES lanes: u32,
        /// Normalise the row and scale it by `weight`; otherwise that is not read.
        NORMED normed: bool,
        /// Take its mean off first, and add `bias`; otherwise that is not read.
        CENTRED centred: bool,
    }
    bindings { x: Read F32x4, b: Read F32x4, weight: Read F32x4, bias: Read F32x4, out: ReadWrite F32 }
    shipped [
        { lanes: 4, normed: true, centred: true },
        { lanes: 8, normed: false, centred: false },
        { lanes: 8, normed: true, centred: false },
        { lanes: 8, normed: true, centred: true },
        { lanes: 16, normed: true, centred: true },
    ]
}

kernel! {
    /// \[Z,M,K\]·\[Z,K,N\] → \[Z,M,N\] by workgroup tiles. Grid: (⌈N / tile_n⌉, ⌈M / tile_m⌉, Z).
    MatmulTiled: "matmul_tiled" in "matmul/tiled.wgsl",
    params MatmulParams,
    libs [VALUE, VIEW, GRID, PRODUCT],
    subgroups false,
    fusable true,
    spec {
        /// Rows of a workgroup's tile.
        TILE_M tile_m: u32,
        /// Columns of a workgroup's tile.
        TILE_N tile_n: u32,
        /// Depth of a workgroup's tile.
        TILE_K tile_k: u32,
        /// Rows of an invocation's tile; divides `tile_m`.
        THREAD_M thread_m: u32,
        /// Columns of an invocation's tile; divides `tile_n`.
        THREAD_N thread_n: u32,
        /// A lies in memory as [K, M].
        TRANS_A trans_a: bool,
        /// B lies in memory as [N, K].
        TRANS_B trans_b: bool,
        /// Sums are taken by blocks.
        LONG long: bool,
    }
    bindings { a: Read F32, b: Read F32, out: ReadWrite F32 }
    shipped tiled
}

kernel! {
    /// [`MatmulTiled`] with loads, stores and fused code of four values, for sizes that are multiples of 4.
    MatmulTiledWide: "matmul_tiled_wide" in "matmul/tiled_wide.wgsl",
    params MatmulParams,
    libs [VALUE, VIEW, GRID, PRODUCT, PRODUCT_WIDE],
    subgroups false,
    fusable true,
    spec {
        /// Rows of a workgroup's tile.
        TILE_M tile_m: u32,
        /// Columns of a workgroup's tile.
        TILE_N tile_n: u32,
        /// Depth of a workgroup's tile: a multiple of 4, such that the invocations load each tile of an operand by as many
        /// vectors each.
        TILE_K tile_k: u32,
        /// Rows of an invocation's tile, a multiple of 4; divides `tile_m`.
        THREAD_M thread_m: u32,
        /// Columns of an invocation's tile, a multiple of 4; divides `tile_n`.
        THREAD_N thread_n: u32,
        /// A lies in memory as [K, M].
        TRANS_A trans_a: bool,
        /// B lies in memory as [N, K].
        TRANS_B trans_b: bool,
        /// Sums are taken by blocks.
        LONG long: bool,
        /// Four.
        Value width: Width,
    }
    bindings { a: Read F32x4, b: Read F32x4, out: ReadWrite F32x4 }
    shipped tiled_wide
}

/// Tiles of workgroup and invocation, `[tile_m, tile_n, tile_k, thread_m, thread_n]`, large to small. None needs more workgroup
/// memory than the 16 KiB that every device has.
pub const TILES: [[u32; 5]; 6] = [
    [128, 128, 8, 8, 8],
    [128, 64, 16, 8, 4],
    [64, 64, 16, 8, 4],
    [64, 64, 16, 4, 4],
    [32, 32, 16, 4, 4],
    [32, 32, 8, 4, 4],
];

const LAYOUTS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// The layouts, and that of weight gradients for long sums.
const LONG_TOO: [((bool, bool), bool); 5] =
    [(LAYOUTS[0], false), (LAYOUTS[1], false), (LAYOUTS[2], false), (LAYOUTS[3], false), (LAYOUTS[2], true)];

/// Every tile in every layout, and each once for long sums.
fn tiled() -> Vec<MatmulTiled> {
    let of = |[tile_m, tile_n, tile_k, thread_m, thread_n]: [u32; 5]| {
        LONG_TOO.map(|((trans_a, trans_b), long)| MatmulTiled {
            tile_m,
            tile_n,
            tile_k,
            thread_m,
            thread_n,
            trans_a,
            trans_b,
            long,
        })
    };
    TILES.into_iter().flat_map(of).collect()
}

/// The same by four values.
fn tiled_wide() -> Vec<MatmulTiledWide> {
    let of = |MatmulTiled { tile_m, tile_n, tile_k, thread_m, thread_n, trans_a, trans_b, long }| {
        MatmulTiledWide {
            tile_m,
            tile_n,
            tile_k,
            thread_m,
            thread_n,
            trans_a,
            trans_b,
            long,
            width: Width::Four,
        }
    };
    tiled().into_iter().map(of).collect()
}

kernel! {
    /// \[Z,M,K\]·\[Z,K,N\] → \[Z,M,N\] by cooperative matrices of 16-bit floats with f32 sums. A workgroup's tile is
    /// side·fragments·subgroups high and wide. Grid: (⌈N / width⌉, ⌈M / height⌉, Z).
    MatmulCooperative: "matmul_cooperative" in "matmul/cooperative.wgsl",
    params MatmulParams,
    libs [VALUE, VIEW, GRID, PRODUCT, PRODUCT_WIDE],
    subgroups true,
    cooperative true,
    fusable true,
    spec {
        /// Invocations of a subgroup, which must be the adapter's fixed size.
        LANES lanes: u32,
        /// Rows and columns of a cooperative matrix: 8 or 16.
        SIDE side: u32,
        /// Subgroups of a workgroup, from top to bottom.
        SUBGROUPS_M subgroups_m: u32,
        /// Subgroups of a workgroup, from left to right.
        SUBGROUPS_N subgroups_n: u32,
        /// Matrices of a subgroup, from top to bottom.
        FRAGMENTS_M fragments_m: u32,
        /// Matrices of a subgroup, from left to right.
        FRAGMENTS_N fragments_n: u32,
        /// A lies in memory as [K, M].
        TRANS_A trans_a: bool,
        /// B lies in memory as [N, K].
        TRANS_B trans_b: bool,
        /// Sums are taken by blocks.
        LONG long: bool,
    }
    bindings { a: Read F32x4, b: Read F32x4, out: ReadWrite F32 }
    shipped cooperative
}

/// Both tiles in all layouts, as GPUs of NVIDIA and of Apple take them, and llvmpipe.
fn cooperative() -> Vec<MatmulCooperative> {
    let of = |lanes, side, (subgroups_n, fragments_m), ((trans_a, trans_b), long)| MatmulCooperative {
        lanes,
        side,
        subgroups_m: 2,
        subgroups_n,
        fragments_m,
        fragments_n: 2,
        trans_a,
        trans_b,
        long,
    };
    let mut all = Vec::new();
    for kind in LONG_TOO {
        for shape in [(2, 2), (4, 4)] {
            all.push(of(32, 16, shape, kind));
            all.push(of(32, 8, shape, kind));
            all.push(of(8, 8, shape, kind));
        }
    }
    all
}

family![MatmulCpu, MatmulCpuWide, MatmulRow, MatmulTiled, MatmulTiledWide, MatmulCooperative];
