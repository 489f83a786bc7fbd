//! LSTM layers over whole sequences: forward and backward, each in a form for CPU adapters and in one for GPUs.
//!
//! The loop form is built on the register tile of CPU adapters. A workgroup owns some rows of the batch and walks a range
//! of steps, a barrier apart; or it takes one step for a share of the hidden units as well, and needs no barrier. The
//! step form spreads one step over the whole GPU, and the order of dispatches is the synchronisation. Workgroups never
//! wait for one another: WebGPU promises them no progress.

use crate::contract::{Kernel, Spec, Variants, kernel, params};

params! {
    /// Immediates of the loop forms.
    LstmLoopParams {
        /// Rows of the batch, B.
        batch: u32,
        /// Steps, T.
        time: u32,
        /// Width of the hidden state, H.
        hidden: u32,
        /// The first step of this launch: the lowest forward, the highest backward.
        t: u32,
        /// How many steps it takes; 1 unless the grid has one workgroup in x.
        steps: u32,
    }
}

params! {
    /// Immediates of the step forms.
    LstmStepParams {
        /// Rows of the batch, B.
        batch: u32,
        /// Steps, T.
        time: u32,
        /// Width of the hidden state, H.
        hidden: u32,
        /// The step of this dispatch.
        t: u32,
    }
}

kernel! {
    /// A range of a layer's steps, in ascending order. Grid: (groups, ⌈B / rows⌉) workgroups of one subgroup.
    LstmForwardLoop: "lstm_forward_loop" in "recurrent/lstm_forward_loop.wgsl",
    params LstmLoopParams,
    libs [RNG, POINTWISE, REGISTER_TILE],
    subgroups true,
    fusable false,
    spec {
        /// Invocations of the workgroup, which must be the adapter's fixed subgroup size; at least 4.
        LANES lanes: u32,
        /// Rows of the batch that a workgroup owns: 8, 16 or 32.
        ROWS rows: u32,
        /// The launch of t = 0, which reads h0 and c0 instead of the step before.
        FIRST first: bool,
        /// Whether a launch takes more than one step, for which the grid must have one workgroup in x.
        MANY many: bool,
    }
    bindings {
        x_proj: Read F32, w_hh: Read F32, h0: Read F32, c0: Read F32, lengths: Read U32,
        y: ReadWrite F32, gates: ReadWrite F32, cells: ReadWrite F32, h_n: ReadWrite F32, c_n: ReadWrite F32
    }
    shipped [
        { lanes: 4, rows: 8, first: true, many: false },
        { lanes: 4, rows: 16, first: true, many: false },
        { lanes: 4, rows: 32, first: true, many: false },
        { lanes: 4, rows: 8, first: false, many: true },
        { lanes: 4, rows: 16, first: false, many: true },
        { lanes: 4, rows: 8, first: false, many: false },
        { lanes: 4, rows: 16, first: false, many: false },
        { lanes: 4, rows: 32, first: false, many: false },
        { lanes: 8, rows: 8, first: true, many: false },
        { lanes: 8, rows: 16, first: true, many: false },
        { lanes: 8, rows: 32, first: true, many: false },
        { lanes: 8, rows: 8, first: false, many: true },
        { lanes: 8, rows: 16, first: false, many: true },
        { lanes: 8, rows: 8, first: false, many: false },
        { lanes: 8, rows: 16, first: false, many: false },
        { lanes: 8, rows: 32, first: false, many: false },
        { lanes: 16, rows: 8, first: true, many: false },
        { lanes: 16, rows: 16, first: true, many: false },
        { lanes: 16, rows: 32, first: true, many: false },
        { lanes: 16, rows: 8, first: false, many: true },
        { lanes: 16, rows: 16, first: false, many: true },
        { lanes: 16, rows: 8, first: false, many: false },
        { lanes: 16, rows: 16, first: false, many: false },
        { lanes: 16, rows: 32, first: false, many: false },
    ]
}

kernel! {
    /// Back through a range of a layer's steps, in descending order. Grid: (groups, ⌈B / rows⌉) workgroups of one
    /// subgroup.
    LstmBackwardLoop: "lstm_backward_loop" in "recurrent/lstm_backward_loop.wgsl",
    params LstmLoopParams,
    libs [RNG, POINTWISE, REGISTER_TILE],
    subgroups true,
    fusable false,
    spec {
        /// Invocations of the workgroup, which must be the adapter's fixed subgroup size; at least 4.
        LANES lanes: u32,
        /// Rows of the batch that a workgroup owns: 8, 16 or 32.
        ROWS rows: u32,
        /// Whether a launch takes more than one step, for which the grid must have one workgroup in x.
        MANY many: bool,
    }
    bindings {
        dy: Read F32, w_hh: Read F32, gates: Read F32, cells: Read F32, c0: Read F32, lengths: Read U32,
        dh_n: Read F32, dc_n: Read F32, dz: ReadWrite F32, dc: ReadWrite F32
    }
    shipped [
        { lanes: 4, rows: 8, many: true },
        { lanes: 4, rows: 16, many: true },
        { lanes: 4, rows: 8, many: false },
        { lanes: 4, rows: 16, many: false },
        { lanes: 4, rows: 32, many: false },
        { lanes: 8, rows: 8, many: true },
        { lanes: 8, rows: 16, many: true },
        { lanes: 8, rows: 8, many: false },
        { lanes: 8, rows: 16, many: false },
        { lanes: 8, rows: 32, many: false },
        { lanes: 16, rows: 8, many: true },
        { lanes: 16, rows: 16, many: true },
        { lanes: 16, rows: 8, many: false },
        { lanes: 16, rows: 16, many: false },
        { lanes: 16, rows: 32, many: false },
    ]
}

kernel! {
    /// Step `t` of a layer; steps in ascending order. Grid: (⌈H / units⌉, ⌈B / rows⌉).
    LstmForwardStep: "lstm_forward_step" in "recurrent/lstm_forward_step.wgsl",
    params LstmStepParams,
    libs [RNG, POINTWISE],
    subgroups false,
    fusable false,
    spec {
        /// Rows of the batch that a workgroup computes.
        ROWS rows: u32,
        /// Hidden units that a workgroup computes.
        UNITS units: u32,
        /// Depth of the tiles of h and the weights.
        DEPTH depth: u32,
    }
    bindings {
        x_proj: Read F32, w_hh: Read F32, h0: Read F32, c0: Read F32, lengths: Read U32,
        y: ReadWrite F32, gates: ReadWrite F32, cells: ReadWrite F32, h_n: ReadWrite F32, c_n: ReadWrite F32
    }
    shipped [{ rows: 8, units: 16, depth: 32 }]
}

kernel! {
    /// Back through step `t` of a layer; steps in descending order. Grid: (⌈H / units⌉, ⌈B / rows⌉).
    LstmBackwardStep: "lstm_backward_step" in "recurrent/lstm_backward_step.wgsl",
    params LstmStepParams,
    libs [RNG, POINTWISE],
    subgroups false,
    fusable false,
    spec {
        /// Rows of the batch that a workgroup computes.
        ROWS rows: u32,
        /// Hidden units that a workgroup computes.
        UNITS units: u32,
        /// Depth of the tiles of dz and the weights.
        DEPTH depth: u32,
    }
    bindings {
        dy: Read F32, w_hh: Read F32, gates: Read F32, cells: Read F32, c0: Read F32, lengths: Read U32,
        dh_n: Read F32, dc_n: Read F32, dz: ReadWrite F32, dc: ReadWrite F32
    }
    shipped [{ rows: 8, units: 16, depth: 32 }]
}

/// The family's kernels.
pub(crate) const KERNELS: &[&Kernel] =
    &[LstmForwardLoop::KERNEL, LstmForwardStep::KERNEL, LstmBackwardLoop::KERNEL, LstmBackwardStep::KERNEL];

/// Adds the family's shipped variants.
pub(crate) fn variants(out: &mut Variants) {
    out.shipped::<LstmForwardLoop>();
    out.shipped::<LstmForwardStep>();
    out.shipped::<LstmBackwardLoop>();
    out.shipped::<LstmBackwardStep>();
}
