//! Elements picked along an axis by an index for each result, and the gradient by sorted picks.
//!
//! Rows of a table are the embedding's family: there an index serves a whole row, which is read by neighbours. The gradient's
//! picks are sorted by the host, as those of an embedding are, and name only elements that were picked, so that what the
//! host writes grows with the picks and not with the tensor.

use crate::contract::{Kernel, Spec, kernel, params};
use crate::variants::Variants;

params! {
    /// Immediates of [`GatherForward`].
    GatherParams {
        /// Product of the extents before the axis.
        outer: u32,
        /// Extent of the axis; at least 1.
        len: u32,
        /// Product of the extents after the axis; at least 1.
        inner: u32,
        /// Picks along the axis; at least 1.
        count: u32,
    }
}

params! {
    /// Immediates of [`GatherBackward`].
    GatherBackwardParams {
        /// All picks; at least 1.
        picks: u32,
        /// Elements of the tensor that was picked from.
        elements: u32,
        /// First place of `order` that this launch adds.
        first: u32,
        /// End of those places; at most `picks`.
        end: u32,
    }
}

kernel! {
    /// out\[o, k, i\] = x\[o, index\[o, k, i\], i\]. Any grid in x and y.
    GatherForward: "gather_forward" in "gather/forward.wgsl",
    params GatherParams,
    libs [VIEW],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { x: Read F32, index: Read U32, out: ReadWrite F32 }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

kernel! {
    /// dx\[places\[p\]\] += sum of dy\[order\[s\]\], starts\[p\] <= s < starts\[p + 1\], in one launch or several. Any grid
    /// in x and y.
    GatherBackward: "gather_backward" in "gather/backward.wgsl",
    params GatherBackwardParams,
    libs [],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { dy: Read F32, order: Read U32, starts: Read U32, places: Read U32, dx: ReadWrite F32 }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

/// The family's kernels.
pub(crate) const KERNELS: &[&Kernel] = &[GatherForward::KERNEL, GatherBackward::KERNEL];

/// Adds the family's shipped variants.
pub(crate) fn variants(out: &mut Variants) {
    out.shipped::<GatherForward>();
    out.shipped::<GatherBackward>();
}
