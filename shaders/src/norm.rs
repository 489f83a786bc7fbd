//! Normalisation of rows: layer normalisation, and that by the root mean square.
//!
//! Each direction exists twice, by what a barrier costs: a workgroup per row for GPUs, an invocation per row (`_cpu`) for
//! adapters that run on a CPU. The backward kernels give the operand's gradient; those of weight and bias are sums over
//! rows, and reductions with a pointwise head.

use crate::contract::{Kernel, Spec, Variants, kernel, params};

params! {
    /// Immediates of [`NormForward`] and [`NormForwardCpu`].
    NormParams {
        /// Rows.
        rows: u32,
        /// Elements of a row; at least 1.
        cols: u32,
        /// Added to the variance.
        eps: f32,
    }
}

params! {
    /// Immediates of [`NormBackward`] and [`NormBackwardCpu`].
    NormBackwardParams {
        /// Rows.
        rows: u32,
        /// Elements of a row; at least 1.
        cols: u32,
    }
}

kernel! {
    /// y = (x - mean) * rstd * weight + bias, a workgroup per row: at least `rows` workgroups in x and y. Not centred, the
    /// mean is 0 and the bias is not read.
    NormForward: "norm_forward" in "norm/forward.wgsl",
    params NormParams,
    libs [ROW_SUM],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
        /// Take the mean off first.
        CENTRED centred: bool,
    }
    bindings { x: Read F32, weight: Read F32, bias: Read F32, y: ReadWrite F32, mean: ReadWrite F32, rstd: ReadWrite F32 }
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
    libs [],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// Take the mean off first.
        CENTRED centred: bool,
    }
    bindings { x: Read F32, weight: Read F32, bias: Read F32, y: ReadWrite F32, mean: ReadWrite F32, rstd: ReadWrite F32 }
    shipped [{ workgroup: 64, centred: true }, { workgroup: 64, centred: false }]
}

kernel! {
    /// dx of [`NormForward`], a workgroup per row: at least `rows` workgroups in x and y.
    NormBackward: "norm_backward" in "norm/backward.wgsl",
    params NormBackwardParams,
    libs [ROW_SUM],
    subgroups false,
    fusable false,
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
    libs [],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// Whether the mean was taken off.
        CENTRED centred: bool,
    }
    bindings { x: Read F32, dy: Read F32, weight: Read F32, mean: Read F32, rstd: Read F32, dx: ReadWrite F32 }
    shipped [{ workgroup: 64, centred: true }, { workgroup: 64, centred: false }]
}

/// The family's kernels.
pub(crate) const KERNELS: &[&Kernel] =
    &[NormForward::KERNEL, NormForwardCpu::KERNEL, NormBackward::KERNEL, NormBackwardCpu::KERNEL];

/// Adds the family's shipped variants.
pub(crate) fn variants(out: &mut Variants) {
    out.shipped::<NormForward>();
    out.shipped::<NormForwardCpu>();
    out.shipped::<NormBackward>();
    out.shipped::<NormBackwardCpu>();
}
