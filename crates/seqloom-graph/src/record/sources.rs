//! Tensors that no operation computes: inputs, parameters, carried states, numbers known at recording.
//!
//! A name recorded twice with the same shape and type gives the same tensor, so layers need not pass inputs around.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::ir::error::{GraphError, Location};
use crate::ir::host_tensor::HostTensor;
use crate::ir::layout::DType;
use crate::ir::op::Op;
use crate::ir::shape::Shape;
use crate::ir::specs::{InputSpec, ParamId, StateSpec, intersection};
use crate::record::graph::Graph;
use crate::record::tensor::{Tensor, here};

impl Graph {
    /// A tensor that the host writes before each run, under this name. Recording a name again with the same shape and
    /// type gives the same tensor.
    #[track_caller]
    pub fn input(&self, name: &str, shape: &[usize], dtype: DType) -> Tensor<'_> {
        self.ranged_input(name, shape, dtype, None)
    }

    /// Input of token ids, each below `below`: the host checks every run and names the first that is not.
    #[track_caller]
    pub fn ids(&self, name: &str, shape: &[usize], below: usize) -> Tensor<'_> {
        let last = below.checked_sub(1).map(|last| u32::try_from(last).unwrap_or(u32::MAX));
        // Of none, no id is below.
        let range = last.map_or(RangeInclusive::new(1, 0), |last| 0..=last);
        self.ranged_input(name, shape, DType::U32, Some(range))
    }

    /// Input with the shape and type of a tensor on the host; its values are not recorded.
    #[track_caller]
    pub fn feed(&self, name: &str, like: &HostTensor) -> Tensor<'_> {
        self.input(name, &like.shape(), like.dtype())
    }

    #[track_caller]
    pub(crate) fn ranged_input(
        &self,
        name: &str,
        shape: &[usize],
        dtype: DType,
        range: Option<RangeInclusive<u32>>,
    ) -> Tensor<'_> {
        let at = here();
        let Some(shape) = self.shape("input", shape, at) else { return self.poisoned(at) };
        let mut recording = self.recording_mut();
        if let Some(index) = recording.inputs.iter().position(|i| i.name == name) {
            let spec = &mut recording.inputs[index];
            if spec.shape != shape || spec.dtype != dtype {
                let error = GraphError::InputTwice {
                    name: name.to_owned(),
                    has: spec.shape,
                    has_dtype: spec.dtype,
                    at,
                };
                drop(recording);
                return self.poison(error, at);
            }
            // Two uses may each limit the values; both limits hold.
            spec.range = intersection(spec.range.take(), range);
            if let Some(id) = recording.nodes.iter().position(|n| n.op == Op::Input(index)) {
                return Tensor { graph: self, id };
            }
            // Recorded by mistake: there is no node, only the kept error.
            drop(recording);
            return self.poisoned(at);
        }
        recording.inputs.push(InputSpec { name: name.to_owned(), shape, dtype, range });
        let index = recording.inputs.len() - 1;
        drop(recording);
        self.push(Op::Input(index), &[], shape, dtype, at)
    }

    /// A parameter, or a constant of [`crate::Params::constant`], through which no gradient flows. One of another registry than
    /// the graph's, or one registered after the graph was made,
    /// poisons it.
    #[track_caller]
    pub fn param(&self, id: ParamId) -> Tensor<'_> {
        let at = here();
        if let Some(&node) = self.recording().params.get(&id) {
            return Tensor { graph: self, id: node };
        }
        let Some(shape) = self.param_spec(id).map(|spec| spec.shape) else {
            let error = GraphError::ForeignParam { id: id.index(), count: self.param_count(), at };
            return self.poison(error, at);
        };
        let tensor = self.push(Op::Param(id), &[], shape, DType::F32, at);
        self.recording_mut().params.insert(id, tensor.id);
        tensor
    }

    /// A tensor that stays on the device: the tensor that the last run over these parameters kept under this name
    /// ([`Graph::keep`]), 0 before the first run and after [`crate::ParamStore::reset_states`]. No gradient flows
    /// through it. Training and inference graphs have separate states. A run that would carry it in another shape than
    /// the last one is an error.
    #[track_caller]
    pub fn state(&self, name: &str, shape: &[usize]) -> Tensor<'_> {
        let at = here();
        let Some(shape) = self.shape("state", shape, at) else { return self.poisoned(at) };
        let index = self.recording().states.iter().position(|s| s.name == name);
        if let Some(index) = index {
            let recording = self.recording();
            let has = recording.states[index].shape;
            let node = recording.nodes.iter().position(|n| n.op == Op::State(index));
            drop(recording);
            return match node {
                Some(id) if has == shape => Tensor { graph: self, id },
                _ => {
                    let name = name.to_owned();
                    self.poison(GraphError::InputTwice { name, has, has_dtype: DType::F32, at }, at)
                }
            };
        }
        let mut recording = self.recording_mut();
        recording.states.push(StateSpec { name: name.to_owned(), shape, kept: None });
        let index = recording.states.len() - 1;
        drop(recording);
        self.push(Op::State(index), &[], shape, DType::F32, at)
    }

    /// The state that was recorded under this name.
    pub(crate) fn known_state(&self, name: &str) -> Option<Tensor<'_>> {
        let recording = self.recording();
        let index = recording.states.iter().position(|state| state.name == name)?;
        let id = recording.nodes.iter().position(|node| node.op == Op::State(index))?;
        Some(Tensor { graph: self, id })
    }

    /// After each run the state `name` holds this tensor, of its shape. A mistake is kept as the recording's error: a state
    /// that was not read, one kept twice, a tensor of another shape or type.
    #[track_caller]
    pub fn keep(&self, name: &str, tensor: Tensor<'_>) {
        let at = here();
        if !std::ptr::eq(tensor.graph, self) {
            self.poison(GraphError::ForeignTensor { op: "keep", at }, at);
            return;
        }
        if tensor.refuse("keep", &[(tensor, DType::F32)], at).is_some() {
            return;
        }
        let shape = tensor.shape();
        let mut recording = self.recording_mut();
        let fault = match recording.states.iter_mut().find(|s| s.name == name) {
            Some(state) if state.shape == shape && state.kept.is_none() => {
                state.kept = Some(tensor.id);
                return;
            }
            Some(state) if state.kept.is_some() => format!("state '{name}' is kept twice"),
            Some(state) => format!("state '{name}' has shape {}, not {shape}", state.shape),
            None => format!("no state '{name}' was read"),
        };
        drop(recording);
        self.poison(GraphError::Argument { op: "keep", detail: fault, at }, at);
    }

    /// A tensor of one value, known now.
    #[track_caller]
    pub fn full(&self, shape: &[usize], value: f32) -> Tensor<'_> {
        let len = shape.iter().product();
        self.literal(shape, vec![value; len])
    }

    /// A tensor of numbers known now, in row-major order.
    #[track_caller]
    pub fn literal(&self, shape: &[usize], values: Vec<f32>) -> Tensor<'_> {
        self.literal_bits(shape, values.into_iter().map(f32::to_bits).collect(), DType::F32)
    }

    /// A tensor of ids or lengths known now, in row-major order.
    #[track_caller]
    pub fn literal_u32(&self, shape: &[usize], values: Vec<u32>) -> Tensor<'_> {
        self.literal_bits(shape, values.into(), DType::U32)
    }

    #[track_caller]
    fn literal_bits(&self, shape: &[usize], bits: Arc<[u32]>, dtype: DType) -> Tensor<'_> {
        let at = here();
        let Some(shape) = self.shape("literal", shape, at) else { return self.poisoned(at) };
        if shape.elements() != bits.len() {
            return self.poison(GraphError::HostShape { shape: shape.to_vec(), len: bits.len() }, at);
        }
        self.push(Op::Literal(bits), &[], shape, dtype, at)
    }

    pub(crate) fn constant(&self, value: f32, at: Location) -> Tensor<'_> {
        self.push(Op::Constant(value.to_bits()), &[], Shape::scalar(), DType::F32, at)
    }

    /// A number that follows from shapes. Unlike a constant it is not in the kernels' text, so programs of other shapes
    /// can share pipelines.
    pub(crate) fn count(&self, number: usize, at: Location) -> Tensor<'_> {
        let bits: Arc<[u32]> = [(number as f32).to_bits()].into();
        self.push(Op::Literal(bits), &[], Shape::scalar(), DType::F32, at)
    }
}
