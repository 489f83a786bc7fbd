//! The target of compilation: a device's facts, tuning's findings, and what kernels can fuse there.
//!
//! It is plain data, so compiling needs no device.

use seqloom_device::Facts;
use seqloom_kernels::REQUIRED_STORAGE_BUFFERS;
use seqloom_kernels::matmul::{self, row};
use seqloom_kernels::tune::Tuned;

use crate::compile::problem::product_of;
use crate::ir::nodes::Nodes;
use crate::ir::specs::NodeId;

/// The facts by which kernels are chosen.
///
/// Tuning works on buckets, and its finding for one problem may not suit another of the bucket (a longer walk, a larger
/// grid). A refused variant is replaced by the rules' choice.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub facts: &'a Facts,
    pub tuned: &'a Tuned,
    /// Whether products may use half precision.
    pub half: bool,
}

/// Most storage buffers that one kernel may bind. It is not this adapter's limit, because a program fuses the same on
/// every adapter.
pub(super) const BUFFERS: usize = REQUIRED_STORAGE_BUFFERS as usize;

/// Most bindings of a norm's kernel besides its leaves.
pub(super) const OF_NORM: usize = 7;

/// Whether a product takes any tail; if not, only a bias.
pub(crate) fn takes_any_tail(nodes: &Nodes, id: NodeId, facts: &Facts) -> bool {
    matmul::takes_epilogue(&product_of(nodes, id), facts)
}

/// Bindings of a product's kernel besides leaves: operands and result, and a fused norm's.
pub(crate) fn bindings(nodes: &Nodes, id: NodeId, facts: &Facts) -> usize {
    if row::suits(&product_of(nodes, id), facts) { 5 } else { 3 }
}

/// Whether a product's kernel can also compute the norm of its left operand.
pub(crate) fn takes_norm(nodes: &Nodes, id: NodeId, facts: &Facts) -> bool {
    row::takes_norm(&product_of(nodes, id), facts)
}

#[cfg(test)]
pub(crate) mod example {
    use seqloom_device::{AdapterKind, Facts, Subgroups};

    /// Facts of an imaginary adapter: WebGPU's default limits, with subgroups of 8.
    pub(crate) fn facts(kind: AdapterKind) -> Facts {
        Facts {
            index: 0,
            name: "none".to_owned(),
            backend: "none".to_owned(),
            kind,
            driver: "none".to_owned(),
            subgroups: Some(Subgroups { min: 8, max: 8 }),
            timestamps: false,
            pipeline_cache: false,
            immediates: true,
            f16: false,
            cooperative: None,
            max_buffer_bytes: 1 << 28,
            max_binding_bytes: 1 << 27,
            max_storage_buffers: 10,
            max_immediate_bytes: 128,
            max_workgroup_invocations: 256,
            max_workgroup_bytes: 1 << 14,
            max_grid: 65535,
            offset_alignment: 256,
        }
    }
}
