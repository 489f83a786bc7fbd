//! The compiled step: everything decided, allocated and bound, ready to replay.
//!
//! [`Program::run`] checks and writes the inputs, writes the control buffer and submits the recorded dispatches: no
//! buffer, pipeline or bind group is made, and nothing waits. What changes from step to step (learning rate, step
//! count, seed, loss scale, clip) is in [`Control`] alone, so a replayed step equals a freshly recorded one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use seqloom_device::{Device, KernelTime, Readback, Slice};
use seqloom_kernels::{Control, REQUIRED_STORAGE_BUFFERS};

use crate::bind::{Bound, Recorded, Roots, bind};
use crate::bounds::{Allowed, bounds};
use crate::explain::DispatchInfo;
use crate::following::mark_in_place;
use crate::fuse::{Room, base, fuse};
use crate::gradient::gradients;
use crate::graph::Graph;
use crate::ir::error::GraphError;
use crate::ir::error::Result;
use crate::ir::host_tensor::{HostData, HostTensor};
use crate::ir::layout::DType;
use crate::ir::nodes::Node;
use crate::ir::op::{Op, Unary};
use crate::ir::specs::{InputSpec, NodeId};
use crate::lower::lower;
use crate::part::part;
use crate::reuse::reuse;
use crate::simplify::simplify;
use crate::store::ParamStore;
use crate::tensor::Tensor;

/// What a program computes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a, 'g> {
    /// Tensors to read after a run, by name; ids and lengths cannot be read back.
    pub outputs: &'a [(&'a str, Tensor<'g>)],
    /// The scalar to differentiate. Its value becomes the output `loss`.
    pub objective: Option<Objective<'g>>,
}

/// A loss whose gradients a program computes.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'g> {
    /// A tensor of one element.
    pub loss: Tensor<'g>,
    /// Whether a step of AdamW follows, over the parameters that the loss depends on; others are left alone, as PyTorch
    /// leaves those without a gradient. It adds the outputs `grad_norm` (L2 norm of all gradients before the clip)
    /// and `skipped` (1 where the norm was not finite and nothing was changed).
    pub update: bool,
}

/// Device memory of a program, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The arenas, shared with all programs over the same store.
    pub parameters: u64,
    /// Inputs, what the host derives from them, and the control buffer.
    pub inputs: u64,
    /// Tensors known when compiled.
    pub constants: u64,
    /// Slots of intermediate tensors, and scratch: shared with the other programs over the same store, which may have made
    /// some of them larger than this one needs.
    pub slots: u64,
    /// Outputs and statistics, and what the optimizer computes them in.
    pub outputs: u64,
}

impl Memory {
    /// What this program uses besides the arenas.
    #[must_use]
    pub fn own(&self) -> u64 {
        self.inputs + self.constants + self.slots + self.outputs
    }

    /// What no other program uses: all but arenas and slots. Programs over one store take the sum of this over all of them,
    /// [`ParamStore::bytes`] and [`ParamStore::slot_bytes`].
    #[must_use]
    pub fn unshared(&self) -> u64 {
        self.own() - self.slots
    }

    /// All of it, with the arenas.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.parameters + self.own()
    }
}

/// A compiled graph bound to a device.
#[derive(Debug)]
pub struct Program {
    device: Device,
    inputs: Vec<InputSpec>,
    allowed: Vec<Allowed>,
    outputs: Vec<(String, Slice)>,
    bound: Bound,
    /// Keeps the arenas that the dispatches bind.
    store: ParamStore,
}

impl Program {
    /// Compiles what was recorded in `graph`. Gradients, where asked for, are recorded into the graph too, so a graph
    /// serves one program.
    ///
    /// # Errors
    /// The first mistake made while recording; an operation without a gradient or kernel; a tensor the adapter cannot
    /// hold; the device's refusal.
    pub fn compile(store: &ParamStore, graph: &Graph, request: Request<'_, '_>) -> Result<Self> {
        graph.check()?;
        let grads = match &request.objective {
            None => Vec::new(),
            Some(objective) if objective.loss.shape().len() != 1 => {
                return Err(GraphError::Shape {
                    op: "loss",
                    shapes: vec![objective.loss.shape()],
                    detail: "a loss has one element".to_owned(),
                    at: objective.loss.node().at,
                });
            }
            Some(objective) => gradients(objective.loss)?,
        };
        let update = request.objective.is_some_and(|o| o.update);
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
        let kept = recording.states.iter().filter_map(|state| state.kept);
        let asked: Vec<_> =
            grads.iter().map(|(_, t)| t.id).chain(named.iter().map(|(_, t)| t.id)).chain(kept).collect();
        let (mut nodes, mut roots) = simplify(&recording.nodes, &asked);
        place_roots(&mut nodes, &mut roots, grads.len());
        mark_in_place(&mut nodes, &roots, &recording.states);
        let allowed = bounds(&nodes, &recording.inputs)?;
        let facts = store.device().facts();
        fits(&nodes, facts.max_binding_bytes.min(facts.max_buffer_bytes))?;
        let room = Room {
            // Not what this adapter offers: a kernel is written for every adapter, and a program fuses alike on all.
            buffers: REQUIRED_STORAGE_BUFFERS as usize,
            facts,
        };
        let mut fused = fuse(&nodes, &roots, room);
        reuse(&nodes, &mut fused, &roots);
        // Small gradients would be lost in half precision.
        let steps = lower(&nodes, &fused, store.device(), request.objective.is_none())?;
        let placed = Roots {
            grads: grads.iter().map(|(param, _)| *param).zip(roots.iter().copied()).collect(),
            outputs: roots[grads.len()..].to_vec(),
            update,
        };
        let recorded =
            Recorded { inputs: &recording.inputs, states: &recording.states, training: graph.is_training() };
        let bound = bind(store, &nodes, &recorded, &fused, &steps, &placed)?;
        let mut outputs: Vec<_> = named
            .iter()
            .zip(&placed.outputs)
            .filter_map(|((name, _), &id)| {
                Some(((*name).to_owned(), bound.places.get(&base(&nodes, id))?.clone()))
            })
            .collect();
        if let Some(stats) = &bound.stats {
            let value = |at: u64| stats.buffer.slice(stats.offset + at, 4);
            outputs.extend([("grad_norm".to_owned(), value(0)), ("skipped".to_owned(), value(8))]);
        }
        Ok(Self {
            device: store.device().clone(),
            inputs: recording.inputs.clone(),
            allowed,
            outputs,
            bound,
            store: store.clone(),
        })
    }

    /// Runs the program once: writes the inputs and the step's numbers, submits, and returns without waiting. Programs over one
    /// store share memory, so runs that several threads ask for go one after the other.
    ///
    /// # Errors
    /// A missing, unknown, misshapen or out-of-range input, found before anything is written; the device's failure.
    pub fn run(&self, inputs: &[(&str, &HostTensor)], control: &Control) -> Result<()> {
        for (name, _) in inputs {
            if !self.inputs.iter().any(|spec| spec.name == *name) {
                let known = self.inputs.iter().map(|s| s.name.clone()).collect();
                return Err(GraphError::UnknownInput { name: (*name).to_owned(), inputs: known });
            }
        }
        let given = |spec: &InputSpec| {
            let tensor = inputs.iter().find(|(name, _)| *name == spec.name).map(|(_, tensor)| *tensor);
            tensor.ok_or_else(|| GraphError::MissingInput { name: spec.name.clone() })
        };
        for (spec, allowed) in self.inputs.iter().zip(&self.allowed) {
            check(spec, allowed, given(spec)?)?;
        }
        let derived =
            self.bound.host.run(|input| match given(&self.inputs[input]).map(HostTensor::data) {
                Ok(HostData::U32(values)) => values,
                _ => &[],
            })?;
        let _turn = self.store.slots();
        for (spec, slice) in self.inputs.iter().zip(&self.bound.inputs) {
            let bytes = given(spec)?.bytes();
            if !bytes.is_empty() {
                self.device.write(slice, bytes)?;
            }
        }
        for (slice, values) in self.bound.derived.iter().flatten().zip(derived.iter().flatten()) {
            if !values.is_empty() {
                self.device.write(slice, bytemuck::cast_slice(values))?;
            }
        }
        self.device.write(&self.bound.control, bytemuck::bytes_of(control))?;
        Ok(self.device.submit(&self.bound.dispatches)?)
    }

    /// Starts reading an output of the last run.
    ///
    /// # Errors
    /// [`GraphError::UnknownOutput`].
    pub fn read(&self, output: &str) -> Result<ReadTensor> {
        match self.outputs.iter().find(|(name, _)| name == output) {
            Some((_, slice)) => Ok(ReadTensor(self.device.read(slice))),
            None => Err(GraphError::UnknownOutput {
                name: output.to_owned(),
                outputs: self.outputs.iter().map(|(name, _)| name.clone()).collect(),
            }),
        }
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
        crate::explain::table(&self.bound.launches, None)
    }

    /// [`Self::explain`] with the time that each dispatch takes on the device. Repeats the last run, update included.
    ///
    /// # Errors
    /// An adapter without timestamps; the device's failure.
    pub fn explain_timed(&self) -> Result<String> {
        Ok(crate::explain::table(&self.bound.launches, Some(&self.profile()?)))
    }

    /// Device time of each dispatch, measured by repeating the last run, update included.
    ///
    /// # Errors
    /// As [`Self::explain_timed`].
    pub fn profile(&self) -> Result<Vec<KernelTime>> {
        let _turn = self.store.slots();
        Ok(self.device.profile(&self.bound.dispatches)?)
    }
}

/// An output on its way from the device: a future, or [`ReadTensor::wait`].
#[derive(Debug)]
#[must_use = "nothing is read until it is awaited"]
pub struct ReadTensor(Readback);

impl ReadTensor {
    /// Waits for the values, in row-major order.
    ///
    /// # Errors
    /// The device's failure.
    pub fn wait(self) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.0.wait()?))
    }
}

impl Future for ReadTensor {
    type Output = Result<Vec<f32>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|bytes| Ok(bytemuck::pod_collect_to_vec(&bytes?)))
    }
}

/// Puts a copy behind each root that cannot be computed where it must lie: one that is there already, one that other
/// nodes read (a kernel may not read and write one arena), one that serves twice. The first `grads` roots are gradients.
fn place_roots(nodes: &mut Vec<Node>, roots: &mut [NodeId], grads: usize) {
    let mut uses = vec![0; nodes.len()];
    for node in nodes.iter().filter(|n| n.op != Op::Reshape) {
        for &input in &node.inputs {
            uses[base(nodes, input)] += 1;
        }
    }
    for &root in roots.iter() {
        uses[base(nodes, root)] += 1;
    }
    for (index, root) in roots.iter_mut().enumerate() {
        let id = base(nodes, *root);
        let fixed = matches!(nodes[id].op, Op::Param(_) | Op::Input(_) | Op::State(_) | Op::Literal(_));
        let fixed = fixed || part(nodes, id).is_some();
        if fixed || (index < grads && uses[id] > 1) {
            let node = Node { op: Op::Unary(Unary::Copy), inputs: vec![*root], ..nodes[*root].clone() };
            nodes.push(node);
            *root = nodes.len() - 1;
        }
    }
}

/// Every tensor must fit one buffer.
fn fits(nodes: &[Node], limit: u64) -> Result<()> {
    match nodes.iter().find(|n| n.shape.bytes() > limit) {
        None => Ok(()),
        Some(node) => Err(GraphError::TooLarge {
            what: format!("a tensor of shape {} recorded at {}", node.shape, node.at),
            needs: node.shape.bytes(),
            limit,
        }),
    }
}

fn check(spec: &InputSpec, allowed: &Allowed, tensor: &HostTensor) -> Result<()> {
    if tensor.shape() != spec.shape || tensor.dtype() != spec.dtype {
        return Err(GraphError::InputShape {
            name: spec.name.clone(),
            needs: spec.shape,
            needs_dtype: spec.dtype,
            has: tensor.shape(),
            has_dtype: tensor.dtype(),
        });
    }
    match tensor.data() {
        HostData::U32(values) => allowed.check(&spec.name, values),
        HostData::F32(_) => Ok(()),
    }
}
