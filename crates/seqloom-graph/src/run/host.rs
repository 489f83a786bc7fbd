//! What the host computes from u32 inputs before a run: positions sorted by id, places of packed rows, packed ids.
//!
//! Ids and lengths come from the host, and what follows from them alone is cheap there and awkward on a device: a sort, a
//! running sum. So it is an operation of the graph like any other, [`Op::Host`], but its results are written
//! with the inputs. Derivations may build on each other. One whose sources are all literals is computed when the program
//! is compiled. Everything is computed before anything is written, so a run that is refused changes nothing.

mod compute;
mod packing;
mod segments;

use std::sync::Arc;

use crate::ir::error::{GraphError, Result};
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::payload::Derivation;
use crate::ir::specs::{InputSpec, NodeId};
use crate::run::host::compute::compute;

/// Where the host finds an operand of a derivation.
#[derive(Clone, Debug)]
enum Source {
    /// The program's input of this index.
    Input(usize),
    /// Numbers known when compiled.
    Known(Arc<[u32]>),
    /// Output `.1` of step `.0`.
    Derived(usize, usize),
}

#[derive(Debug)]
struct Step {
    what: Derivation,
    sources: Vec<Source>,
    /// Name of the last source, the one whose values can be refused here.
    name: String,
}

/// The derivations of a program, in order.
#[derive(Debug, Default)]
pub(crate) struct HostProgram {
    steps: Vec<Step>,
    /// By node: where the host has a derived tensor.
    places: Vec<(NodeId, Source)>,
}

impl HostProgram {
    /// Adds the derivation at node `id`, whose output nodes are `outputs`. Gives the outputs' values if they are known now.
    pub(crate) fn add(
        &mut self,
        nodes: &Nodes,
        inputs: &[InputSpec],
        id: NodeId,
        what: Derivation,
        outputs: &[NodeId],
    ) -> Result<Option<Vec<Vec<u32>>>, GraphError> {
        let sources = nodes[id].inputs.iter().map(|&input| self.source(nodes, input));
        let Some(sources) = sources.collect::<Option<Vec<_>>>() else {
            return Err(GraphError::Unsupported {
                op: what.name(),
                detail: "ids that a gradient sorts, lengths and positions must be an input or a literal as a whole"
                    .to_owned(),
                at: nodes[id].at,
            });
        };
        let name = match sources.last() {
            Some(Source::Input(index)) => inputs[*index].name.clone(),
            _ => "literal".to_owned(),
        };
        let known: Option<Vec<&[u32]>> = sources
            .iter()
            .map(|source| match source {
                Source::Known(values) => Some(&values[..]),
                _ => None,
            })
            .collect();
        if let Some(known) = known {
            let values = compute(what, &known, &name)?;
            let found = outputs.iter().zip(&values).map(|(&o, v)| (o, Source::Known(v.as_slice().into())));
            self.places.extend(found);
            return Ok(Some(values));
        }
        let step = self.steps.len();
        self.places.extend(outputs.iter().enumerate().map(|(i, &output)| (output, Source::Derived(step, i))));
        self.steps.push(Step { what, sources, name });
        Ok(None)
    }

    fn source(&self, nodes: &Nodes, id: NodeId) -> Option<Source> {
        let id = nodes.base(id);
        match &nodes[id].op {
            Op::Input(index) => Some(Source::Input(*index)),
            Op::Literal(values) => Some(Source::Known(Arc::clone(values))),
            _ => self.places.iter().find(|(node, _)| *node == id).map(|(_, source)| source.clone()),
        }
    }

    /// Every step's outputs; `input` gives the values of a u32 input.
    ///
    /// # Errors
    /// Lengths that together are more than the program was recorded for.
    pub(crate) fn run<'a>(
        &self,
        input: impl Fn(usize) -> &'a [u32],
    ) -> Result<Vec<Vec<Vec<u32>>>, GraphError> {
        let mut done: Vec<Vec<Vec<u32>>> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let sources: Vec<&[u32]> = step
                .sources
                .iter()
                .map(|source| match source {
                    Source::Input(index) => input(*index),
                    Source::Known(values) => values,
                    Source::Derived(step, output) => &done[*step][*output],
                })
                .collect();
            let values = compute(step.what, &sources, &step.name)?;
            done.push(values);
        }
        Ok(done)
    }
}
