//! The optimizer: global gradient norm in two stages, then the update over the arenas, whose arithmetic is fused code.
//!
//! The clip factor and the decision to skip a step that is not finite are taken on the device, from the `Control`
//! written before each step: no number of a step is frozen into a program, and nothing waits for the host. So only the device
//! knows at once how many updates there were, and it counts them: those of all, by which it picks the learning rate, and those
//! of each parameter, from which the corrections of its moments follow. A skipped step leaves no trace: it is not counted, and
//! what a state would have carried on from it is dropped.

use crate::contract::{ViewParams, Width, kernel, params};
use crate::tables::family;

params! {
    /// Immediates of [`NormPartial`].
    NormPartialParams {
        /// Values of the gradients.
        len: u32,
        /// First partial that this launch writes; it writes one per workgroup.
        offset: u32,
        /// Elements of a Value; 0 where the sum is only to tell whether all of them are finite.
        parts: f32,
    }
}

params! {
    /// Immediates of [`NormFinish`].
    NormFinishParams {
        /// Partials to add.
        count: u32,
        /// Parameters that the step updates.
        members: u32,
    }
}

params! {
    /// Immediates of [`Update`].
    UpdateParams {
        /// Values of each arena.
        len: u32,
        /// The first of them stands in this block of 256 bytes of the whole arena.
        first: u32,
        /// Values in a block.
        block: u32,
        /// Alignment of `view`.
        pad: u32,
        /// How the leaves of fused code are read; an update reads all of them at its own index.
        view: ViewParams,
    }
}

params! {
    /// Immediates of [`Accumulate`].
    AccumulateParams {
        /// Values of the gradients.
        len: u32,
    }
}

params! {
    /// Immediates of [`Keep`].
    KeepParams {
        /// Values of the state.
        len: u32,
    }
}

kernel! {
    /// partials\[offset + workgroup\] = sum of squares of the workgroup's share. Any grid in x and y.
    NormPartial: "norm_partial" in "optimizer/norm_partial.wgsl",
    params NormPartialParams,
    libs [VALUE, TREE, TREE_F32],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { grads: Read Packed, partials: ReadWrite F32 }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

kernel! {
    /// stats = \[norm, factor for the gradients, 1 if skipped, 1 if counts differ, learning rate, corrections and count of
    /// the first member (3), the same of each parameter (3)\]; counts, of all updates and of each member's, go on by one unless it is
    /// skipped. One workgroup.
    NormFinish: "norm_finish" in "optimizer/norm_finish.wgsl",
    params NormFinishParams,
    libs [CONTROL, TREE, TREE_F32],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup; a power of two.
        WORKGROUP workgroup: u32,
    }
    bindings {
        control: Read Control,
        partials: Read F32,
        member: Read U32,
        counts: ReadWrite U32,
        stats: ReadWrite F32,
    }
    shipped [{ workgroup: 64 }, { workgroup: 256 }]
}

kernel! {
    /// weights\[i\] = fused(weights\[i\], i), where fused code writes the states too; nothing where stats\[2\] is not 0. Any grid in x
    /// and y.
    Update: "update" in "optimizer/update.wgsl",
    params UpdateParams,
    libs [VALUE, VIEW],
    subgroups false,
    fusable true,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { stats: Read F32, owners: Read U32, weights: ReadWrite Packed }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

kernel! {
    /// sum\[i\] += share·grads\[i\]. Any grid in x and y.
    Accumulate: "accumulate" in "optimizer/accumulate.wgsl",
    params AccumulateParams,
    libs [VALUE, CONTROL],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { control: Read Control, grads: Read Packed, sum: ReadWrite Packed }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

kernel! {
    /// state = values; unchanged where stats\[2\] is not 0. Any grid in x and y.
    Keep: "keep" in "optimizer/keep.wgsl",
    params KeepParams,
    libs [VALUE],
    subgroups false,
    fusable false,
    spec {
        /// Invocations of a workgroup.
        WORKGROUP workgroup: u32,
        /// How many elements an invocation takes at once.
        Value width: Width,
    }
    bindings { stats: Read F32, values: Read Packed, state: ReadWrite Packed }
    shipped [
        { workgroup: 64, width: Width::One },
        { workgroup: 64, width: Width::Four },
        { workgroup: 256, width: Width::One },
    ]
}

family![NormPartial, NormFinish, Update, Accumulate, Keep];
