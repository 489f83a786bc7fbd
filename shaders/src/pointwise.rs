//! Pointwise graphs: one kernel whose whole body is fused code.
//!
//! There is no kernel per operation: the operations are the functions of `lib/pointwise.wgsl` and `lib/activation.wgsl`, and the fuser
//! writes calls of them. A launch of one operation is a fused graph of one node.

use crate::contract::{ViewParams, Width, kernel, params};
use crate::tables::family;

params! {
    /// Immediates of [`Map`].
    MapParams {
        /// Values of the output.
        len: u32,
        /// Alignment of `view`.
        pad: [u32; 3],
        /// How the leaves are read.
        view: ViewParams,
    }
}

kernel! {
    /// out\[i\] = fused(out\[i\], i), i < len. Any grid in x and y: invocations stride over the output.
    Map: "map" in "pointwise/map.wgsl",
    params MapParams,
    libs [VALUE, VIEW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { out: ReadWrite Packed }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

family![Map];
