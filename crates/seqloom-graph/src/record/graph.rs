//! The recording in progress, as node numbers.
//!
//! Users write it with [`crate::Tensor`], which knows its graph; so this file knows no tensors.

use std::cell::{Ref, RefCell, RefMut};
use std::sync::Arc;

use crate::ir::error::{GraphError, Location, Result};
use crate::ir::layout::DType;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::recording::Recording;
use crate::ir::shape::{MAX_RANK, Shape};
use crate::ir::specs::{NodeId, ParamId};
use crate::record::params::{ParamSpec, Params};

/// A model being recorded: a list of operations over concrete shapes.
///
/// A mistake does not stop the recording. Its tensor is *poisoned*, and so is everything computed from it;
/// [`Graph::check`] or compiling returns the first mistake.
#[derive(Debug)]
pub struct Graph {
    recording: RefCell<Recording>,
    /// Of the registry that it is recorded over.
    origin: u64,
    /// The parameters that `param` can name.
    params: Arc<[ParamSpec]>,
    training: bool,
}

impl Graph {
    /// An empty graph over these parameters that records a training step: dropout is active.
    #[must_use]
    pub fn training(params: &Params) -> Self {
        Self::over(params.origin(), params.known(), true)
    }

    /// An empty graph over these parameters that records inference: dropout passes its operand on.
    #[must_use]
    pub fn inference(params: &Params) -> Self {
        Self::over(params.origin(), params.known(), false)
    }

    pub(crate) fn over(origin: u64, params: Arc<[ParamSpec]>, training: bool) -> Self {
        Self { recording: RefCell::default(), origin, params, training }
    }

    /// The identity that it shares with its registry.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// Whether layers should behave as in training.
    #[must_use]
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// The first mistake made while recording.
    ///
    /// # Errors
    /// That mistake, with the operation, the shapes, and file and line of the model's code.
    pub fn check(&self) -> Result<(), GraphError> {
        self.recording.borrow().error.clone().map_or(Ok(()), Err)
    }

    /// Records a node over operands of lower numbers and returns its number. A poisoned operand replaces it.
    pub(crate) fn record(
        &self,
        op: Op,
        inputs: Vec<NodeId>,
        shape: Shape,
        dtype: DType,
        at: Location,
    ) -> NodeId {
        let nodes = &mut self.recording.borrow_mut().nodes;
        if let Some(&poisoned) = inputs.iter().find(|&&input| nodes[input].op == Op::Poison) {
            return poisoned;
        }
        nodes.push(Node { op, inputs, shape, dtype, at });
        nodes.len() - 1
    }

    /// A parameter, if it belongs to this graph's registry.
    pub(crate) fn param_spec(&self, id: ParamId) -> Option<&ParamSpec> {
        self.params.get(id.index()).filter(|spec| spec.is(id))
    }

    /// Whether this is a parameter that is trained, not a constant.
    pub(crate) fn trains(&self, id: ParamId) -> bool {
        self.param_spec(id).is_some_and(|spec| spec.trained)
    }

    /// Number of parameters that this graph is over.
    pub(crate) fn param_count(&self) -> usize {
        self.params.len()
    }

    /// Keeps a mistake, if it is the first.
    pub(crate) fn mistake(&self, error: GraphError) {
        self.recording.borrow_mut().error.get_or_insert(error);
    }

    /// Number of recorded dropouts, including those of attention weights: with probabilities above 0, in a training
    /// graph.
    #[must_use]
    pub fn dropout_calls(&self) -> u32 {
        self.recording.borrow().streams
    }

    /// A number that tells this graph's calls of dropout apart.
    pub(crate) fn next_stream(&self) -> u32 {
        let mut recording = self.recording.borrow_mut();
        recording.streams += 1;
        recording.streams
    }

    /// A shape of these dimensions; more than six, or more elements than a device can index, are kept as the error.
    pub(crate) fn shape(&self, op: &'static str, dims: &[usize], at: Location) -> Option<Shape> {
        let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let countable = elements.is_some_and(|n| u32::try_from(n).is_ok());
        let shape = Shape::new(dims).filter(|_| countable);
        if shape.is_none() {
            let detail =
                format!("shape {dims:?} has more than {MAX_RANK} dimensions or more than 2^32-1 elements");
            self.mistake(GraphError::Argument { op, detail, at });
        }
        shape
    }

    pub(crate) fn recording(&self) -> Ref<'_, Recording> {
        self.recording.borrow()
    }

    /// For declarations of inputs, parameters and states.
    pub(crate) fn recording_mut(&self) -> RefMut<'_, Recording> {
        self.recording.borrow_mut()
    }
}
