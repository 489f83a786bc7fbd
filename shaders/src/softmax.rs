//! Softmax, log-softmax and cross-entropy over rows.
//!
//! Each exists twice, by what a barrier costs: a workgroup per row for GPUs, an invocation per row (`_cpu`) for
//! adapters that run on a CPU. Cross-entropy keeps each row's maximum and sum; its gradient, every element of which then
//! stands alone, is one kernel for all, and takes the place of the logits, which are the largest tensor of a language model.

use crate::contract::{kernel, params};
use crate::tables::{family, pair};

params! {
    /// Immediates of [`Softmax`] and [`SoftmaxCpu`].
    SoftmaxParams {
        /// Rows.
        rows: u32,
        /// Elements of a row; at least 1.
        cols: u32,
    }
}

params! {
    /// Immediates of [`CrossEntropy`], [`CrossEntropyCpu`] and [`CrossEntropyBackward`].
    CrossEntropyParams {
        /// Rows.
        rows: u32,
        /// Classes; at least 1.
        cols: u32,
        /// Target whose rows count for nothing; `u32::MAX` where there is none.
        ignore_index: u32,
        /// Share of the target's weight that all classes divide among them.
        smoothing: f32,
    }
}

pair! {
    params SoftmaxParams,
    fusable false,
    gpu {
        /// Row softmax, a workgroup per row: at least `rows` workgroups in x and y.
        Softmax: "softmax" in "softmax/softmax.wgsl",
        libs [TREE, TREE_F32],
        spec {
            /// Invocations of a workgroup; a power of two.
            WORKGROUP workgroup: u32,
        }
        shipped [
            { workgroup: 64, log: false },
            { workgroup: 64, log: true },
            { workgroup: 256, log: false },
            { workgroup: 256, log: true },
        ]
    }
    cpu {
        /// [`Softmax`] with an invocation per row. Any grid in x and y.
        SoftmaxCpu: "softmax_cpu" in "softmax/softmax_cpu.wgsl",
        libs [],
        subgroups false,
        spec {
            /// Invocations of a workgroup.
            WORKGROUP workgroup: u32,
        }
        shipped [
            { workgroup: 8, log: false },
            { workgroup: 8, log: true },
            { workgroup: 64, log: false },
            { workgroup: 64, log: true },
        ]
    }
    spec {
        /// Log-softmax instead.
        LOG log: bool,
    }
    bindings { x: Read F32 | F32, out: ReadWrite F32 | F32 }
}

pair! {
    params CrossEntropyParams,
    fusable false,
    gpu {
        /// losses = logsumexp(x) - (1 - smoothing) * x\[target\] - smoothing * mean(x), 0 where target == ignore_index, with what
        /// the gradient needs. A workgroup per row: at least `rows` workgroups in x and y.
        CrossEntropy: "cross_entropy" in "softmax/cross_entropy.wgsl",
        libs [TREE, TREE_F32],
        spec {
            /// Invocations of a workgroup; a power of two.
            WORKGROUP workgroup: u32,
        }
        shipped [{ workgroup: 64 }, { workgroup: 256 }]
    }
    cpu {
        /// [`CrossEntropy`] with an invocation per row. Any grid in x and y.
        CrossEntropyCpu: "cross_entropy_cpu" in "softmax/cross_entropy_cpu.wgsl",
        libs [],
        subgroups false,
        spec {
            /// Invocations of a workgroup.
            WORKGROUP workgroup: u32,
        }
        shipped [{ workgroup: 8 }, { workgroup: 64 }]
    }
    spec {}
    bindings {
        logits: Read F32 | F32, targets: Read U32 | U32,
        losses: ReadWrite F32 | F32, tops: ReadWrite F32 | F32, totals: ReadWrite F32 | F32
    }
}

kernel! {
    /// x = dlosses * (softmax(x) - smoothed onehot), 0 where target == ignore_index. Any grid in x and y; a workgroup has a
    /// row at a time.
    CrossEntropyBackward: "cross_entropy_backward" in "softmax/cross_entropy_backward.wgsl",
    params CrossEntropyParams,
    libs [],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { targets: Read U32, tops: Read F32, totals: Read F32, dlosses: Read F32, x: ReadWrite F32 }
    shipped [{ workgroup: 8 }, { workgroup: 64 }, { workgroup: 256 }]
}

family![Softmax, SoftmaxCpu, CrossEntropy, CrossEntropyCpu, CrossEntropyBackward];
