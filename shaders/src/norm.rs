//! Normalisation of rows: layer normalisation, and that by the root mean square.
//!
//! Each direction exists twice, by what a barrier costs: a workgroup per row for GPUs, an invocation per row (`_cpu`) for
//! adapters that run on a CPU. Forward comes with a pointwise head too, backward takes a tail: of a residual connection
//! around what follows the norm, or before it, the sums ride on the norm's kernels. The backward kernels give the operand's
//! gradient; those of weight and bias are sums over rows, and reductions with a pointwise head.

use crate::contract::{Kernel, Spec, ViewParams, Width, kernel, params};
use crate::variants::Variants;

params! {
    /// Immediates of [`NormForward`] and [`NormForwardCpu`].
    NormParams {
        /// Rows.
        rows: u32,
        /// Values of a row; at least 1.
        cols: u32,
        /// Added to the variance.
        eps: f32,
    }
}

params! {
    /// Immediates of [`NormResidual`] and [`NormResidualCpu`].
    NormResidualParams {
        /// Rows.
        rows: u32,
        /// Values of a row; at least 1.
        cols: u32,
        /// Added to the variance.
        eps: f32,
        /// Alignment of `view`.
        pad: u32,
        /// How the leaves are read.
        view: ViewParams,
    }
}

params! {
    /// Immediates of [`NormBackward`] and [`NormBackwardCpu`].
    NormBackwardParams {
        /// Rows.
        rows: u32,
        /// Values of a row; at least 1.
        cols: u32,
        /// Alignment of `view`.
        pad: [u32; 2],
        /// How the leaves are read.
        view: ViewParams,
    }
}

kernel! {
    /// y = (x - mean) * rstd * weight + bias, a workgroup per row: at least `rows` workgroups in x and y. Not centred, the
    /// mean is 0 and the bias is not read.
    NormForward: "norm_forward" in "norm/forward.wgsl",
    params NormParams,
    libs [VALUE, TREE, TREE_F32, NORM_ROW],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
        /// Take the mean off first.
        CENTRED centred: bool,
    }
    bindings { x: Read F32, weight: Read F32, bias: Read F32, y: ReadWrite F32, firsts: ReadWrite F32, mean: ReadWrite F32, rstd: ReadWrite F32 }
    shipped [
        { workgroup: 64, centred: true },
        { workgroup: 64, centred: false },
        { workgroup: 256, centred: true },
        { workgroup: 256, centred: false },
    ]
}

kernel! {
    /// [`NormForward`] with an invocation per row. Any grid in x and y.
    NormForwardCpu: "norm_forward_cpu" in "norm/forward_cpu.wgsl",
    params NormParams,
    libs [VALUE, NORM_ROW],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// Take the mean off first.
        CENTRED centred: bool,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { x: Read Packed, weight: Read Packed, bias: Read Packed, y: ReadWrite Packed, firsts: ReadWrite F32, mean: ReadWrite F32, rstd: ReadWrite F32 }
    shipped [
        { workgroup: 64, centred: true, width: Width::One },
        { workgroup: 64, centred: false, width: Width::One },
        { workgroup: 64, centred: true, width: Width::Four },
        { workgroup: 64, centred: false, width: Width::Four },
    ]
}

kernel! {
    /// [`NormForward`] of rows that fused code computes, which it stores too.
    NormResidual: "norm_residual" in "norm/residual.wgsl",
    params NormResidualParams,
    libs [VALUE, VIEW, TREE, TREE_F32, NORM_ROW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
        /// Take the mean off first.
        CENTRED centred: bool,
    }
    bindings { weight: Read F32, bias: Read F32, y: ReadWrite F32, firsts: ReadWrite F32, mean: ReadWrite F32, rstd: ReadWrite F32, x: ReadWrite F32 }
    shipped [
        { workgroup: 64, centred: true },
        { workgroup: 64, centred: false },
        { workgroup: 256, centred: true },
        { workgroup: 256, centred: false },
    ]
}

kernel! {
    /// [`NormResidual`] with an invocation per row. Any grid in x and y.
    NormResidualCpu: "norm_residual_cpu" in "norm/residual_cpu.wgsl",
    params NormResidualParams,
    libs [VALUE, VIEW, NORM_ROW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// Take the mean off first.
        CENTRED centred: bool,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { weight: Read Packed, bias: Read Packed, y: ReadWrite Packed, firsts: ReadWrite F32, mean: ReadWrite F32, rstd: ReadWrite F32, x: ReadWrite Packed }
    shipped [
        { workgroup: 64, centred: true, width: Width::One },
        { workgroup: 64, centred: false, width: Width::One },
        { workgroup: 64, centred: true, width: Width::Four },
        { workgroup: 64, centred: false, width: Width::Four },
    ]
}

kernel! {
    /// dx of [`NormForward`], a workgroup per row: at least `rows` workgroups in x and y.
    NormBackward: "norm_backward" in "norm/backward.wgsl",
    params NormBackwardParams,
    libs [VALUE, VIEW, TREE, TREE_F32],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
        /// Whether the mean was taken off.
        CENTRED centred: bool,
    }
    bindings { x: Read F32, dy: Read F32, weight: Read F32, mean: Read F32, rstd: Read F32, dx: ReadWrite F32 }
    shipped [
        { workgroup: 64, centred: true },
        { workgroup: 64, centred: false },
        { workgroup: 256, centred: true },
        { workgroup: 256, centred: false },
    ]
}

kernel! {
    /// [`NormBackward`] with an invocation per row. Any grid in x and y.
    NormBackwardCpu: "norm_backward_cpu" in "norm/backward_cpu.wgsl",
    params NormBackwardParams,
    libs [VALUE, VIEW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// Whether the mean was taken off.
        CENTRED centred: bool,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { x: Read Packed, dy: Read Packed, weight: Read Packed, mean: Read F32, rstd: Read F32, dx: ReadWrite Packed }
    shipped [
        { workgroup: 64, centred: true, width: Width::One },
        { workgroup: 64, centred: false, width: Width::One },
        { workgroup: 64, centred: true, width: Width::Four },
        { workgroup: 64, centred: false, width: Width::Four },
    ]
}

/// The family's kernels.
pub(crate) const KERNELS: &[&Kernel] = &[
    NormForward::KERNEL,
    NormForwardCpu::KERNEL,
    NormResidual::KERNEL,
    NormResidualCpu::KERNEL,
    NormBackward::KERNEL,
    NormBackwardCpu::KERNEL,
];

/// Adds the family's shipped variants.
pub(crate) fn variants(out: &mut Variants) {
    out.shipped::<NormForward>();
    out.shipped::<NormForwardCpu>();
    out.shipped::<NormResidual>();
    out.shipped::<NormResidualCpu>();
    out.shipped::<NormBackward>();
    out.shipped::<NormBackwardCpu>();
}
