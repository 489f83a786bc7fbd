//! Recurrent layers over whole sequences: RNN, LSTM and GRU, forward and backward, in three forms.
//!
//! A kernel is a cell (its own file: formula and buffers), what all cells share of the direction, and a form, both files
//! of helpers that call the few functions which the cell defines. The form for CPU adapters is a step in the registers of
//! one subgroup, which loads four values at a time and so wants an H that is a multiple of 4; the step form spreads a step over
//! a whole GPU; in both the order of launches is the synchronisation. The
//! loop form walks many steps in a launch, for a hidden state that a workgroup can hold. Workgroups never wait for one
//! another: WebGPU promises them no progress.

use crate::contract::{kernel, params};
use crate::tables::family;

params! {
    /// Immediates of every cell in every form.
    RecurrentParams {
        /// Sequences, B.
        batch: u32,
        /// Steps, T.
        time: u32,
        /// Width of the hidden state, H.
        hidden: u32,
        /// Rows from one sequence to the next within a step: 1 if packed, T where each lies in one piece.
        stride: u32,
        /// The first step of the launch. Nothing is live at a step outside 0..T.
        t: u32,
        /// From a step to the next in the order in which they are walked: 1, or -1 modulo 2³².
        delta: u32,
        /// Steps that the loop form walks; the others take one.
        walk: u32,
    }
}

params! {
    /// Immediates of [`RecurrentTail`].
    RecurrentTailParams {
        /// Steps, T.
        time: u32,
        /// Rows of the matrix, N.
        rows: u32,
        /// Its columns.
        width: u32,
    }
}

/// A cell in one direction: three kernels of one file. `spec` is what the cell itself leaves open, `shipped` its values.
macro_rules! cell {
    (
        $file:literal with $direction:ident, $one:ident, $four:ident,
        $cpu:ident: $cpu_name:literal, $step:ident: $step_name:literal, $walk:ident: $walk_name:literal,
        spec { $($spec:tt)* }
        bindings $bindings:tt
        shipped [$({ $($value:tt)* }),*]
    ) => {
        kernel! {
            #[doc = concat!("A step of `", $file, "` by single subgroups. Grid: (groups, ⌈B / rows⌉).")]
            $cpu: $cpu_name in $file,
            params RecurrentParams,
            libs [VALUE, RNG, POINTWISE, RECURRENT, $direction, $four, OCTETS, WIDE_TILE, RECURRENT_CPU],
            subgroups true,
            fusable false,
            spec {
                $($spec)*
                /// Invocations of the workgroup, which must be the adapter's fixed subgroup size; at least 4.
                LANES lanes: u32,
                /// Rows of the batch that a workgroup owns: 8, 16 or 32.
                ROWS rows: u32,
                /// Whether a tile of 32 rows that is half empty at least makes half the sums.
                HALVES halves: bool,
            }
            bindings $bindings
            shipped [$(
                { lanes: 4, rows: 8, halves: false, $($value)* },
                { lanes: 8, rows: 8, halves: false, $($value)* },
                { lanes: 8, rows: 16, halves: false, $($value)* },
                { lanes: 8, rows: 32, halves: false, $($value)* },
                { lanes: 16, rows: 32, halves: false, $($value)* },
                { lanes: 8, rows: 32, halves: true, $($value)* }
            ),*]
        }

        kernel! {
            #[doc = concat!("A step of `", $file, "` by workgroup tiles. Grid: (⌈H / units⌉, ⌈B / rows⌉).")]
            $step: $step_name in $file,
            params RecurrentParams,
            libs [VALUE, RNG, POINTWISE, RECURRENT, $direction, $one, RECURRENT_STEP],
            subgroups false,
            fusable false,
            spec {
                $($spec)*
                /// Rows of the batch that a workgroup computes.
                ROWS rows: u32,
                /// Hidden units that a workgroup computes.
                UNITS units: u32,
                /// Depth of the tiles of operand and weights.
                DEPTH depth: u32,
            }
            bindings $bindings
            shipped [$({ rows: 8, units: 16, depth: 32, $($value)* }),*]
        }

        kernel! {
            #[doc = concat!(
                "Many steps of `", $file, "`; H is at most `workgroup`. Grid: (1, ⌈B / ⌊workgroup / H⌋⌉)."
            )]
            $walk: $walk_name in $file,
            params RecurrentParams,
            libs [VALUE, RNG, POINTWISE, RECURRENT, $direction, $one, RECURRENT_LOOP],
            subgroups false,
            fusable false,
            spec {
                $($spec)*
                /// Invocations, each of which owns one hidden unit of one row.
                WORKGROUP workgroup: u32,
            }
            bindings $bindings
            shipped [$({ workgroup: 64, $($value)* }),*]
        }
    };
}

cell! {
    "recurrent/rnn_forward.wgsl" with RECURRENT_FORWARD, RECURRENT_FORWARD_ONE, RECURRENT_FORWARD_FOUR,
    RnnForwardCpu: "rnn_forward_cpu", RnnForwardStep: "rnn_forward_step", RnnForwardLoop: "rnn_forward_loop",
    spec {
        /// 0 tanh, 1 relu, 2 sigmoid.
        ACTIVATION activation: u32,
    }
    bindings {
        x_proj: Read F32, w_hh: Read Packed, h_prev: Read Packed, steps: Read U32,
        y: ReadWrite F32, h_next: ReadWrite F32, before: ReadWrite F32
    }
    shipped [{ activation: 0 }, { activation: 1 }, { activation: 2 }]
}

cell! {
    "recurrent/rnn_backward.wgsl" with RECURRENT_BACKWARD, RECURRENT_BACKWARD_ONE, RECURRENT_BACKWARD_FOUR,
    RnnBackwardCpu: "rnn_backward_cpu", RnnBackwardStep: "rnn_backward_step", RnnBackwardLoop: "rnn_backward_loop",
    spec {
        /// 0 tanh, 1 relu, 2 sigmoid.
        ACTIVATION activation: u32,
    }
    bindings {
        dy: Read F32, w_hh: Read Packed, steps: Read U32, dh_n: Read F32, y: Read F32,
        dz: ReadWrite Packed, dh0: ReadWrite F32
    }
    shipped [{ activation: 0 }, { activation: 1 }, { activation: 2 }]
}

cell! {
    "recurrent/lstm_forward.wgsl" with RECURRENT_FORWARD, RECURRENT_FORWARD_ONE, RECURRENT_FORWARD_FOUR,
    LstmForwardCpu: "lstm_forward_cpu", LstmForwardStep: "lstm_forward_step", LstmForwardLoop: "lstm_forward_loop",
    spec {}
    bindings {
        x_proj: Read F32, w_hh: Read Packed, h_prev: Read Packed, c0: Read F32, steps: Read U32,
        y: ReadWrite F32, h_next: ReadWrite F32, before: ReadWrite F32, gates: ReadWrite F32,
        cells: ReadWrite F32, c_n: ReadWrite F32
    }
    shipped [{}]
}

cell! {
    "recurrent/lstm_backward.wgsl" with RECURRENT_BACKWARD, RECURRENT_BACKWARD_ONE, RECURRENT_BACKWARD_FOUR,
    LstmBackwardCpu: "lstm_backward_cpu", LstmBackwardStep: "lstm_backward_step",
    LstmBackwardLoop: "lstm_backward_loop",
    spec {}
    bindings {
        dy: Read F32, w_hh: Read Packed, steps: Read U32, dh_n: Read F32, gates: Read F32, cells: Read F32,
        c0: Read F32, dc_n: Read F32, dz: ReadWrite Packed, dh0: ReadWrite F32, dc0: ReadWrite F32
    }
    shipped [{}]
}

cell! {
    "recurrent/gru_forward.wgsl" with RECURRENT_FORWARD, RECURRENT_FORWARD_ONE, RECURRENT_FORWARD_FOUR,
    GruForwardCpu: "gru_forward_cpu", GruForwardStep: "gru_forward_step", GruForwardLoop: "gru_forward_loop",
    spec {}
    bindings {
        x_proj: Read F32, w_hh: Read Packed, h_prev: Read Packed, b_hn: Read F32, steps: Read U32,
        y: ReadWrite F32, h_next: ReadWrite F32, before: ReadWrite F32, gates: ReadWrite F32
    }
    shipped [{}]
}

cell! {
    "recurrent/gru_backward.wgsl" with RECURRENT_BACKWARD, RECURRENT_BACKWARD_ONE, RECURRENT_BACKWARD_FOUR,
    GruBackwardCpu: "gru_backward_cpu", GruBackwardStep: "gru_backward_step", GruBackwardLoop: "gru_backward_loop",
    spec {}
    bindings {
        dy: Read F32, w_hh: Read Packed, steps: Read U32, dh_n: Read F32, before: Read F32, gates: Read F32,
        dx_proj: ReadWrite F32, dh0: ReadWrite F32, dz: ReadWrite Packed, carry: ReadWrite F32
    }
    shipped [{}]
}

kernel! {
    /// Zeros in the rows past the last step's. Grid: any number of workgroups in x, which stride over the elements.
    RecurrentTail: "recurrent_tail" in "recurrent/tail.wgsl",
    params RecurrentTailParams,
    libs [],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { steps: Read U32, out: ReadWrite F32 }
    shipped [{ workgroup: 64 }]
}

family![
    RnnForwardCpu,
    RnnForwardStep,
    RnnForwardLoop,
    RnnBackwardCpu,
    RnnBackwardStep,
    RnnBackwardLoop,
    LstmForwardCpu,
    LstmForwardStep,
    LstmForwardLoop,
    LstmBackwardCpu,
    LstmBackwardStep,
    LstmBackwardLoop,
    GruForwardCpu,
    GruForwardStep,
    GruForwardLoop,
    GruBackwardCpu,
    GruBackwardStep,
    GruBackwardLoop,
    RecurrentTail,
];
