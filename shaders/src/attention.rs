//! Attention, forward and backward, without ever storing a matrix of scores.
//!
//! Each step has two kernels. The one for CPU adapters is one subgroup a workgroup, with a tile of scores in registers
//! whose columns belong to lanes, no workgroup memory and no barrier. The one for GPUs keeps its tiles in workgroup
//! memory. Masks (causal, window, lengths) are loop bounds and come as immediates; what costs in the inner loop (bias,
//! terms by distance, dropout) is specialised away where it is absent, and then a kernel never reads its buffer.

use crate::contract::params;
use crate::tables::{family, pair};

params! {
    /// Immediates of all kernels of attention. Widths and strides count channels; those of kernels for CPU adapters, which
    /// read four at a time, count quads. Query i stands at position p = i + start, counted from the row's length if
    /// `ragged` is 2, and attends to key j if p − before ≤ j ≤ p + after.
    AttentionParams {
        /// Query heads, H.
        heads: u32,
        /// Query heads to a key head.
        group: u32,
        /// Queries, Tq.
        queries: u32,
        /// Keys, Tk.
        keys: u32,
        /// Channels of a query and a key, D.
        width: u32,
        /// Channels of a value, Dv.
        value_width: u32,
        /// Stride of q and its gradient between batch rows; channels lie side by side.
        q_batch: u32,
        /// Between heads.
        q_head: u32,
        /// Between queries.
        q_time: u32,
        /// Stride of k and its gradient between batch rows.
        k_batch: u32,
        /// Between key heads.
        k_head: u32,
        /// Between keys.
        k_time: u32,
        /// Stride of v and its gradient between batch rows.
        v_batch: u32,
        /// Between key heads.
        v_head: u32,
        /// Between keys.
        v_time: u32,
        /// Stride of the result and its gradient between batch rows.
        o_batch: u32,
        /// Between heads.
        o_head: u32,
        /// Between queries.
        o_time: u32,
        /// Factor of the products, times log₂ e.
        scale: f32,
        /// Position of query 0.
        start: i32,
        /// How far back a query sees.
        before: i32,
        /// How far ahead a query sees.
        after: i32,
        /// 0: every row has all keys; 1: lengths hold; 2: and positions count from the row's length.
        ragged: u32,
        /// Stride of the bias and its gradient between batch rows; 0 where they share one.
        bias_batch: u32,
        /// Between heads; 0 where they share one.
        bias_head: u32,
        /// 1 if column 0 of `distance` holds slopes.
        slopes: u32,
        /// Columns of `distance`.
        columns: u32,
        /// Which of the step's random numbers drop weights.
        stream: u32,
        /// Probability to keep a weight.
        keep: f32,
        /// First of what the launch sums over: keys, heads of a group or pairs of such a head and a query, batch rows.
        begin: u32,
        /// End of them.
        end: u32,
        /// Parts along z: batch rows, or biases.
        planes: u32,
    }
}

/// A step: the kernel for GPUs and the one for CPU adapters. `spec` is what the step leaves open beyond the switches that all have,
/// `between` its operands between v and the lengths, `out` its results. A kernel is shipped for every choice that `for FIELD in
/// CHOICES` names.
macro_rules! step {
    (
        gpu {
            $(#[$gpu_doc:meta])*
            $gpu:ident: $gpu_name:literal in $gpu_file:literal,
            shipped $gpu_shipped:ident $(for $gpu_field:ident in $gpu_choices:ident)?
        }
        cpu {
            $(#[$cpu_doc:meta])*
            $cpu:ident: $cpu_name:literal in $cpu_file:literal,
            libs [$($lib:ident),*],
            spec { $($cpu_spec:tt)* }
            shipped $cpu_shipped:ident $(for $cpu_field:ident in $cpu_choices:ident)?
        }
        spec { $($spec:tt)* }
        between { $($between:tt)* }
        out { $($out:tt)* }
    ) => {
        pair! {
            params AttentionParams,
            fusable false,
            gpu {
                $(#[$gpu_doc])*
                $gpu: $gpu_name in $gpu_file,
                libs [CONTROL, RNG, GRID, ATTENTION, ATTENTION_WORKGROUP],
                spec {}
                shipped $gpu_shipped
            }
            cpu {
                $(#[$cpu_doc])*
                $cpu: $cpu_name in $cpu_file,
                libs [CONTROL, RNG, GRID, ATTENTION, OCTETS, ATTENTION_TILE, ATTENTION_SCORES $(, $lib)*],
                subgroups true,
                spec {
                    /// Invocations of the workgroup, which must be the adapter's fixed subgroup size; at least 4.
                    LANES lanes: u32,
                    /// Rows of a tile: 8, 16 or 32.
                    ROWS rows: u32,
                    $($cpu_spec)*
                }
                shipped $cpu_shipped
            }
            spec {
                /// A bias is added to the scores.
                BIAS bias: bool,
                /// Terms by distance are added to the scores.
                DISTANCE distance: bool,
                /// Dropout of the probabilities.
                DROPOUT dropout: bool,
                $($spec)*
            }
            bindings {
                q: Read F32 | F32x4, k: Read F32 | F32x4, v: Read F32 | F32x4, $($between)*
                lengths: Read U32 | U32, bias: Read F32 | F32, distance: Read F32 | F32, control: Read Control | Control,
                $($out)*
            }
        }

        fn $gpu_shipped() -> Vec<$gpu> {
            let mut all = Vec::new();
            for [bias, distance, dropout] in switches() {
                $(for $gpu_field in $gpu_choices(distance))? {
                    all.push($gpu { bias, distance, dropout, $($gpu_field)? });
                }
            }
            all
        }

        fn $cpu_shipped() -> Vec<$cpu> {
            let mut all = Vec::new();
            for ([lanes, rows], [bias, distance, dropout]) in tiles() {
                $(for $cpu_field in $cpu_choices(distance))? {
                    all.push($cpu { lanes, rows, bias, distance, dropout, $($cpu_field)? });
                }
            }
            all
        }
    };
}

step! {
    gpu {
        /// softmax(q·kᵀ·scale + terms)·v and the log₂ of each row's sum. Grid: (⌈Tq / 32⌉, H·⌈Dv / 64⌉, B).
        AttentionForward: "attention_forward" in "attention/forward.wgsl",
        shipped forward
    }
    cpu {
        /// [`AttentionForward`] on CPU adapters. Grid: (⌈Tq / `columns`·`lanes`⌉, H, B).
        AttentionForwardCpu: "attention_forward_cpu" in "attention/forward_cpu.wgsl",
        libs [],
        spec {
            /// Queries of a lane: 4, or 1 where there are few.
            COLUMNS columns: u32,
        }
        shipped forward_cpu for columns in columns
    }
    spec {}
    between {}
    out { out: ReadWrite F32 | F32x4, lse: ReadWrite F32 | F32 }
}

step! {
    gpu {
        /// Gradient of the queries, and parts of that of the terms by distance. Grid: (⌈Tq / 32⌉, H·⌈D / 64⌉, B).
        AttentionQuery: "attention_query" in "attention/query.wgsl",
        shipped query for learned in learned
    }
    cpu {
        /// [`AttentionQuery`] on CPU adapters. Grid: (⌈Tq / 4·`lanes`⌉, H, B).
        AttentionQueryCpu: "attention_query_cpu" in "attention/query_cpu.wgsl",
        libs [ATTENTION_GRADIENT],
        spec {}
        shipped query_cpu for learned in learned
    }
    spec {
        /// The gradient of the terms by distance is wanted.
        LEARNED learned: bool,
    }
    between { dout: Read F32 | F32x4, lse: Read F32 | F32, delta: Read F32 | F32, }
    out { dq: ReadWrite F32 | F32x4, partial: ReadWrite F32 | F32 }
}

step! {
    gpu {
        /// Gradients of keys and values. Grid: (⌈Tk / 32⌉, Hkv·⌈max(D, Dv) / 64⌉, B).
        AttentionKey: "attention_key" in "attention/key.wgsl",
        shipped key
    }
    cpu {
        /// [`AttentionKey`] on CPU adapters. Grid: (⌈Tk / 4·`lanes`⌉, Hkv, B).
        AttentionKeyCpu: "attention_key_cpu" in "attention/key_cpu.wgsl",
        libs [ATTENTION_GRADIENT],
        spec {}
        shipped key_cpu
    }
    spec {}
    between { dout: Read F32 | F32x4, lse: Read F32 | F32, delta: Read F32 | F32, }
    out { dk: ReadWrite F32 | F32x4, dv: ReadWrite F32 | F32x4 }
}

step! {
    gpu {
        /// Gradient of the bias. Grid: (⌈Tq / 32⌉, ⌈Tk / 32⌉, biases).
        AttentionBias: "attention_bias" in "attention/bias.wgsl",
        shipped bias
    }
    cpu {
        /// [`AttentionBias`] on CPU adapters. Grid: (⌈Tq / 4·`lanes`⌉, ⌈Tk / `rows`⌉, biases).
        AttentionBiasCpu: "attention_bias_cpu" in "attention/bias_cpu.wgsl",
        libs [ATTENTION_GRADIENT],
        spec {}
        shipped bias_cpu
    }
    spec {}
    between { dout: Read F32 | F32x4, lse: Read F32 | F32, delta: Read F32 | F32, }
    out { dbias: ReadWrite F32 | F32 }
}

/// All ways to switch bias, terms by distance and dropout on and off.
fn switches() -> impl Iterator<Item = [bool; 3]> {
    (0..8).map(|bits| [bits & 4 > 0, bits & 2 > 0, bits & 1 > 0])
}

/// Lanes and rows of the kernels for CPU adapters, with all switches for the tile of most problems and two for the others.
fn tiles() -> impl Iterator<Item = ([u32; 2], [bool; 3])> {
    let others = [[4, 16], [8, 8], [8, 16], [16, 32]];
    let others = others.into_iter().flat_map(|tile| [(tile, [false; 3]), (tile, [true; 3])]);
    switches().map(|on| ([8, 32], on)).chain(others)
}

/// Terms by distance with and without their gradient; no gradient where there are none.
fn learned(distance: bool) -> impl Iterator<Item = bool> {
    [false, true].into_iter().filter(move |learned| distance || !learned)
}

/// Queries of a lane.
fn columns(_: bool) -> [u32; 2] {
    [4, 1]
}

family![
    AttentionForwardCpu,
    AttentionQueryCpu,
    AttentionKeyCpu,
    AttentionBiasCpu,
    AttentionForward,
    AttentionQuery,
    AttentionKey,
    AttentionBias,
];
