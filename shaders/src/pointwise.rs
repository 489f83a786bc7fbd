//! Pointwise graphs: one kernel whose whole body is fused code.
//!
//! There is no kernel per operation: the operations are the functions of `lib/pointwise.wgsl`, and the fuser writes
//! calls of them. A launch of one operation is a fused graph of one node.

use crate::contract::{Kernel, Spec, Variants, ViewParams, kernel, params};

params! {
    /// Immediates of [`Map`].
    MapParams {
        /// Elements of the output.
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
    libs [VIEW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { out: ReadWrite F32 }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

/// The family's kernels.
pub(crate) const KERNELS: &[&Kernel] = &[Map::KERNEL];

/// Adds the family's shipped variants.
pub(crate) fn variants(out: &mut Variants) {
    out.shipped::<Map>();
}
