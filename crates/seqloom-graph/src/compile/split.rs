//! Views that go over more axes than a kernel counts, as several views that do not.
//!
//! Tensors have up to six axes, kernels count four. Nearly every view is within that once its axes are counted together
//! ([`together`]): ViT's patches, PyTorch's joint projection of queries, keys and values. What is not becomes two views, the inner
//! of which lies in memory: stretching and slices first along the last three axes, then along the others; another order of axes
//! by way of an order that both copies can count (three for the one that turns all six around). A kernel of six axes would pay its
//! divisions and immediates in every other view.

use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::payload::Cut;
use crate::ir::roots::Roots;
use crate::ir::shape::{MAX_RANK, Shape};
use crate::ir::steps::{orders, together};
use crate::ir::view::steps;

/// Axes that the first of two views moves: each of these, and all others as one, are four.
const LAST: usize = 3;

/// The nodes with such views split, the roots, and how many views were added.
pub(crate) fn split(list: Vec<Node>, mut roots: Roots) -> (Vec<Node>, Roots, usize) {
    let recorded = list.len();
    let mut new: Vec<Node> = Vec::with_capacity(recorded);
    let mut map = Vec::with_capacity(recorded);
    for mut node in list {
        node.inputs.iter_mut().for_each(|input| *input = map[*input]);
        // Each turn leaves less to do: at most three for six axes.
        while let Some(first) = node.inputs.first().copied().and_then(|x| part(&node, new[x].shape)) {
            let (op, shape) = first.done;
            new.push(Node { op, shape, ..node.clone() });
            (node.op, node.inputs) = (first.left, vec![new.len() - 1]);
        }
        map.push(new.len());
        new.push(node);
    }
    roots.iter_mut().for_each(|root| *root = map[*root]);
    let added = new.len() - recorded;
    (new, roots, added)
}

/// A part of a view that kernels can count, with its shape, and what is left to do.
struct Part {
    done: (Op, Shape),
    left: Op,
}

/// The first part of a view of a tensor of shape `from`, if the whole is too much.
fn part(node: &Node, from: Shape) -> Option<Part> {
    let (op, to) = (&node.op, node.shape);
    if countable(op, from, to)? {
        return None;
    }
    let first = to.rank().saturating_sub(LAST);
    match *op {
        Op::Broadcast => {
            let lead = to.rank() - from.rank();
            let before = (0..first).map(|axis| if axis < lead { 1 } else { from[axis - lead] });
            let dims: Vec<usize> = before.chain(to[first..].iter().copied()).collect();
            Some(Part { done: (Op::Broadcast, Shape::new(&dims)?), left: Op::Broadcast })
        }
        Op::Slice(cut) => {
            let (mut last, mut others) = (cut, cut);
            for axis in 0..MAX_RANK {
                let whole = if axis < first { &mut last } else { &mut others };
                (whole.starts[axis], whole.steps[axis]) = (Cut::WHOLE.starts[axis], Cut::WHOLE.steps[axis]);
            }
            let dims = [&from[..first], &to[first..]].concat();
            Some(Part { done: (Op::Slice(last), Shape::new(&dims)?), left: Op::Slice(others) })
        }
        Op::Permute(order) => {
            let permuted = |order: &[u8; MAX_RANK]| {
                let dims: Vec<usize> =
                    order[..from.rank()].iter().map(|&axis| from[usize::from(axis)]).collect();
                Shape::new(&dims)
            };
            // From the order `by` to that of the whole.
            let rest =
                |by: &[u8; MAX_RANK]| order.map(|axis| by.iter().position(|&a| a == axis).unwrap_or(0) as u8);
            let all = orders(from.rank());
            let within = |by: &&[u8; MAX_RANK]| {
                permuted(by).is_some_and(|shape| countable(&Op::Permute(**by), from, shape) == Some(true))
            };
            // Moves that the rest keeps: neighbours of the result that are neighbours already.
            let apart = |by: &&[u8; MAX_RANK]| {
                rest(by)[..from.rank()].windows(2).filter(|pair| pair[0] + 1 != pair[1]).count()
            };
            let by = *all.iter().filter(within).min_by_key(apart)?;
            Some(Part { done: (Op::Permute(by), permuted(&by)?), left: Op::Permute(rest(&by)) })
        }
        _ => None,
    }
}

/// Whether a kernel counts the axes of a view; none of what is no view, or has no elements to go through.
fn countable(op: &Op, from: Shape, to: Shape) -> Option<bool> {
    let steps = steps(op, from, to)?;
    (to.elements() > 0 && to.rank() > LAST).then(|| together(&[steps]).is_some())
}

#[cfg(test)]
mod tests {
    use std::panic::Location as Caller;

    use super::*;
    use crate::ir::error::Location;
    use crate::ir::layout::DType;
    use crate::ir::steps::elements;
    use crate::ir::view::view;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).unwrap()
    }

    /// How many views a view becomes; together they take its elements, and each is within what kernels count.
    fn parts(op: Op, from: &[usize], to: &[usize]) -> usize {
        let at = Location(Caller::caller());
        let node = |op, inputs, shape| Node { op, inputs, shape, dtype: DType::F32, at };
        let whole = node(op.clone(), vec![0], shape(to));
        let list = vec![node(Op::Input(0), vec![], shape(from)), whole];
        let (list, roots, added) =
            split(list, Roots { outputs: vec![("y".to_owned(), 1)], ..Roots::default() });
        assert_eq!(roots.outputs[0].1, 1 + added);
        let x: Vec<u32> = (0..shape(from).elements() as u32).collect();
        let mut got = x.clone();
        for (at, node) in list.iter().enumerate().skip(1) {
            let from = list[node.inputs[0]].shape;
            assert_eq!(
                (node.inputs[0], countable(&node.op, from, node.shape)),
                (at - 1, Some(true)),
                "{op:?}"
            );
            got = elements(&view(&node.op, from, node.shape).unwrap(), &got);
        }
        assert_eq!(got, elements(&view(&op, shape(from), shape(to)).unwrap(), &x), "{op:?}");
        1 + added
    }

    #[test]
    fn every_order_of_axes_is_at_most_three_copies() {
        let mut counts = [0; 4];
        for order in orders(6) {
            let to = order.map(|axis| [2, 3, 4, 2, 3, 2][usize::from(axis)]);
            counts[parts(Op::Permute(order), &[2, 3, 4, 2, 3, 2], &to)] += 1;
        }
        assert_eq!(counts.iter().sum::<usize>(), 720);
        assert_eq!(counts[3], 1, "{counts:?}");
        for order in orders(5) {
            let to: Vec<usize> = order[..5].iter().map(|&axis| [2, 3, 4, 2, 3][usize::from(axis)]).collect();
            assert!(parts(Op::Permute(order), &[2, 3, 4, 2, 3], &to) <= 2);
        }
    }

    #[test]
    fn slices_and_stretching_are_at_most_two() {
        let cut = Cut { starts: [0, 1, 2, 1, 0, 2], steps: [1, 2, -1, 1, 2, -2] };
        assert_eq!(parts(Op::Slice(cut), &[3, 4, 3, 4, 5, 3], &[2, 2, 3, 2, 3, 2]), 2);
        assert_eq!(parts(Op::Broadcast, &[2, 1, 3, 1, 2, 1], &[2, 3, 3, 2, 2, 3]), 2);
        assert_eq!(parts(Op::Broadcast, &[1, 3, 1, 2, 1], &[4, 2, 3, 2, 2, 3]), 2);
        assert_eq!(parts(Op::Broadcast, &[3, 1, 1], &[4, 2, 2, 3, 2, 3]), 1);
    }
}
