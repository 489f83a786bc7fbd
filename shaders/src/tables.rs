//! What several kernels of a family share, declared once: the GPU's and the CPU adapter's kernel of one step, and a family's list.
//!
//! A step has two kernels because of what costs where: a workgroup for each row or tile on GPUs, one invocation or one subgroup on
//! adapters that run shaders on a CPU, for which barriers are dear. Both promise the same: immediates, bindings by name and order,
//! whether fused code is taken. `pair!` states that once; what differs (file, helpers, marked lines of its own, elements of a binding)
//! stands under `gpu` and `cpu`.

/// Declares both kernels of a step by `kernel!` (see [`contract`](crate::contract)):
///
/// ```text
/// pair! {
///     params ThingParams,
///     fusable false,
///     gpu {
///         /// Docs: formula, shapes, grid.
///         Thing: "thing" in "family/thing.wgsl",
///         libs [TREE, TREE_F32],
///         spec { /// Docs.
///                WORKGROUP workgroup: u32, }     // before the shared lines; `then { .. }` stands behind them
///         shipped [{ workgroup: 64 }]
///     }
///     cpu { .. }                                // as `gpu`, with `subgroups true,` or `false,` after its libs
///     spec { /// Docs.
///            LOG log: bool, }                   // the lines that both have
///     bindings { x: Read F32 | Packed }         // what it holds on GPUs | on CPU adapters
/// }
/// ```
macro_rules! pair {
    (
        params $params:ty,
        fusable $fusable:literal,
        gpu {
            $(#[$gpu_doc:meta])*
            $gpu:ident: $gpu_name:literal in $gpu_file:literal,
            libs $gpu_libs:tt,
            spec { $($gpu_spec:tt)* }
            $(then { $($gpu_then:tt)* })?
            shipped $gpu_shipped:tt
        }
        cpu {
            $(#[$cpu_doc:meta])*
            $cpu:ident: $cpu_name:literal in $cpu_file:literal,
            libs $cpu_libs:tt,
            subgroups $subgroups:literal,
            spec { $($cpu_spec:tt)* }
            $(then { $($cpu_then:tt)* })?
            shipped $cpu_shipped:tt
        }
        spec { $($spec:tt)* }
        bindings { $($binding:ident: $access:ident $gpu_elem:ident | $cpu_elem:ident),* $(,)? }
    ) => {
        $crate::contract::kernel! {
            $(#[$gpu_doc])*
            $gpu: $gpu_name in $gpu_file,
            params $params,
            libs $gpu_libs,
            subgroups false,
            fusable $fusable,
            spec { $($gpu_spec)* $($spec)* $($($gpu_then)*)? }
            bindings { $($binding: $access $gpu_elem),* }
            shipped $gpu_shipped
        }

        $crate::contract::kernel! {
            $(#[$cpu_doc])*
            $cpu: $cpu_name in $cpu_file,
            params $params,
            libs $cpu_libs,
            subgroups $subgroups,
            fusable $fusable,
            spec { $($cpu_spec)* $($spec)* $($($cpu_then)*)? }
            bindings { $($binding: $access $cpu_elem),* }
            shipped $cpu_shipped
        }
    };
}

/// `KERNELS` and `variants` of a family's kernels.
macro_rules! family {
    ($($kernel:ident),* $(,)?) => {
        /// The family's kernels.
        pub(crate) const KERNELS: &[&$crate::contract::Kernel] =
            &[$(<$kernel as $crate::contract::Spec>::KERNEL),*];

        /// Adds the family's shipped variants.
        pub(crate) fn variants(out: &mut $crate::variants::Variants) {
            $(out.shipped::<$kernel>();)*
        }
    };
}

pub(crate) use {family, pair};
