//! Embedding tables: rows by id, and the gradient by sorted segments.
//!
//! The backward pass takes the tokens sorted by id, which the host knows as soon as it knows the ids. Atomics would
//! make the sum depend on arrival, and a scan of all tokens per id costs V × N.

use crate::contract::{ViewParams, Width, kernel, params};
use crate::tables::family;

params! {
    /// Immediates of [`EmbeddingForward`].
    EmbeddingParams {
        /// N.
        tokens: u32,
        /// V; at least 1.
        vocab: u32,
        /// C in Values; at least 1.
        channels: u32,
        /// Alignment of `view`.
        pad: u32,
        /// How the leaves are read.
        view: ViewParams,
    }
}

params! {
    /// Immediates of [`EmbeddingBackward`].
    EmbeddingBackwardParams {
        /// N.
        tokens: u32,
        /// V; at least 1.
        vocab: u32,
        /// C in Values; at least 1.
        channels: u32,
        /// First place of `order` that this launch adds; where it is not 0, to what the launches before it left.
        first: u32,
        /// End of those places; at most N.
        end: u32,
    }
}

kernel! {
    /// out\[n\] = fused(table\[ids\[n\]\]), of 0 for an id of V or more. Any grid in x and y.
    EmbeddingForward: "embedding_forward" in "embedding/forward.wgsl",
    params EmbeddingParams,
    libs [VALUE, VIEW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { table: Read Packed, ids: Read U32, out: ReadWrite Packed }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

kernel! {
    /// dtable\[v\] = sum of dy\[order\[s\]\], starts\[v\] <= s < starts\[v + 1\], in one launch or several. Any grid in x
    /// and y.
    EmbeddingBackward: "embedding_backward" in "embedding/backward.wgsl",
    params EmbeddingBackwardParams,
    libs [VALUE, VIEW],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { dy: Read Packed, order: Read U32, starts: Read U32, dtable: ReadWrite Packed }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

family![EmbeddingForward, EmbeddingBackward];
