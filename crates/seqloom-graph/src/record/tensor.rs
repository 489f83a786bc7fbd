//! The handle that models are written with.

use std::fmt;
use std::panic::Location as Caller;

use crate::ir::error::{GraphError, Location, Result};
use crate::ir::layout::DType;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::shape::Shape;
use crate::ir::specs::NodeId;
use crate::record::graph::Graph;

/// A tensor of a graph being recorded: a `Copy` handle, so mathematics reads as mathematics.
///
/// No method panics or returns a `Result`: a mistake poisons the tensor with the operation, the shapes and the caller's
/// file and line, and [`Graph::check`] or [`crate::Program::compile`] returns it. Dimensions in the methods' docs: B batch,
/// T time, C channels, H hidden, V vocabulary.
///
/// # Not a number
///
/// WGSL lets a driver assume that there is no NaN and no infinity, so nothing below is promised. It is what the kernels are written
/// for and what the tests find on Mesa's drivers. A NaN of an operand gives:
///
/// | operation | result |
/// |---|---|
/// | arithmetic and functions of one operand, also `clamp`; but 0 for `sign` | NaN |
/// | `pow` | NaN, but 1 for x⁰ and 1^b |
/// | `select` | the first side where the condition is NaN; of a side, where it is taken |
/// | `maximum`, `minimum`, `max`, `min`, `prod`, `logsumexp` | NaN, from whichever operand or element |
/// | `argmax`, `argmin` | the index of the first NaN |
/// | `cumsum` | NaN there and in the sums behind it |
/// | `greater`, `less`, `equal`, `greater_equal`, `less_equal` | 0 |
/// | `sum`, `mean`, `matmul` and its like | NaN wherever it is a term, also times 0 |
/// | `softmax`, `log_softmax`, `layer_norm`, `rms_norm` | its whole row is NaN |
/// | `cross_entropy` | NaN, unless the row's target is the ignored one |
/// | `ctc` | NaN, if a state of the target reads it |
/// | `attention` | NaN for each query that sees it; for others where a mask hides it (0 times NaN); rows past a length are not read |
/// | `dropout` | NaN, or 0 where it is dropped |
/// | gradients of the functions above | NaN, but 0 through a comparison (`relu`, `clamp`, `maximum`, `minimum`, `abs`), the incoming gradient times 1 or the slope through `hard_swish` and `leaky_relu` |
///
/// A training step does not rely on this: the optimizer reads from the bits of each gradient whether it is finite, and skips the
/// step if one is not.
#[derive(Clone, Copy)]
pub struct Tensor<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) id: NodeId,
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {})", self.dtype(), self.shape())
    }
}

impl<'g> Tensor<'g> {
    /// The graph it belongs to.
    #[must_use]
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    /// Its dimensions; a poisoned tensor looks like a scalar.
    #[must_use]
    pub fn shape(self) -> Shape {
        self.graph.recording().nodes[self.id].shape
    }

    /// Number of dimensions.
    #[must_use]
    pub fn rank(self) -> usize {
        self.shape().rank()
    }

    /// Size of dimension `axis`, or 1 where there is none (as in a poisoned tensor).
    #[must_use]
    pub fn dim(self, axis: usize) -> usize {
        self.shape().get(axis).copied().unwrap_or(1)
    }

    /// Type of its elements.
    #[must_use]
    pub fn dtype(self) -> DType {
        self.graph.recording().nodes[self.id].dtype
    }

    /// Whether it stands for a mistake recorded earlier.
    #[must_use]
    pub fn is_poisoned(self) -> bool {
        self.graph.recording().nodes[self.id].op == Op::Poison
    }

    /// A poisoned tensor for a mistake that a layer finds in this operand: `op` is the layer's name, `detail` what it needs.
    #[track_caller]
    #[must_use]
    pub fn refused(self, op: &'static str, detail: &str) -> Self {
        self.shape_error(op, &[], detail, here())
    }

    pub(crate) fn node(self) -> Node {
        self.graph.recording().nodes[self.id].clone()
    }

    /// Records an operation on this tensor alone.
    pub(crate) fn unary_node(self, op: Op, shape: Shape, at: Location) -> Self {
        self.graph.push(op, &[self], shape, self.dtype(), at)
    }

    /// Poisons with a shape mistake of `op` over these operands; keeps an earlier poison as it is.
    pub(crate) fn shape_error(self, op: &'static str, others: &[Self], detail: &str, at: Location) -> Self {
        if let Some(poisoned) = [self].iter().chain(others).find(|t| t.is_poisoned()) {
            return *poisoned;
        }
        let shapes = std::iter::once(self).chain(others.iter().copied()).map(Tensor::shape).collect();
        self.graph.poison(GraphError::Shape { op, shapes, detail: detail.to_owned(), at }, at)
    }

    /// Poisons with a wrong argument of `op`.
    pub(crate) fn argument_error(self, op: &'static str, detail: String, at: Location) -> Self {
        if self.is_poisoned() { self } else { self.graph.poison(GraphError::Argument { op, detail, at }, at) }
    }

    /// A poisoned tensor if the operands cannot stand together in `op`: another graph, another element type.
    pub(crate) fn refuse(self, op: &'static str, operands: &[(Self, DType)], at: Location) -> Option<Self> {
        for &(tensor, needs) in operands {
            if !std::ptr::eq(tensor.graph, self.graph) {
                return Some(self.graph.poison(GraphError::ForeignTensor { op, at }, at));
            }
            if tensor.is_poisoned() {
                return Some(tensor);
            }
            if tensor.dtype() != needs {
                let error = GraphError::DType { op, needs, has: tensor.dtype(), at };
                return Some(self.graph.poison(error, at));
            }
        }
        None
    }

    /// An axis counted from the front, or from the back where negative.
    pub(crate) fn axis(self, op: &'static str, axis: isize, at: Location) -> Result<usize, Self> {
        let rank = self.rank() as isize;
        let index = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&index) {
            Ok(index as usize)
        } else {
            Err(self.shape_error(op, &[], &format!("axis {axis} is not one of its dimensions"), at))
        }
    }
}

impl Graph {
    /// Records a node. An operand that is poisoned poisons it.
    pub(crate) fn push(
        &self,
        op: Op,
        inputs: &[Tensor<'_>],
        shape: Shape,
        dtype: DType,
        at: Location,
    ) -> Tensor<'_> {
        let inputs = inputs.iter().map(|tensor| tensor.id).collect();
        Tensor { graph: self, id: self.record(op, inputs, shape, dtype, at) }
    }

    /// Records a node with several outputs, which follow it directly; gives the outputs.
    pub(crate) fn push_outputs(
        &self,
        op: Op,
        inputs: &[Tensor<'_>],
        outputs: &[(Shape, DType)],
        at: Location,
    ) -> Vec<Tensor<'_>> {
        let main = self.push(op, inputs, Shape::scalar(), DType::F32, at);
        outputs
            .iter()
            .enumerate()
            .map(|(i, &(shape, dtype))| self.push(Op::Output(i), &[main], shape, dtype, at))
            .collect()
    }

    /// Keeps the error if it is the first, and gives a poisoned tensor.
    pub(crate) fn poison(&self, error: GraphError, at: Location) -> Tensor<'_> {
        self.mistake(error);
        self.poisoned(at)
    }

    /// A tensor that stands for a mistake kept before.
    pub(crate) fn poisoned(&self, at: Location) -> Tensor<'_> {
        self.push(Op::Poison, &[], Shape::scalar(), DType::F32, at)
    }
}

/// The place in the model's code that called a recording method.
#[track_caller]
pub(crate) fn here() -> Location {
    Location(Caller::caller())
}
