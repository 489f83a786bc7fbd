//! Copies through a view: slice, flip, pad, transpose, broadcast; tensors joined along an axis; and new rows written into a tensor
//! that is there.
//!
//! One kernel with numbers instead of four kernels: each of these is a window of the output that reads the input by
//! strides, and one number outside. Views that a consumer can read by itself (fused code does) are never copied. Appending to a
//! cache writes its new rows alone, where each sequence has come to; a window of the whole cache would copy all of it. Keys and
//! values are appended to two caches by one dispatch. Joining has a kernel of its own: through windows, each part would write the
//! whole result.

use crate::contract::{Kernel, Spec, Width, kernel, params};
use crate::variants::Variants;

params! {
    /// Immediates of [`Gather`], in Words.
    GatherParams {
        /// Extents of the output, outermost first; 1 where unused.
        dims: [u32; 4],
        /// Element strides of the input per output axis; 0 broadcasts, a negative one wraps.
        strides: [u32; 4],
        /// First index of the window on each axis of the output.
        lo: [u32; 4],
        /// Extent of the window on each axis; outside it the output is `fill`.
        extent: [u32; 4],
        /// Words of the output.
        len: u32,
        /// Element of the input that stands at `lo`.
        offset: u32,
        /// Bits of what stands outside the window.
        fill: u32,
        /// End of the struct.
        pad: u32,
    }
}

params! {
    /// Immediates of [`Append`] and [`AppendPair`].
    AppendParams {
        /// B·T·C.
        len: u32,
        /// S, at least T.
        keys: u32,
        /// T.
        time: u32,
        /// C.
        channels: u32,
    }
}

kernel! {
    /// out\[b, first\[b\] + t\] = rows\[b, t\]; the other rows of `out` stay. Any grid in x and y.
    Append: "append" in "view/append.wgsl",
    params AppendParams,
    libs [VIEW, APPEND],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { rows: Read U32, first: Read U32, out: ReadWrite U32 }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

kernel! {
    /// [`Append`] for two tensors of one shape, whose new rows begin at the same places. Any grid in x and y.
    AppendPair: "append_pair" in "view/append_pair.wgsl",
    params AppendParams,
    libs [VIEW, APPEND],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
    }
    bindings { rows_a: Read U32, rows_b: Read U32, first: Read U32, out_a: ReadWrite U32, out_b: ReadWrite U32 }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

/// Most parts that one launch of [`Concat`] joins: what its immediates hold. With the result it binds 8 buffers.
pub const PARTS: usize = 7;

params! {
    /// Immediates of [`Concat`], in Words.
    ConcatParams {
        /// Of the first part: Words of a row, its first Word, and the strides of its rows over `outer` and over `inner`.
        part0: [u32; 4],
        /// Of the next.
        part1: [u32; 4],
        /// Of the next.
        part2: [u32; 4],
        /// Of the next.
        part3: [u32; 4],
        /// Of the next.
        part4: [u32; 4],
        /// Of the next.
        part5: [u32; 4],
        /// Of the last.
        part6: [u32; 4],
        /// Rows of each part and of the result.
        rows: u32,
        /// Rows until the outer stride is taken.
        inner: u32,
        /// Words of a row of the result.
        width: u32,
        /// First Word of a row that is written.
        begin: u32,
    }
}

kernel! {
    /// out\[row\] from `begin` on = x0\[row\], x1\[row\], .. side by side; the rest of `out` stays. Any grid in x and y.
    Concat: "concat" in "view/concat.wgsl",
    params ConcatParams,
    libs [VIEW],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Word width: Width,
    }
    bindings {
        x0: Read Packed,
        x1: Read Packed,
        x2: Read Packed,
        x3: Read Packed,
        x4: Read Packed,
        x5: Read Packed,
        x6: Read Packed,
        out: ReadWrite Packed,
    }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

kernel! {
    /// out\[idx\] = x\[offset + (idx - lo) · strides\] inside the window, `fill` outside. Any grid in x and y.
    Gather: "gather" in "view/gather.wgsl",
    params GatherParams,
    libs [VIEW],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Word width: Width,
    }
    bindings { x: Read Packed, out: ReadWrite Packed }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

/// The family's kernels.
pub(crate) const KERNELS: &[&Kernel] = &[Gather::KERNEL, Concat::KERNEL, Append::KERNEL, AppendPair::KERNEL];

/// Adds the family's shipped variants.
pub(crate) fn variants(out: &mut Variants) {
    out.shipped::<Gather>();
    out.shipped::<Concat>();
    out.shipped::<Append>();
    out.shipped::<AppendPair>();
}
