//! What a device can do at all: its arithmetic and its memory, each by a kernel that does nothing else.
//!
//! Shares of a roofline mean something only where the roof was measured by kernels that came the same way as those under
//! it: through WGSL and the same driver. A data sheet, or a C program on the same cores, knows neither.

use crate::contract::{kernel, params};
use crate::tables::family;

params! {
    /// Immediates of [`Arithmetic`].
    ArithmeticParams {
        /// Times that each chain is made longer by four links.
        rounds: u32,
    }
}

kernel! {
    /// Twelve chains of multiply-adds an invocation, 96 operations a round. Any grid in x.
    Arithmetic: "arithmetic" in "bench/arithmetic.wgsl",
    params ArithmeticParams,
    libs [],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { out: ReadWrite F32 }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

params! {
    /// Immediates of [`Triad`].
    TriadParams {
        /// Groups of four elements.
        quads: u32,
    }
}

kernel! {
    /// out\[i\] = a\[i\] + 3·b\[i\]. Any grid in x and y.
    Triad: "triad" in "bench/triad.wgsl",
    params TriadParams,
    libs [],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { a: Read F32x4, b: Read F32x4, out: ReadWrite F32x4 }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

family![Arithmetic, Triad];
