//! From a recording to launches: the passes, in order.
//!
//! | pass | promises |
//! |---|---|
//! | [`simplify`] | the roots' bits |
//! | [`place`] | whoever must lie somewhere can be computed there |
//! | [`in_place`] | an append writes over the state that keeps it, if all other readers of that run earlier |
//! | [`bounds`] | least and greatest value of each u32 input |
//! | [`fuse`] | one row-major index a group; bindings fit the device |
//! | [`along`] | a norm in a product: every reader takes it; a head: the norm is its first reader |
//! | [`reuse`] | only a dying operand of the same index is written over |
//! | [`lower`] | launches, in the order in which they run |
//!
//! Nothing here opens or asks a device: a [`Target`] holds what is known of one.

pub(crate) mod along;
pub(crate) mod bounds;
pub(crate) mod fuse;
pub(crate) mod group;
pub(crate) mod in_place;
pub(crate) mod lower;
pub(crate) mod pair;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod problem;
pub(crate) mod reuse;
pub(crate) mod simplify;
pub(crate) mod target;
pub(crate) mod unit;

use crate::compile::along::{take_heads, take_norms};
use crate::compile::bounds::{Allowed, bounds};
use crate::compile::fuse::{Fused, fuse};
use crate::compile::in_place::mark_in_place;
use crate::compile::lower::lower;
use crate::compile::place::{place_roots, users};
use crate::compile::reuse::reuse;
use crate::compile::simplify::simplify;
use crate::compile::target::Target;
use crate::compile::unit::Step;
use crate::ir::error::{GraphError, Result};
use crate::ir::nodes::Node;
use crate::ir::recording::Recording;
use crate::ir::specs::NodeId;

/// A recording on its way to a program, all but its buffers.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub nodes: Vec<Node>,
    /// What was asked for, in the order in which it was.
    pub roots: Vec<NodeId>,
    /// By input.
    pub allowed: Vec<Allowed>,
    pub fused: Fused,
    pub steps: Vec<Step>,
}

/// Compiles what `asked` needs. The first `grads` of it are gradients, the last are what the states keep.
///
/// # Errors
/// A u32 operand that the host cannot check; a tensor that no buffer of the target holds; a problem without a kernel.
pub(crate) fn compile(
    recording: &Recording,
    asked: &[NodeId],
    grads: usize,
    target: Target<'_>,
) -> Result<Compiled> {
    let facts = target.facts;
    let (mut nodes, mut roots) = simplify(&recording.nodes, asked);
    place_roots(&mut nodes, &mut roots, grads);
    // A step of training may be skipped at its end, and must not have changed a state before.
    if grads == 0 {
        mark_in_place(&mut nodes, &roots, &recording.states);
    }
    let allowed = bounds(&nodes, &recording.inputs)?;
    fits(&nodes, facts.max_binding_bytes.min(facts.max_buffer_bytes))?;
    let users = users(&nodes, &roots);
    let mut fused = fuse(&nodes, &users, &roots, facts);
    take_norms(&nodes, &users, facts, &mut fused);
    take_heads(&nodes, &users, &mut fused);
    reuse(&nodes, &mut fused, &roots);
    let steps = lower(&nodes, &fused, target)?;
    Ok(Compiled { nodes, roots, allowed, fused, steps })
}

/// Every tensor must fit one buffer.
fn fits(nodes: &[Node], limit: u64) -> Result<()> {
    match nodes.iter().find(|n| n.shape.bytes() > limit) {
        None => Ok(()),
        Some(node) => Err(GraphError::TooLarge {
            what: format!("a tensor of shape {} recorded at {}", node.shape, node.at),
            needs: node.shape.bytes(),
            limit,
        }),
    }
}
