//! Normalisation of rows: layer normalisation, and that by the root mean square.
//!
//! Each direction exists twice, by what a barrier costs: a workgroup per row for GPUs, an invocation per row (`_cpu`) for
//! adapters that run on a CPU. Forward comes with a pointwise head too, backward takes a tail: of a residual connection
//! around what follows the norm, or before it, the sums ride on the norm's kernels. The backward kernels give the operand's
//! gradient; those of weight and bias are sums over rows, and reductions with a pointwise head.

use crate::contract::{ViewParams, Width, params};
use crate::tables::{family, pair};

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

/// Both kernels of a step: all of them have the same marked lines and the same shipped variants.
macro_rules! norm {
    (
        params $params:ty,
        fusable $fusable:literal,
        gpu { $(#[$gpu_doc:meta])* $gpu:ident: $gpu_name:literal in $gpu_file:literal, libs $gpu_libs:tt }
        cpu { $(#[$cpu_doc:meta])* $cpu:ident: $cpu_name:literal in $cpu_file:literal, libs $cpu_libs:tt }
        bindings $bindings:tt
    ) => {
        pair! {
            params $params,
            fusable $fusable,
            gpu {
                $(#[$gpu_doc])*
                $gpu: $gpu_name in $gpu_file,
                libs $gpu_libs,
                spec {
                    /// Invocations of a workgroup; a power of two.
                    WORKGROUP workgroup: u32,
                }
                shipped [
                    { workgroup: 64, centred: true },
                    { workgroup: 64, centred: false },
                    { workgroup: 256, centred: true },
                    { workgroup: 256, centred: false },
                ]
            }
            cpu {
                $(#[$cpu_doc])*
                $cpu: $cpu_name in $cpu_file,
                libs $cpu_libs,
                subgroups false,
                spec {
                    /// Invocations of a workgroup.
                    WORKGROUP workgroup: u32,
                }
                then {
                    /// How many elements an invocation takes at once.
                    Value width: Width,
                }
                shipped [
                    { workgroup: 64, centred: true, width: Width::One },
                    { workgroup: 64, centred: false, width: Width::One },
                    { workgroup: 64, centred: true, width: Width::Four },
                    { workgroup: 64, centred: false, width: Width::Four },
                ]
            }
            spec {
                /// Whether the mean is taken off.
                CENTRED centred: bool,
            }
            bindings $bindings
        }
    };
}

norm! {
    params NormParams,
    fusable false,
    gpu {
        /// y = (x - mean) * rstd * weight + bias, a workgroup per row: at least `rows` workgroups in x and y. Not centred, the
        /// mean is 0 and the bias is not read.
        NormForward: "norm_forward" in "norm/forward.wgsl",
        libs [VALUE, TREE, TREE_F32, NORM_FORWARD, NORM_ROW]
    }
    cpu {
        /// [`NormForward`] with an invocation per row. Any grid in x and y.
        NormForwardCpu: "norm_forward_cpu" in "norm/forward_cpu.wgsl",
        libs [VALUE, NORM_FORWARD, NORM_ROW]
    }
    bindings {
        x: Read F32 | Packed, weight: Read F32 | Packed, bias: Read F32 | Packed, y: ReadWrite F32 | Packed,
        firsts: ReadWrite F32 | F32, mean: ReadWrite F32 | F32, rstd: ReadWrite F32 | F32
    }
}

norm! {
    params NormResidualParams,
    fusable true,
    gpu {
        /// [`NormForward`] of rows that fused code computes, which it stores too.
        NormResidual: "norm_residual" in "norm/residual.wgsl",
        libs [VALUE, VIEW, TREE, TREE_F32, NORM_RESIDUAL, NORM_ROW]
    }
    cpu {
        /// [`NormResidual`] with an invocation per row. Any grid in x and y.
        NormResidualCpu: "norm_residual_cpu" in "norm/residual_cpu.wgsl",
        libs [VALUE, VIEW, NORM_RESIDUAL, NORM_ROW]
    }
    bindings {
        weight: Read F32 | Packed, bias: Read F32 | Packed, y: ReadWrite F32 | Packed,
        firsts: ReadWrite F32 | F32, mean: ReadWrite F32 | F32, rstd: ReadWrite F32 | F32, x: ReadWrite F32 | Packed
    }
}

norm! {
    params NormBackwardParams,
    fusable true,
    gpu {
        /// dx of [`NormForward`], a workgroup per row: at least `rows` workgroups in x and y.
        NormBackward: "norm_backward" in "norm/backward.wgsl",
        libs [VALUE, VIEW, TREE, TREE_F32, NORM_BACKWARD]
    }
    cpu {
        /// [`NormBackward`] with an invocation per row. Any grid in x and y.
        NormBackwardCpu: "norm_backward_cpu" in "norm/backward_cpu.wgsl",
        libs [VALUE, VIEW, NORM_BACKWARD]
    }
    bindings {
        x: Read F32 | Packed, dy: Read F32 | Packed, weight: Read F32 | Packed, mean: Read F32 | F32, rstd: Read F32 | F32,
        dx: ReadWrite F32 | Packed
    }
}

family![NormForward, NormForwardCpu, NormResidual, NormResidualCpu, NormBackward, NormBackwardCpu];
