//! Reductions over one axis and running sums along it, with a pointwise head fused in front.
//!
//! Two kernels reduce: columns (an invocation per result) where neighbouring results are neighbours in memory or the adapter
//! is a CPU, for which barriers are dear; rows (a workgroup per result) where the reduced axis is the last one.
//! Either is its own second stage. The index of an extreme element has the same two and a second stage of its own, which
//! computes the candidates' elements again instead of storing them. A running sum starts from the sums of the chunks before.
//! No atomics: a float sum in arrival order would differ from run to run.

use crate::contract::{Kernel, Spec, Value, ViewParams, Width, kernel, params};
use crate::variants::Variants;

/// How a reduction combines elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    /// Sum.
    Sum,
    /// Maximum.
    Max,
    /// Minimum.
    Min,
    /// Product.
    Prod,
}

impl ReduceOp {
    /// All of them, in the order of their numbers in WGSL.
    const ALL: [Self; 4] = [Self::Sum, Self::Max, Self::Min, Self::Prod];
}

impl From<ReduceOp> for Value {
    fn from(op: ReduceOp) -> Self {
        Value::U32(op as u32)
    }
}

params! {
    /// Immediates of all kernels of the family: x is seen as \[outer, len, inner\].
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
    libs [VALUE, VIEW, COMBINE],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How elements are combined.
        OP op: ReduceOp,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { out: ReadWrite Packed }
    shipped columns
}

kernel! {
    /// \[outer, len\] -> \[outer, chunks\], one workgroup per result: at least outer * chunks of them in x and y.
    ReduceRows: "reduce_rows" in "reduce/rows.wgsl",
    params ReduceParams,
    libs [VALUE, VIEW, COMBINE, TREE],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
        /// How elements are combined.
        OP op: ReduceOp,
    }
    bindings { out: ReadWrite F32 }
    shipped rows
}

kernel! {
    /// \[outer, len, inner\] -> indices \[outer, chunks, inner\] of the greatest or least elements, one invocation per result.
    /// Any grid in x and y.
    ArgColumns: "arg_columns" in "reduce/arg_columns.wgsl",
    params ReduceParams,
    libs [VALUE, VIEW, BEYOND],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// Least instead of greatest.
        LEAST least: bool,
    }
    bindings { out: ReadWrite U32 }
    shipped [
        { workgroup: 64, least: false },
        { workgroup: 64, least: true },
        { workgroup: 256, least: false },
        { workgroup: 256, least: true },
    ]
}

kernel! {
    /// \[outer, len\] -> indices \[outer, chunks\] of the greatest or least elements, one workgroup per result: at least
    /// outer * chunks of them in x and y.
    ArgRows: "arg_rows" in "reduce/arg_rows.wgsl",
    params ReduceParams,
    libs [VALUE, VIEW, BEYOND, TREE],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
        /// Least instead of greatest.
        LEAST least: bool,
    }
    bindings { out: ReadWrite U32 }
    shipped [
        { workgroup: 64, least: false },
        { workgroup: 64, least: true },
        { workgroup: 256, least: false },
        { workgroup: 256, least: true },
    ]
}

kernel! {
    /// The chunks' candidates \[outer, chunks, inner\] -> indices \[outer, inner\], one invocation per result. Any grid in x
    /// and y.
    ArgFinish: "arg_finish" in "reduce/arg_finish.wgsl",
    params ReduceParams,
    libs [VALUE, VIEW, BEYOND],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// Least instead of greatest.
        LEAST least: bool,
    }
    bindings { candidates: Read U32, out: ReadWrite U32 }
    shipped [
        { workgroup: 64, least: false },
        { workgroup: 64, least: true },
        { workgroup: 256, least: false },
        { workgroup: 256, least: true },
    ]
}

kernel! {
    /// Running sums \[outer, len, inner\] -> \[outer, len, inner\], one invocation per chunk. Any grid in x and y.
    Scan: "scan" in "reduce/scan.wgsl",
    params ReduceParams,
    libs [VALUE, VIEW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// From the end of the axis to its begin.
        REVERSE reverse: bool,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { sums: Read Packed, out: ReadWrite Packed }
    shipped [
        { workgroup: 64, reverse: false, width: Width::One },
        { workgroup: 64, reverse: true, width: Width::One },
        { workgroup: 64, reverse: false, width: Width::Four },
        { workgroup: 64, reverse: true, width: Width::Four },
        { workgroup: 256, reverse: false, width: Width::One },
        { workgroup: 256, reverse: true, width: Width::One },
    ]
}

fn columns() -> Vec<ReduceColumns> {
    let of = |workgroup, width| move |op| ReduceColumns { workgroup, op, width };
    let forms = [(64, Width::One), (64, Width::Four), (256, Width::One)];
    forms.into_iter().flat_map(|(workgroup, width)| ReduceOp::ALL.map(of(workgroup, width))).collect()
}

fn rows() -> Vec<ReduceRows> {
    [64, 256].into_iter().flat_map(|workgroup| ReduceOp::ALL.map(|op| ReduceRows { workgroup, op })).collect()
}

/// The family's kernels.
pub(crate) const KERNELS: &[&Kernel] = &[
    ReduceColumns::KERNEL,
    ReduceRows::KERNEL,
    ArgColumns::KERNEL,
    ArgRows::KERNEL,
    ArgFinish::KERNEL,
    Scan::KERNEL,
];

/// Adds the family's shipped variants.
pub(crate) fn variants(out: &mut Variants) {
    out.shipped::<ReduceColumns>();
    out.shipped::<ReduceRows>();
    out.shipped::<ArgColumns>();
    out.shipped::<ArgRows>();
    out.shipped::<ArgFinish>();
    out.shipped::<Scan>();
}
