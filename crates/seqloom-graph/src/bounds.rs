//! What ids and lengths may be: every u32 tensor is traced to the input or literal it comes from, and the limits of the
//! operations that index with it are put there, so a wrong id is found on the host before the device reads past a table.

use std::ops::RangeInclusive;

use crate::derive::Derivation;
use crate::error::{GraphError, Location};
use crate::graph::{InputSpec, Node, NodeId, intersection};
use crate::op::Op;

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
pub(crate) fn bounds(nodes: &[Node], inputs: &[InputSpec]) -> Result<Vec<Allowed>, GraphError> {
    let mut allowed: Vec<_> = inputs.iter().map(|i| Allowed { range: i.range.clone(), also: None }).collect();
    for node in nodes {
        let (operand, limit, op) = match node.op {
            Op::Gather => (1, below(nodes[node.inputs[0]].shape[0], None), "gather_rows"),
            Op::CrossEntropy { ignore_index, .. } => {
                (1, below(nodes[node.inputs[0]].shape[1], ignore_index), "cross_entropy")
            }
            Op::Host(Derivation::Packing { time, .. }) => (0, length(time), "lengths"),
            Op::Host(Derivation::PackIds { time, .. }) => (1, length(time), "lengths"),
            Op::Attention(attending) => {
                let Some(operand) = attending.lengths_at() else { continue };
                let keys = u32::try_from(nodes[node.inputs[1]].shape[1]).unwrap_or(u32::MAX);
                (operand, Allowed { range: Some(0..=keys), also: None }, "attention")
            }
            _ => continue,
        };
        let mut source = source(nodes, node.inputs[operand]);
        if let Op::Output(_) = nodes[source].op {
            let main = &nodes[nodes[source].inputs[0]];
            let Op::Host(Derivation::PackIds { fill, .. }) = main.op else {
                // Tables are right by the way they are made.
                continue;
            };
            limit.check("fill of surplus rows", &[fill])?;
            source = self::source(nodes, main.inputs[0]);
        }
        match &nodes[source].op {
            Op::Input(index) => allowed[*index].narrow(limit),
            Op::Literal(values) => limit.check("literal", values)?,
            _ => return Err(untraceable(op, node.at)),
        }
    }
    Ok(allowed)
}

fn length(time: usize) -> Allowed {
    Allowed { range: Some(1..=u32::try_from(time).unwrap_or(u32::MAX)), also: None }
}

fn below(count: usize, also: Option<u32>) -> Allowed {
    Allowed { range: Some(0..=u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX)), also }
}

/// Where the elements of a moved tensor come from; padding, which would add zeros, is for f32 alone.
fn source(nodes: &[Node], mut id: NodeId) -> NodeId {
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
