//! Connectionist temporal classification: the chance of a target over all its alignments, and the gradient.
//!
//! A walk over the steps is a workgroup for each sequence, whose invocations share the states. The gradient, whose steps do not
//! depend on one another, is a workgroup for each step. States of one class are summed along chains of labels, which are found
//! once for a sequence, and not by atomics, whose order would differ from run to run.

use crate::contract::{kernel, params};
use crate::tables::family;

params! {
    /// Immediates of the family's kernels.
    CtcParams {
        /// Sequences, B.
        batch: u32,
        /// Steps of the longest, T; at least 1.
        time: u32,
        /// Labels of the longest target, S.
        labels: u32,
        /// Classes, V; at least 1.
        classes: u32,
        /// The class that stands between labels.
        blank: u32,
        /// First step that this launch walks, in the order of its walk.
        first: u32,
        /// End of those steps.
        end: u32,
        /// What stands for the result where no alignment gives the target.
        impossible: f32,
    }
}

kernel! {
    /// Losses and forward variables, a workgroup per sequence: at least B of them in x and y.
    CtcForward: "ctc_forward" in "ctc/forward.wgsl",
    params CtcParams,
    libs [CTC, TREE, TREE_F32],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
    }
    bindings {
        log_probs: Read F32, targets: Read U32, input_lengths: Read U32, target_lengths: Read U32,
        losses: ReadWrite F32, alphas: ReadWrite F32
    }
    shipped [{ workgroup: 8 }, { workgroup: 64 }, { workgroup: 256 }]
}

kernel! {
    /// Backward variables, and of every step and state the logarithm of what the paths through it have: a workgroup per
    /// sequence, at least B of them in x and y.
    CtcBackward: "ctc_backward" in "ctc/backward.wgsl",
    params CtcParams,
    libs [CTC, TREE, TREE_F32],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
    }
    bindings {
        log_probs: Read F32, targets: Read U32, input_lengths: Read U32, target_lengths: Read U32,
        alphas: Read F32, betas: ReadWrite F32, shares: ReadWrite F32
    }
    shipped [{ workgroup: 8 }, { workgroup: 64 }, { workgroup: 256 }]
}

kernel! {
    /// Of each label the next one of its class, and whether there is one before. Any grid in x and y.
    CtcLinks: "ctc_links" in "ctc/links.wgsl",
    params CtcParams,
    libs [CTC],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { targets: Read U32, target_lengths: Read U32, links: ReadWrite U32 }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

kernel! {
    /// The gradient of the losses, a workgroup per step of a sequence: at least B * T of them in x and y.
    CtcGradient: "ctc_gradient" in "ctc/gradient.wgsl",
    params CtcParams,
    libs [CTC, TREE, TREE_F32],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
    }
    bindings {
        targets: Read U32, input_lengths: Read U32, target_lengths: Read U32, links: Read U32, shares: Read F32,
        dlosses: Read F32, dlog_probs: ReadWrite F32
    }
    shipped [{ workgroup: 8 }, { workgroup: 64 }, { workgroup: 256 }]
}

family![CtcForward, CtcBackward, CtcLinks, CtcGradient];
