//! The results asked of a program, as node numbers. They have names, so no pass counts positions.

use super::specs::{NodeId, ParamId};

/// Nodes whose values outlive the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots {
    /// Gradients, by parameter.
    pub grads: Vec<(ParamId, NodeId)>,
    /// Tensors to read after a run, by name.
    pub outputs: Vec<(String, NodeId)>,
    /// What carried states hold after a run, by the state's index.
    pub kept: Vec<(usize, NodeId)>,
    /// Whether the optimizer follows. It may skip the step; states then keep their contents.
    pub update: bool,
}

impl Roots {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> {
        let grads = self.grads.iter().map(|(_, id)| *id);
        grads.chain(self.outputs.iter().map(|(_, id)| *id)).chain(self.kept.iter().map(|(_, id)| *id))
    }

    /// All of them, to be moved to other nodes.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut NodeId> {
        let grads = self.grads.iter_mut().map(|(_, id)| id);
        grads.chain(self.outputs.iter_mut().map(|(_, id)| id)).chain(self.kept.iter_mut().map(|(_, id)| id))
    }
}
