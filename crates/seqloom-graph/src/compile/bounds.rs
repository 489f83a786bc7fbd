//! Limits of ids and lengths. Each operation that indexes with a u32 tensor limits it. Every such tensor comes from the
//! host, which checks the elements before a run writes anything, so no device reads past a table.
//!
//! A limit belongs to one use, not to an input: one slice of tokens [B, T+1] may be ids, and another one targets, some
//! of them ignored.

use std::ops::RangeInclusive;

use crate::ir::error::GraphError;
use crate::ir::nodes::{Node, Nodes};
use crate::ir::op::Op;
use crate::ir::payload::{Alignment, Derivation};
use crate::ir::specs::NodeId;

/// Values that the elements of a tensor may have.
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

    /// Whether every number below `count` is allowed.
    fn allows_below(&self, count: usize) -> bool {
        let last = count.checked_sub(1).and_then(|last| u32::try_from(last).ok());
        self.range
            .as_ref()
            .is_none_or(|range| last.is_some_and(|last| *range.start() == 0 && last <= *range.end()))
    }

    /// What a number may be to which this many are added before it is used; no number if they are too many.
    pub(crate) fn less(self, steps: usize) -> Self {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let range = self.range.map(|r| match r.end().checked_sub(steps) {
            Some(end) => r.start().saturating_sub(steps)..=end,
            None => RangeInclusive::new(1, 0),
        });
        Self { range, ..self }
    }

    /// Finds the first value that is not allowed; `name` is the input it comes from, as it is or `derived`.
    pub(crate) fn check(&self, name: &str, derived: bool, values: &[u32]) -> Result<(), GraphError> {
        let Some(range) = &self.range else { return Ok(()) };
        match values.iter().position(|&v| self.refuses(v)) {
            None => Ok(()),
            Some(index) => Err(GraphError::OutOfRange {
                name: name.to_owned(),
                derived,
                index,
                value: values[index],
                low: *range.start(),
                high: *range.end(),
            }),
        }
    }
}

/// What an operation allows of an operand that it indexes with.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    /// The operation.
    pub at: NodeId,
    /// The operand.
    pub of: NodeId,
    pub allowed: Allowed,
}

/// The limits of all operations, in their order.
pub(crate) fn bounds(nodes: &Nodes) -> Vec<Limit> {
    let limits = |(at, node): (NodeId, &Node)| {
        let of_operand = |(operand, allowed): (usize, Allowed)| {
            let of = node.inputs[operand];
            // What the device makes cannot be checked, and needs no check where it cannot be too large.
            let made = made_by_device(nodes, of).is_some_and(|made| allowed.allows_below(made));
            (!made).then_some(Limit { at, of, allowed })
        };
        limits(nodes, node).into_iter().filter_map(of_operand).collect::<Vec<_>>()
    };
    nodes.iter().flat_map(limits).collect()
}

/// Of indices that the device makes, what they are below.
fn made_by_device(nodes: &Nodes, id: NodeId) -> Option<usize> {
    let node = &nodes[nodes.base(id)];
    match node.op {
        Op::Arg { axis, .. } => Some(nodes[node.inputs[0]].shape[axis]),
        _ => None,
    }
}

/// The operands that the operation indexes with, and what each may hold.
fn limits(nodes: &Nodes, node: &Node) -> Vec<(usize, Allowed)> {
    let Op::Ctc(Alignment { most: [steps, labels], .. }) = node.op else {
        return limit(nodes, node).into_iter().collect();
    };
    let classes = nodes[node.inputs[0]].shape[2];
    vec![(1, below(classes, None)), (2, between(0, steps)), (3, between(0, labels))]
}

/// The operand that an operation indexes with that has one, and what it may hold.
fn limit(nodes: &Nodes, node: &Node) -> Option<(usize, Allowed)> {
    let shape = |operand: usize| nodes[node.inputs[operand]].shape;
    Some(match node.op {
        Op::Gather | Op::Host(Derivation::Pick { .. }) => (1, below(shape(0)[0], None)),
        Op::Host(Derivation::Segments { vocab }) => (0, below(vocab, None)),
        Op::Pick => (1, below(shape(0)[1], None)),
        Op::Host(Derivation::Picks { len, .. }) => (0, below(len, None)),
        Op::ToF32 { below: Some(count) } => (0, below(count, None)),
        Op::CrossEntropy { ignore_index, .. } => (1, below(shape(0)[1], ignore_index)),
        Op::Host(Derivation::Packing { time, .. }) => (0, between(1, time)),
        Op::Host(Derivation::PackIds { time, .. }) => (1, between(1, time)),
        // Rows of no sequence can go anywhere, as recorded T is at most S.
        Op::Append => (2, between(0, shape(0)[1] - shape(1)[1])),
        Op::Attention(attending) => (attending.lengths_at()?, between(0, shape(1)[1])),
        _ => return None,
    })
}

fn between(low: u32, most: usize) -> Allowed {
    Allowed { range: Some(low..=u32::try_from(most).unwrap_or(u32::MAX)), also: None }
}

/// Of none, no number is below.
fn below(count: usize, also: Option<u32>) -> Allowed {
    let last = count.checked_sub(1).map(|last| u32::try_from(last).unwrap_or(u32::MAX));
    Allowed { range: Some(last.map_or(RangeInclusive::new(1, 0), |last| 0..=last)), also }
}
