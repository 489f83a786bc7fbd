//! The host's computations from u32 inputs before a run (views of them, positions sorted by id, places of packed rows,
//! packed ids), and the check of the limits that operations set.
//!
//! Ids and lengths come from the host, and what follows from them alone (a sort, a running sum) is cheap there and
//! awkward on a device. So it is an operation of the graph like any other, [`Op::Host`], but its results are written
//! with the inputs. Derivations may build on each other. One whose sources are all literals is computed when the
//! program is compiled. Everything is computed before anything is written, so a refused run changes nothing.

mod compute;
mod packing;
mod segments;

use std::sync::Arc;

use crate::compile::bounds::Allowed;
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
    /// The inputs that its elements come from.
    name: String,
    /// Those that the last source comes from, the one whose sum can be refused here.
    last: String,
}

/// The derivations of a program, in order.
#[derive(Debug, Default)]
pub(crate) struct HostProgram {
    steps: Vec<Step>,
    /// What the elements of an input or of a derived tensor may be.
    limits: Vec<(Source, Allowed)>,
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
                detail: "what the host derives of ids, lengths and positions needs them from an input or a literal"
                    .to_owned(),
                at: nodes[id].at,
            });
        };
        let named =
            |source: Option<&Source>| source.map(|source| self.name(inputs, source)).unwrap_or_default();
        let last = named(sources.last());
        let name = match what {
            Derivation::Join { .. } => {
                let mut names: Vec<_> = sources.iter().map(|source| self.name(inputs, source)).collect();
                names.dedup();
                names.join(", ")
            }
            _ => named(sources.first()),
        };
        let known: Option<Vec<&[u32]>> = sources
            .iter()
            .map(|source| match source {
                Source::Known(values) => Some(&values[..]),
                _ => None,
            })
            .collect();
        if let Some(known) = known {
            let values = compute(what, &known, &last)?;
            let found = outputs.iter().zip(&values).map(|(&o, v)| (o, Source::Known(v.as_slice().into())));
            self.places.extend(found);
            return Ok(Some(values));
        }
        let step = self.steps.len();
        self.places.extend(outputs.iter().enumerate().map(|(i, &output)| (output, Source::Derived(step, i))));
        self.steps.push(Step { what, sources, name, last });
        Ok(None)
    }

    /// Has every run check the elements of the tensor at node `id`; those known now are checked at once.
    pub(crate) fn limit(&mut self, nodes: &Nodes, id: NodeId, allowed: Allowed) -> Result<(), GraphError> {
        let source = self.source(nodes, id);
        // Positions, and one more than the last of them, are named by the number of steps that they follow.
        if let Some(Source::Derived(step, output)) = &source
            && let Step { what: Derivation::Following { time, stride: 0 }, sources, .. } = &self.steps[*step]
            && let [first] = &sources[..]
        {
            let most = if *output == 0 { time.saturating_sub(1) } else { *time };
            self.limits.push((first.clone(), allowed.less(most)));
            return Ok(());
        }
        match source {
            Some(Source::Known(values)) => allowed.check("literal", false, &values),
            Some(source) => {
                self.limits.push((source, allowed));
                Ok(())
            }
            None => Err(GraphError::Unsupported {
                op: "ids",
                detail: "ids, targets and lengths must come from an input or a literal, or be the argmax of an axis that \
                         is no longer than what they index"
                    .to_owned(),
                at: nodes[id].at,
            }),
        }
    }

    /// What an error calls a source.
    fn name(&self, inputs: &[InputSpec], source: &Source) -> String {
        match source {
            Source::Input(index) => inputs[*index].name.clone(),
            Source::Known(_) => "literal".to_owned(),
            Source::Derived(step, _) => self.steps[*step].name.clone(),
        }
    }

    fn source(&self, nodes: &Nodes, id: NodeId) -> Option<Source> {
        let id = nodes.base(id);
        match &nodes[id].op {
            Op::Input(index) => Some(Source::Input(*index)),
            Op::Literal(values) => Some(Source::Known(Arc::clone(values))),
            _ => self.places.iter().find(|(node, _)| *node == id).map(|(_, source)| source.clone()),
        }
    }

    /// Every step's outputs; `input` gives the values of a u32 input. Each tensor is checked before anything is computed of it.
    ///
    /// # Errors
    /// The first element that an operation does not allow; lengths that together are more than the program was recorded for.
    pub(crate) fn run<'a>(
        &self,
        inputs: &[InputSpec],
        input: impl Fn(usize) -> &'a [u32],
    ) -> Result<Vec<Vec<Vec<u32>>>, GraphError> {
        for (source, allowed) in &self.limits {
            if let Source::Input(index) = source {
                allowed.check(&inputs[*index].name, false, input(*index))?;
            }
        }
        let mut done: Vec<Vec<Vec<u32>>> = Vec::with_capacity(self.steps.len());
        for (at, step) in self.steps.iter().enumerate() {
            let sources: Vec<&[u32]> = step
                .sources
                .iter()
                .map(|source| match source {
                    Source::Input(index) => input(*index),
                    Source::Known(values) => values,
                    Source::Derived(step, output) => &done[*step][*output],
                })
                .collect();
            let values = compute(step.what, &sources, &step.last)?;
            for (source, allowed) in &self.limits {
                if let Source::Derived(of, output) = source
                    && *of == at
                {
                    allowed.check(&step.name, true, &values[*output])?;
                }
            }
            done.push(values);
        }
        Ok(done)
    }
}
