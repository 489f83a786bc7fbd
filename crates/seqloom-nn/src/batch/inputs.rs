//! The tensors of a batch, each named once.
//!
//! A builder takes name, shape and values; [`Inputs::bind`] gives a model the same tensors by name. So what is recorded and what
//! is fed cannot disagree. A mistake is kept and told by the step that uses it. A derive macro would save its user no line and
//! would be one more crate.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use seqloom_graph::{DType, Graph, HostTensor, Lengths, Tensor, packed_rows};

use crate::batch::listener::LossListener;
use crate::error::NnError;

/// Named tensors: a batch by itself, or what another batch is made of.
///
/// ```
/// # use seqloom_graph::{Graph, Params};
/// # use seqloom_nn::{Batch, Inputs};
/// let batch = Inputs::new()
///     .floats("x", &[2, 3, 1], vec![0.5, 1.0, 1.5, 2.0, 2.5, 0.0])
///     .lengths("steps", 3, vec![3, 2])
///     .ids("class", &[2], vec![4, 0]);
/// // In a model:
/// # let params = Params::seeded(1);
/// # let g = &Graph::inference(&params);
/// let inputs = batch.bind(g);
/// let (x, steps, class) = (inputs.get("x"), inputs.lengths("steps"), inputs.get("class"));
/// assert_eq!((&x.shape()[..], steps.rows(), class.dim(0)), (&[2, 3, 1][..], 5, 2));
/// ```
#[derive(Clone, Default)]
pub struct Inputs {
    named: Vec<Named>,
    fault: Option<NnError>,
    begins: bool,
    tokens: usize,
    listener: Option<Arc<dyn LossListener>>,
}

#[derive(Clone)]
struct Named {
    name: &'static str,
    tensor: HostTensor,
    /// Of lengths: the steps T of padded rows, and the packed rows that hold all true steps.
    steps: Option<(usize, usize)>,
}

impl Inputs {
    /// No tensors yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Inputs that stand for a mistake: every use of them returns `fault`.
    #[must_use]
    pub fn poisoned(fault: NnError) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// The same inputs and floats of this shape, in row-major order.
    ///
    /// A shape that does not hold the values, or a name that is taken, is the batch's fault ([`crate::Batch::fault`]); so with all below.
    #[must_use]
    pub fn floats(self, name: &'static str, shape: &[usize], values: Vec<f32>) -> Self {
        self.with(name, HostTensor::f32(shape, values).map_err(NnError::from), None)
    }

    /// The same inputs and ids of this shape, in row-major order. The operations that take them say how many there are, and
    /// the host checks that before each run.
    #[must_use]
    pub fn ids(self, name: &'static str, shape: &[usize], values: Vec<u32>) -> Self {
        self.with(name, HostTensor::u32(shape, values).map_err(NnError::from), None)
    }

    /// The same inputs and the true steps \[B\] of rows that are padded to `time` steps, each from 1 to `time`. They leave
    /// room for the packed rows ([`packed_rows`]) of these lengths alone, so recurrent layers compute little besides true
    /// steps; batches with another number of packed rows have another program.
    #[must_use]
    pub fn lengths(self, name: &'static str, time: usize, lengths: Vec<u32>) -> Self {
        let packed = packed_rows(&lengths, time);
        let tensor = HostTensor::u32(&[lengths.len()], lengths).map_err(NnError::from);
        self.with(name, tensor, Some((time, packed)))
    }

    /// As [`Inputs::lengths`], with room for all padded steps: for models that mask padding instead of packing true steps, so
    /// that one program serves all lengths.
    #[must_use]
    pub fn padded_lengths(self, name: &'static str, time: usize, lengths: Vec<u32>) -> Self {
        let rows = lengths.len();
        let tensor = HostTensor::u32(&[rows], lengths).map_err(NnError::from);
        self.with(name, tensor, Some((time, rows.saturating_mul(time))))
    }

    /// The same inputs and this tensor.
    #[must_use]
    pub fn tensor(self, name: &'static str, tensor: HostTensor) -> Self {
        self.with(name, Ok(tensor), None)
    }

    /// The same inputs, whose loss is the mean over `count` tokens or rows: for rates, and as the batch's weight in a mean over batches.
    #[must_use]
    pub fn counting(mut self, count: usize) -> Self {
        self.tokens = count;
        self
    }

    /// The same inputs, which begin new sequences: a model that carries its state starts it from 0.
    #[must_use]
    pub fn beginning(mut self) -> Self {
        self.begins = true;
        self
    }

    fn with(
        mut self,
        name: &'static str,
        tensor: Result<HostTensor, NnError>,
        steps: Option<(usize, usize)>,
    ) -> Self {
        let tensor = match tensor {
            Ok(_) if self.host(name).is_some() => Err("the name is taken".to_owned()),
            other => other.map_err(|fault| fault.to_string()),
        };
        match tensor {
            _ if self.fault.is_some() => {}
            Ok(tensor) => self.named.push(Named { name, tensor, steps }),
            Err(detail) => {
                self.named.clear();
                self.fault = Some(NnError::Batch { detail: format!("input '{name}': {detail}") });
            }
        }
        self
    }

    /// Leaves a tensor out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.named.retain(|has| has.name != name);
    }

    pub(crate) fn add(&mut self, name: &'static str, tensor: HostTensor) {
        *self = std::mem::take(self).tensor(name, tensor);
    }

    pub(crate) fn listen(&mut self, listener: Arc<dyn LossListener>) {
        self.listener = Some(listener);
    }

    /// A tensor by its name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&HostTensor> {
        self.named.iter().find(|has| has.name == name).map(|has| &has.tensor)
    }

    /// Size of an axis of a tensor; 0 if there is none.
    #[must_use]
    pub fn dim(&self, name: &str, axis: usize) -> usize {
        self.host(name).and_then(|tensor| tensor.shape().get(axis).copied()).unwrap_or(0)
    }

    /// The tensors by name, in the order in which they were given.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, &HostTensor)> {
        self.named.iter().map(|has| (has.name, &has.tensor)).collect()
    }

    /// What a recording depends on besides names, types and shapes: the steps and packed rows of lengths.
    #[must_use]
    pub fn packing(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.named.iter().filter_map(|has| has.steps).for_each(|steps| steps.hash(&mut hasher));
        hasher.finish()
    }

    /// These inputs as tensors of a graph.
    #[must_use]
    pub fn bind<'g>(&self, g: &'g Graph) -> Bound<'_, 'g> {
        Bound { inputs: self, g }
    }

    pub(crate) fn first_fault(&self) -> Option<&NnError> {
        self.fault.as_ref()
    }

    pub(crate) fn begin(&self) -> bool {
        self.begins
    }

    pub(crate) fn count(&self) -> usize {
        self.tokens
    }

    pub(crate) fn hears(&self) -> Option<&Arc<dyn LossListener>> {
        self.listener.as_ref()
    }
}

impl From<NnError> for Inputs {
    fn from(fault: NnError) -> Self {
        Self::poisoned(fault)
    }
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shapes = self.named.iter().map(|has| (has.name, has.tensor.shape()));
        f.debug_struct("Inputs")
            .field("tensors", &shapes.collect::<Vec<_>>())
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// A batch's tensors in the graph that a model records. A name that the batch does not have, or that holds something else,
/// poisons what is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'b, 'g> {
    inputs: &'b Inputs,
    g: &'g Graph,
}

impl<'g> Bound<'_, 'g> {
    /// Whether the batch has a tensor of this name.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.inputs.host(name).is_some()
    }

    /// The tensor of this name.
    #[track_caller]
    #[must_use]
    pub fn get(self, name: &str) -> Tensor<'g> {
        match self.inputs.host(name) {
            Some(tensor) => self.g.feed(name, tensor),
            None => self.refused(&format!("has no input '{name}', only {:?}", self.names())),
        }
    }

    /// The ids of this name, each below `below`; the host checks that before each run.
    #[track_caller]
    #[must_use]
    pub fn ids(self, name: &str, below: usize) -> Tensor<'g> {
        match self.inputs.host(name) {
            Some(tensor) if tensor.dtype() == DType::U32 => self.g.ids(name, &tensor.shape(), below),
            Some(_) => self.refused(&format!("has floats as input '{name}', not ids")),
            None => self.get(name),
        }
    }

    /// The lengths of this name, with room for the packed rows that all their steps take.
    #[track_caller]
    #[must_use]
    pub fn lengths(self, name: &str) -> Lengths<'g> {
        let named = self.inputs.named.iter().find(|has| has.name == name);
        match named.map(|has| has.steps) {
            Some(Some((time, packed))) => self.g.lengths(name, self.inputs.dim(name, 0), time).within(packed),
            Some(None) => {
                Lengths::of(self.refused(&format!("has a tensor as input '{name}', not lengths")), 1)
            }
            None => Lengths::of(self.get(name), 1),
        }
    }

    fn names(self) -> Vec<&'static str> {
        self.inputs.named.iter().map(|has| has.name).collect()
    }

    #[track_caller]
    fn refused(self, detail: &str) -> Tensor<'g> {
        self.g.literal(&[], vec![0.0]).refused("batch", detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use seqloom_graph::Params;

    fn message(inputs: &Inputs, record: impl Fn(Bound<'_, '_>)) -> String {
        let g = Graph::inference(&Params::seeded(1));
        record(inputs.bind(&g));
        g.check().unwrap_err().to_string()
    }

    #[test]
    fn a_name_gives_the_tensor_that_was_fed() {
        let inputs = Inputs::new().floats("x", &[2, 3], vec![0.0; 6]).ids("y", &[2], vec![1, 0]);
        let params = Params::seeded(1);
        let g = Graph::inference(&params);
        let bound = inputs.bind(&g);
        assert_eq!((&bound.get("x").shape()[..], bound.get("x").dtype()), (&[2, 3][..], DType::F32));
        assert_eq!((bound.ids("y", 4).dim(0), bound.get("y").dtype()), (2, DType::U32));
        assert!(bound.has("y") && !bound.has("z"));
        g.check().unwrap();
    }

    #[test]
    fn mistakes_name_the_input() {
        let inputs = Inputs::new().floats("x", &[1], vec![0.0]);
        let unknown = message(&inputs, |bound| {
            let _ = bound.get("z");
        });
        assert!(unknown.contains("has no input 'z', only [\"x\"]"), "{unknown}");
        assert!(
            message(&inputs, |bound| {
                let _ = bound.ids("x", 3);
            })
            .contains("floats as input 'x'")
        );
        assert!(
            message(&inputs, |bound| {
                let _ = bound.lengths("x");
            })
            .contains("'x', not lengths")
        );
        assert!(
            message(&inputs, |bound| {
                let _ = bound.lengths("z");
            })
            .contains("no input 'z'")
        );
        let odd = Inputs::new().floats("x", &[2, 2], vec![0.0; 3]).ids("y", &[1], vec![0]);
        assert!(odd.tensors().is_empty(), "nothing is left of faulty inputs");
        assert!(odd.fault().unwrap().to_string().contains("input 'x'"), "{odd:?}");
        let twice = Inputs::new().ids("x", &[1], vec![0]).ids("x", &[1], vec![0]);
        assert_eq!(twice.fault().unwrap().to_string(), "batch: input 'x': the name is taken");
    }

    #[test]
    fn batches_with_other_packed_rows_are_told_apart() {
        let packing = |lengths: &[u32]| Inputs::new().lengths("l", 64, lengths.to_vec()).packing();
        assert_eq!(packing(&[64, 3]), packing(&[3, 64]));
        assert_ne!(packing(&[64, 3]), packing(&[64, 64]));
        let masked = |lengths| Inputs::new().padded_lengths("l", 64, lengths).packing();
        assert_eq!(masked(vec![64, 3]), masked(vec![1, 1]));
        assert_ne!(packing(&[3]), Inputs::new().lengths("l", 65, vec![3]).packing());
    }
}
