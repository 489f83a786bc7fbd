//! What ids and lengths may be: every u32 tensor is traced to the input or literal it comes from, and the limits of the
//! operations that index with it are put there, so a wrong id is found on the host before the device reads past a table.

use std::ops::RangeInclusive;

use crate::ir::error::{GraphError, Location, Result};
use crate::ir::nodes::Nodes;
use crate::ir::op::Op;
use crate::ir::payload::Derivation;
use crate::ir::specs::{InputSpec, NodeId, intersection};

/// Values that an input may hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    /// Least and greatest value, both allowed; `None` where any will do.
    pub range: Option<RangeInclusive<u32>>,
    /// A value outside the range that is allowed too: the target that does not count.
    pub also: Option<u32>,
}

impl Allowed {
    fn refuses(&self, value: u32) -> bool {
        self.range.as_ref().is_some_and(|r| !r.contains(&value)) && self.also != Some(value)
    }

    /// What a number may be to which so many are added before it is used; no number if they are too many.
    fn less(self, steps: usize) -> Self {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let range = self.range.map(|r| match r.end().checked_sub(steps) {
            Some(end) => r.start().saturating_sub(steps)..=end,
            None => RangeInclusive::new(1, 0),
        });
        Self { range, ..self }
    }

    fn narrow(&mut self, other: Self) {
        self.range = intersection(self.range.take(), other.range);
        // A value outside one use's range must be allowed by that use; with two uses of targets both name it.
        self.also = self.also.or(other.also);
    }

    /// Finds the first value of input `name` that is not allowed.
    pub(crate) fn check(&self, name: &str, values: &[u32]) -> Result<(), GraphError> {
        let Some(range) = &self.range else { return Ok(()) };
        match values.iter().position(|&v| self.refuses(v)) {
            None => Ok(()),
            Some(index) => Err(GraphError::OutOfRange {
                name: name.to_owned(),
                index,
                value: values[index],
                low: *range.start(),
                high: *range.end(),
            }),
        }
    }
}

/// Limits of each input, in order; literals are checked at once.
pub(crate) fn bounds(nodes: &Nodes, inputs: &[InputSpec]) -> Result<Vec<Allowed>, GraphError> {
    let mut allowed: Vec<_> = inputs.iter().map(|i| Allowed { range: i.range.clone(), also: None }).collect();
    for (_, node) in nodes.iter() {
        let (operand, mut limit) = match node.op {
            Op::Gather => (1, below(nodes[node.inputs[0]].shape[0], None)),
            Op::CrossEntropy { ignore_index, .. } => (1, below(nodes[node.inputs[0]].shape[1], ignore_index)),
            Op::Host(Derivation::Packing { time, .. }) => (0, length(time)),
            Op::Host(Derivation::PackIds { time, .. }) => (1, length(time)),
            Op::Append => {
                let (cache, rows) = (nodes[node.inputs[0]].shape, nodes[node.inputs[1]].shape);
                // Rows of no sequence can go anywhere, as recorded T is at most S.
                (2, up_to(cache[1] - rows[1]))
            }
            Op::Attention(attending) => {
                let Some(operand) = attending.lengths_at() else { continue };
                (operand, up_to(nodes[node.inputs[1]].shape[1]))
            }
            _ => continue,
        };
        let mut source = source(nodes, node.inputs[operand]);
        if let Op::Output(output) = nodes[source].op {
            let main = &nodes[nodes[source].inputs[0]];
            match main.op {
                Op::Host(Derivation::PackIds { fill, .. }) => {
                    limit.check("fill of surplus rows", &[fill])?;
                }
                // Positions, or one more than the last of them.
                Op::Host(Derivation::Following { time, stride: 0 }) => {
                    limit = limit.less(if output == 0 { time.saturating_sub(1) } else { time });
                }
                // Tables are right by the way they are made.
                _ => continue,
            }
            source = self::source(nodes, main.inputs[0]);
        }
        match &nodes[source].op {
            Op::Input(index) => allowed[*index].narrow(limit),
            Op::Literal(values) => limit.check("literal", values)?,
            _ => return Err(untraceable(node.op.traits().name, node.at)),
        }
    }
    Ok(allowed)
}

fn length(time: usize) -> Allowed {
    Allowed { range: Some(1..=u32::try_from(time).unwrap_or(u32::MAX)), also: None }
}

fn up_to(most: usize) -> Allowed {
    Allowed { range: Some(0..=u32::try_from(most).unwrap_or(u32::MAX)), also: None }
}

fn below(count: usize, also: Option<u32>) -> Allowed {
    Allowed { range: Some(0..=u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX)), also }
}

/// Where the elements of a moved tensor come from; padding, which would add zeros, is for f32 alone.
fn source(nodes: &Nodes, mut id: NodeId) -> NodeId {
    while matches!(nodes[id].op, Op::Reshape | Op::Broadcast | Op::Permute(_) | Op::Window { .. }) {
        id = nodes[id].inputs[0];
    }
    id
}

fn untraceable(op: &'static str, at: Location) -> GraphError {
    let detail =
        "ids, targets and lengths must come from an input or a literal, so that the host can check them";
    GraphError::Unsupported { op, detail: detail.to_owned(), at }
}
