//! A request to a program: outputs by name, and a loss with its gradients and update.

use crate::ir::error::{GraphError, Result};
use crate::ir::specs::ParamId;
use crate::record::graph::Graph;
use crate::record::optimizer::Optimizer;
use crate::record::tensor::Tensor;
use crate::run::store::ParamStore;

/// The outputs that an objective adds.
const OF_OBJECTIVE: [&str; 3] = ["loss", "grad_norm", "skipped"];

/// What a program computes: outputs, gradients, or kept states ([`Graph::keep`]), at least one of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a, 'g> {
    /// Tensors to read after a run, each with its own name; ids and lengths cannot be read back. Outputs, inputs and
    /// states have separate names: one name may be used once in each. With an objective, `loss`, `grad_norm` and
    /// `skipped` are taken.
    pub outputs: &'a [(&'a str, Tensor<'g>)],
    /// The scalar to differentiate. Its value becomes the output `loss`.
    pub objective: Option<Objective<'a, 'g>>,
}

/// A loss whose gradients a program computes.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'a, 'g> {
    /// A tensor of one element that depends on a parameter.
    pub loss: Tensor<'g>,
    /// The optimizer whose step follows, over the parameters that the loss depends on. As in PyTorch, other parameters
    /// get no gradient and do not change: no state, no count and no weight decay. It adds the outputs `grad_norm` (L2
    /// norm of all gradients before the clip) and `skipped`: 1 if that norm, or an element of a new state value, was
    /// not finite. Then parameters, moments, update counts and states stay as they were.
    pub update: Option<&'a dyn Optimizer>,
}

impl<'g> Objective<'_, 'g> {
    /// The gradients of `loss`, without an update.
    #[must_use]
    pub fn new(loss: Tensor<'g>) -> Self {
        Self { loss, update: None }
    }
}

impl Request<'_, '_> {
    /// Checks that the request is for this graph and store, and asks for something, each thing under one name.
    pub(crate) fn check(&self, store: &ParamStore, graph: &Graph) -> Result<()> {
        graph.check()?;
        let loss = self.objective.map(|objective| ("loss", objective.loss));
        let foreign = |(_, tensor): &(&str, Tensor<'_>)| !std::ptr::eq(tensor.graph, graph);
        if let Some((name, tensor)) = self.outputs.iter().copied().chain(loss).find(foreign) {
            return Err(GraphError::ForeignOutput { name: name.to_owned(), at: tensor.node().at });
        }
        for (at, (name, tensor)) in self.outputs.iter().enumerate() {
            let taken = self.objective.is_some() && OF_OBJECTIVE.contains(name);
            if taken || self.outputs[..at].iter().any(|(before, _)| before == name) {
                return Err(GraphError::OutputTwice { name: (*name).to_owned(), at: tensor.node().at });
            }
        }
        let keeps = graph.recording().states.iter().any(|state| state.kept.is_some());
        if self.outputs.is_empty() && self.objective.is_none() && !keeps {
            return Err(GraphError::NothingAsked);
        }
        check_store(store, graph)
    }
}

/// Checks that the store holds the parameters that the graph was recorded over.
fn check_store(store: &ParamStore, graph: &Graph) -> Result<()> {
    let recording = graph.recording();
    let holds = |id: ParamId| store.specs().get(id.index()).is_some_and(|spec| spec.is(id));
    let foreign = recording.params.iter().filter(|(id, _)| !holds(**id)).min_by_key(|(_, node)| **node);
    if let Some((id, node)) = foreign {
        let name = graph.param_spec(*id).map(|spec| spec.name.clone()).unwrap_or_default();
        return Err(GraphError::ForeignStore { param: Some((name, recording.nodes[*node].at)) });
    }
    if graph.origin() == store.origin() { Ok(()) } else { Err(GraphError::ForeignStore { param: None }) }
}
