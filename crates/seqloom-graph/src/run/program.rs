//! The compiled step: everything decided, allocated and bound, ready to replay.
//!
//! [`Program::run`] checks and writes the inputs, writes the control buffer and submits the recorded dispatches. It makes no
//! buffer, pipeline or bind group, and nothing waits. [`Program::call`] does the same and begins to read outputs before any
//! other run can, so threads may share a program. What changes from step to step is in [`Control`] (learning rates, seed, loss
//! scale, clip) and in the store (parameters, moments, update counts, states), so a replayed step equals a freshly recorded one.

use std::sync::MutexGuard;

use seqloom_device::{Device, KernelTime, Slice};
use seqloom_kernels::Control;

use crate::compile::bounds::Allowed;
use crate::grad::gradients;
use crate::ir::error::{GraphError, Result};
use crate::ir::host_tensor::{HostData, HostTensor};
use crate::ir::layout::DType;
use crate::ir::roots::Roots;
use crate::ir::specs::{InputSpec, NodeId, ParamId};
use crate::record::graph::Graph;
use crate::record::tensor::Tensor;
use crate::run::bind::{Bound, Declared, bind};
use crate::run::explain::{DispatchInfo, table};
use crate::run::memory::Memory;
use crate::run::reading::{Output, ReadTensor, ReadTensors};
use crate::run::request::{Objective, Request};
use crate::run::slots::Slots;
use crate::run::store::ParamStore;
use crate::run::tuned::compile_tuned;
use crate::run::update::Update;

/// A compiled graph bound to a device.
#[derive(Debug)]
pub struct Program {
    device: Device,
    inputs: Vec<InputSpec>,
    outputs: Vec<Output>,
    /// Whether the states are those of training.
    training: bool,
    /// The decays of the optimizer's running means, if the program updates.
    decays: Option<[f32; 2]>,
    bound: Bound,
    /// The parameters that get a gradient.
    params: Vec<ParamId>,
    /// What each pass of compiling did.
    log: Vec<(&'static str, String)>,
    /// Keeps the arenas that the dispatches bind.
    store: ParamStore,
}

impl Program {
    /// Compiles the recording in `graph`. Requested gradients are recorded into the graph too, so a graph serves one
    /// program.
    ///
    /// # Errors
    /// The first mistake made while recording; a graph of other parameters than the store's, or tensors of another graph; an
    /// output's name used twice; nothing to compute; an operation without a gradient or kernel; a tensor the adapter cannot
    /// hold; the device's refusal.
    pub fn compile(store: &ParamStore, graph: &Graph, request: Request<'_, '_>) -> Result<Self> {
        Self::compiled(store, graph, request, false)
    }

    /// A program of one of the batches of a training step over several: it adds the gradients of the loss, times the
    /// [`Control::share`] of a run, to the sums that [`crate::Accumulation`] updates the parameters by. Its output is `loss`.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn accumulating<'g>(store: &ParamStore, graph: &'g Graph, loss: Tensor<'g>) -> Result<Self> {
        store.allocate_sums()?;
        let objective = Some(Objective::new(loss));
        Self::compiled(store, graph, Request { outputs: &[], objective }, true)
    }

    fn compiled(
        store: &ParamStore,
        graph: &Graph,
        request: Request<'_, '_>,
        accumulates: bool,
    ) -> Result<Self> {
        request.check(store, graph)?;
        let grads = match &request.objective {
            None => Vec::new(),
            Some(objective) if objective.loss.shape().elements() != 1 => {
                return Err(GraphError::Shape {
                    op: "loss",
                    shapes: vec![objective.loss.shape()],
                    detail: "a loss has one element".to_owned(),
                    at: objective.loss.node().at,
                });
            }
            Some(objective) => gradients(objective.loss)?,
        };
        if let (Some(Objective { loss, .. }), true) = (&request.objective, grads.is_empty()) {
            return Err(GraphError::ConstantLoss { at: loss.node().at });
        }
        let loss = request.objective.map(|o| ("loss", o.loss));
        let named: Vec<_> = request.outputs.iter().copied().chain(loss).collect();
        for (_, tensor) in &named {
            if tensor.dtype() != DType::F32 {
                let error = GraphError::DType {
                    op: "output",
                    needs: DType::F32,
                    has: tensor.dtype(),
                    at: tensor.node().at,
                };
                return Err(error);
            }
        }
        let recording = graph.recording();
        let kept = recording.states.iter().enumerate().filter_map(|(state, spec)| Some((state, spec.kept?)));
        let roots = Roots {
            grads: grads.iter().map(|(param, tensor)| (*param, tensor.id)).collect(),
            outputs: named.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.id)).collect(),
            kept: kept.collect(),
            update: request.objective.is_some_and(|o| o.update.is_some()),
        };
        // Small gradients would be lost in half precision.
        let half = request.objective.is_none();
        let compiled = compile_tuned(store.device(), half, &recording, &roots)?;
        let declared = Declared {
            inputs: &recording.inputs,
            states: &recording.states,
            training: graph.is_training(),
            accumulates,
        };
        let optimizer = request.objective.and_then(|o| o.update);
        let ids: Vec<_> = compiled.roots.grads.iter().map(|(param, _)| *param).collect();
        let update = optimizer.map(|optimizer| Update::record(store, optimizer, &ids)).transpose()?;
        let bound = bind(store, &declared, &compiled, update.as_ref())?;
        let output = |(name, id): &(String, NodeId)| {
            let place = bound.places.get(&compiled.nodes.base(*id))?.clone();
            Some(Output { name: name.clone(), place, len: compiled.nodes[*id].shape.elements() })
        };
        let mut outputs: Vec<_> = compiled.roots.outputs.iter().filter_map(output).collect();
        if let Some(stats) = &bound.stats {
            let value = |name: &str, at: usize| {
                let place = stats.buffer.slice(stats.offset + DType::F32.bytes(at), DType::F32.bytes(1));
                Output { name: name.to_owned(), place, len: 1 }
            };
            outputs.extend([value("grad_norm", 0), value("skipped", 2)]);
        }
        Ok(Self {
            device: store.device().clone(),
            inputs: recording.inputs.clone(),
            log: compiled.log,
            params: ids,
            outputs,
            training: graph.is_training(),
            decays: optimizer.map(|optimizer| optimizer.decays().map(|decay| decay as f32)),
            bound,
            store: store.clone(),
        })
    }

    /// Runs the program once: writes the inputs and the step's numbers, submits, and returns without waiting. Programs
    /// over one store share memory, so runs from several threads go one after the other.
    ///
    /// # Errors
    /// A missing, unknown, misshapen or out-of-range input, or a state that carries another shape
    /// ([`GraphError::StateShape`]), found before anything is written; the device's failure.
    pub fn run(&self, inputs: &[(&str, &HostTensor)], control: &Control) -> Result<()> {
        self.begin(inputs, control).map(drop)
    }

    /// Runs the program once and starts reading these outputs of that run, without waiting. No run of another thread
    /// comes between, as it may between [`Self::run`] and [`Self::read`].
    ///
    /// # Errors
    /// As [`Self::run`]; [`GraphError::UnknownOutput`], and then nothing was run.
    pub fn call<const N: usize>(
        &self,
        inputs: &[(&str, &HostTensor)],
        control: &Control,
        outputs: [&str; N],
    ) -> Result<ReadTensors<N>> {
        let found = self.found(outputs)?;
        let _turn = self.begin(inputs, control)?;
        Ok(ReadTensors::begin(&self.device, found))
    }

    /// Checks the inputs as [`Self::run`] does, and runs nothing: for a caller that must change something before a run and
    /// only if there will be one.
    ///
    /// # Errors
    /// A missing, unknown, misshapen or out-of-range input.
    pub fn check(&self, inputs: &[(&str, &HostTensor)]) -> Result<()> {
        self.derived(inputs).map(drop)
    }

    /// Whether it has an input of this name.
    #[must_use]
    pub fn takes(&self, input: &str) -> bool {
        self.inputs.iter().any(|spec| spec.name == input)
    }

    /// Checks the inputs and returns the host's derivations from them, by step and output.
    fn derived(&self, inputs: &[(&str, &HostTensor)]) -> Result<Vec<Vec<Vec<u32>>>> {
        for (at, (name, _)) in inputs.iter().enumerate() {
            if inputs[..at].iter().any(|(before, _)| before == name) {
                return Err(GraphError::InputGivenTwice { name: (*name).to_owned() });
            }
            if !self.takes(name) {
                let known = self.inputs.iter().map(|s| s.name.clone()).collect();
                return Err(GraphError::UnknownInput { name: (*name).to_owned(), inputs: known });
            }
        }
        for spec in &self.inputs {
            check(spec, given(inputs, spec)?)?;
        }
        self.bound.host.run(&self.inputs, |input| {
            match given(inputs, &self.inputs[input]).map(HostTensor::data) {
                Ok(HostData::U32(values)) => values,
                _ => &[],
            }
        })
    }

    /// Checks and writes the inputs and submits. Until the guard is dropped no program over the store runs.
    fn begin(&self, inputs: &[(&str, &HostTensor)], control: &Control) -> Result<MutexGuard<'_, Slots>> {
        let derived = self.derived(inputs)?;
        let turn = self.store.slots();
        self.store.claim_states(self.training, &self.bound.states)?;
        for (spec, slice) in self.inputs.iter().zip(&self.bound.inputs) {
            let bytes = given(inputs, spec)?.bytes();
            if !bytes.is_empty() {
                self.device.write(slice, bytes)?;
            }
        }
        for (slice, values) in self.bound.derived.iter().flatten().zip(derived.iter().flatten()) {
            if let (Some(slice), false) = (slice, values.is_empty()) {
                self.device.write(slice, bytemuck::cast_slice(values))?;
            }
        }
        let control = match self.decays {
            Some([beta1, beta2]) => Control { beta1, beta2, ..*control },
            None => *control,
        };
        self.device.write(&self.bound.control, bytemuck::bytes_of(&control))?;
        self.device.submit(&self.bound.dispatches)?;
        Ok(turn)
    }

    /// Starts reading an output of the last run, whichever thread ran it; [`Self::call`] reads those of its own run.
    ///
    /// # Errors
    /// [`GraphError::UnknownOutput`].
    pub fn read(&self, output: &str) -> Result<ReadTensor> {
        Ok(ReadTensor(self.read_all([output])?))
    }

    /// Starts reading several outputs of the last run, for about the cost of one.
    ///
    /// # Errors
    /// [`GraphError::UnknownOutput`].
    pub fn read_all<const N: usize>(&self, outputs: [&str; N]) -> Result<ReadTensors<N>> {
        Ok(ReadTensors::begin(&self.device, self.found(outputs)?))
    }

    /// These outputs.
    fn found<const N: usize>(&self, names: [&str; N]) -> Result<[&Output; N]> {
        let found = |name: &str| self.outputs.iter().find(|output| output.name == name);
        let unknown = |name: &str| GraphError::UnknownOutput {
            name: name.to_owned(),
            outputs: self.outputs.iter().map(|output| output.name.clone()).collect(),
        };
        let all = names.into_iter().map(|name| found(name).ok_or_else(|| unknown(name)));
        let all = all.collect::<Result<Vec<_>>>()?;
        Ok(std::array::from_fn(|at| all[at]))
    }

    /// The parameters that get a gradient.
    #[must_use]
    pub fn params(&self) -> &[ParamId] {
        &self.params
    }

    /// The device memory it takes.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.bound.memory
    }

    /// Number of dispatches in a run.
    #[must_use]
    pub fn dispatches(&self) -> usize {
        self.bound.dispatches.len()
    }

    /// The dispatches in order.
    #[must_use]
    pub fn infos(&self) -> &[DispatchInfo] {
        &self.bound.launches
    }

    /// The dispatches in order, one line each: kernel and shape, workgroups, floating-point operations, bytes, and what it
    /// writes.
    #[must_use]
    pub fn explain(&self) -> String {
        table(&self.bound.launches, None)
    }

    /// What each pass of compiling did, one line each.
    #[must_use]
    pub fn passes(&self) -> String {
        self.log.iter().map(|(pass, did)| format!("{pass:>9}  {did}\n")).collect()
    }

    /// [`Self::explain`] with the time that each dispatch takes on the device.
    ///
    /// # Errors
    /// As [`Self::profile`].
    pub fn explain_timed(&self) -> Result<String> {
        Ok(table(&self.bound.launches, Some(&self.profile()?)))
    }

    /// Device time of each dispatch, measured by repeating the last run. Afterwards everything that a run changes is put back:
    /// parameters, moments, counts of updates, gradients, states and outputs. It is kept in host memory meanwhile.
    ///
    /// # Errors
    /// An adapter without timestamps; the device's failure.
    pub fn profile(&self) -> Result<Vec<KernelTime>> {
        let _turn = self.store.slots();
        let places = self.lasting()?;
        let before =
            places.iter().map(|place| Ok(self.device.read(place).wait()?)).collect::<Result<Vec<_>>>()?;
        let times = self.device.profile(&self.bound.dispatches);
        for (place, bytes) in places.iter().zip(&before) {
            self.device.write(place, bytes)?;
        }
        self.device.submit(&[])?;
        Ok(times?)
    }

    /// Memory that a run writes and that is read after it.
    fn lasting(&self) -> Result<Vec<Slice>> {
        let mut places: Vec<_> = self.bound.states.iter().map(|(_, _, place)| place.clone()).collect();
        places.extend(self.outputs.iter().map(|output| output.place.clone()));
        if self.bound.grads {
            places.extend(self.store.gradients());
            places.extend(self.store.sums());
        }
        if let Some(stats) = &self.bound.stats {
            places.push(stats.clone());
            places.extend(self.store.updated()?);
        }
        Ok(places)
    }
}

/// The tensor given for an input.
fn given<'a>(inputs: &[(&str, &'a HostTensor)], spec: &InputSpec) -> Result<&'a HostTensor> {
    let tensor = inputs.iter().find(|(name, _)| *name == spec.name).map(|(_, tensor)| *tensor);
    tensor.ok_or_else(|| GraphError::MissingInput { name: spec.name.clone() })
}

fn check(spec: &InputSpec, tensor: &HostTensor) -> Result<()> {
    if tensor.shape() != spec.shape || tensor.dtype() != spec.dtype {
        return Err(GraphError::InputShape {
            name: spec.name.clone(),
            needs: spec.shape.to_vec(),
            needs_dtype: spec.dtype,
            has: tensor.shape().to_vec(),
            has_dtype: tensor.dtype(),
        });
    }
    match tensor.data() {
        HostData::U32(values) => {
            Allowed { range: spec.range.clone(), also: None }.check(&spec.name, false, values)
        }
        HostData::F32(_) => Ok(()),
    }
}
