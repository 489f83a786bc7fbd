//! Reductions over one axis, with a pointwise head fused in front.
//!
//! Two kernels: columns (an invocation per result) where neighbouring results are neighbours in memory or the adapter
//! is a CPU, for which barriers are dear; rows (a workgroup per result) where the reduced axis is the last one.
//! Either is its own second stage. No atomics: a float sum in arrival order would differ from run to run.

use crate::contract::{Kernel, Spec, ViewParams, Width, kernel, params};
use crate::variants::Variants;

params! {
    /// Immediates of [`ReduceColumns`] and [`ReduceRows`]: x is seen as \[outer, len, inner\].
    ReduceParams {
        /// Product of the extents before the axis.
        outer: u32,
        /// Extent of the axis; at least 1.
        len: u32,
        /// Product of the extents after the axis, in Values; 1 for rows.
        inner: u32,
        /// ceil(len / chunk_len): results per axis.
        chunks: u32,
        /// Elements of the axis that one result covers; at least 1.
        chunk_len: u32,
        /// Alignment of `view`.
        pad: [u32; 3],
        /// How the leaves are read.
        view: ViewParams,
    }
}

kernel! {
    /// \[outer, len, inner\] -> \[outer, chunks, inner\], one invocation per result. Any grid in x and y.
    ReduceColumns: "reduce_columns" in "reduce/columns.wgsl",
    params ReduceParams,
    libs [VALUE, VIEW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// Maximum instead of sum.
        MAX max: bool,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { out: ReadWrite Packed }
    shipped [
        { workgroup: 64, max: false, width: Width::One },
        { workgroup: 64, max: true, width: Width::One },
        { workgroup: 64, max: false, width: Width::Four },
        { workgroup: 64, max: true, width: Width::Four },
        { workgroup: 256, max: false, width: Width::One },
        { workgroup: 256, max: true, width: Width::One },
    ]
}

kernel! {
    /// \[outer, len\] -> \[outer, chunks\], one workgroup per result: at least outer * chunks of them in x and y.
    ReduceRows: "reduce_rows" in "reduce/rows.wgsl",
    params ReduceParams,
    libs [VALUE, VIEW, TREE],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
        /// Maximum instead of sum.
        MAX max: bool,
    }
    bindings { out: ReadWrite F32 }
    shipped [
        { workgroup: 64, max: false },
        { workgroup: 64, max: true },
        { workgroup: 256, max: false },
        { workgroup: 256, max: true },
    ]
}

/// The family's kernels.
pub(crate) const KERNELS: &[&Kernel] = &[ReduceColumns::KERNEL, ReduceRows::KERNEL];

/// Adds the family's shipped variants.
pub(crate) fn variants(out: &mut Variants) {
    out.shipped::<ReduceColumns>();
    out.shipped::<ReduceRows>();
}
