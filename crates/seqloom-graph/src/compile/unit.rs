//! Steps: what runs, with the nodes whose memory it binds. The plan and the binder read nothing else of a kernel.

use seqloom_kernels::Lowered;

use crate::ir::specs::NodeId;

/// One node's computation: launches, and the nodes whose memory they bind.
#[derive(Debug)]
pub(crate) struct Step {
    pub lowered: Lowered,
    /// Nodes read, in the kernel family's order.
    pub ins: Vec<NodeId>,
    /// Nodes written.
    pub outs: Vec<NodeId>,
    /// Nodes read by fused code; where `reads_control`, the control buffer follows them.
    pub leaves: Vec<NodeId>,
    pub reads_control: bool,
    /// The node, read by nothing later, whose memory the output takes.
    pub over: Option<NodeId>,
}
