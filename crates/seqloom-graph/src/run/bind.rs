//! From plan to device: buffers for what the plan counts, and each launch with its buffers as a dispatch.

use std::collections::HashMap;

use seqloom_device::{Buffer, Device, Dispatch, Slice};
use seqloom_kernels::{Control, Lowered, Operand, optimizer, view};

use crate::compile::fuse::Fused;
use crate::compile::place::{base, outputs, part};
use crate::compile::plan::plan;
use crate::compile::unit::Step;
use crate::ir::error::Result;
use crate::ir::nodes::Node;
use crate::ir::op::Op;
use crate::ir::shape::Shape;
use crate::ir::specs::{InputSpec, NodeId, ParamId, StateSpec};
use crate::run::arena::Arena;
use crate::run::explain::DispatchInfo;
use crate::run::host::HostProgram;
use crate::run::memory::Memory;
use crate::run::store::ParamStore;

/// A program's buffers and dispatches.
#[derive(Debug)]
pub(crate) struct Bound {
    pub dispatches: Vec<Dispatch>,
    pub launches: Vec<DispatchInfo>,
    pub inputs: Vec<Slice>,
    pub host: HostProgram,
    /// Where the outputs of each of the host's steps go.
    pub derived: Vec<Vec<Slice>>,
    pub control: Slice,
    /// Where named nodes lie.
    pub places: HashMap<NodeId, Slice>,
    pub stats: Option<Slice>,
    /// Whether it computes gradients.
    pub grads: bool,
    /// The carried states that a run reads or writes, which must be those that the store carries.
    pub states: Vec<(String, Shape, Slice)>,
    pub memory: Memory,
}

/// What must lie in a certain place: gradients in their arena, outputs in buffers that nothing else takes.
pub(crate) struct Roots {
    pub grads: Vec<(ParamId, NodeId)>,
    pub outputs: Vec<NodeId>,
    pub update: bool,
}

/// What the graph declared.
pub(crate) struct Recorded<'a> {
    pub inputs: &'a [InputSpec],
    pub states: &'a [StateSpec],
    /// Whether the states are those of training.
    pub training: bool,
}

/// Allocates and binds. The outputs that end `roots` are the kept states, in order.
pub(crate) fn bind(
    store: &ParamStore,
    nodes: &[Node],
    recorded: &Recorded<'_>,
    fused: &Fused,
    steps: &[Step],
    roots: &Roots,
) -> Result<Bound> {
    let mut binder =
        Binder { device: store.device().clone(), memory: Memory::default(), places: HashMap::new() };
    let inputs = recorded.inputs;
    let control = binder.allocate("control", size_of::<Control>() as u64, |m| &mut m.inputs)?.all();
    let mut input_slices = Vec::new();
    for spec in inputs {
        input_slices.push(binder.allocate(&spec.name, spec.shape.bytes(), |m| &mut m.inputs)?.all());
    }
    let (mut host, mut derived) = (HostProgram::default(), Vec::new());
    let states = binder.states(store, nodes, recorded)?;
    for (id, node) in nodes.iter().enumerate() {
        match &node.op {
            Op::Param(param) => {
                binder.places.insert(id, store.slice(Arena::Params, *param)?);
            }
            Op::State(index) => {
                if let Some((_, _, place)) = &states[*index] {
                    binder.places.insert(id, place.clone());
                }
            }
            // Into the state that it keeps: its operand's place, which has a lower number.
            Op::Append { in_place: true } => {
                let state = binder.places.get(&base(nodes, node.inputs[0])).cloned();
                binder.places.extend(state.map(|state| (id, state)));
            }
            Op::Input(index) => {
                binder.places.insert(id, input_slices[*index].clone());
            }
            Op::Literal(bits) => {
                let slice = binder.constant("constant", bits)?;
                binder.places.insert(id, slice);
            }
            Op::Host(what) => {
                let results = outputs(nodes, id);
                let known = host.add(nodes, inputs, id, *what, &results)?;
                let slices = binder.derived(nodes, &results, known.as_deref())?;
                binder.places.extend(results.into_iter().zip(slices.iter().cloned()));
                if known.is_none() {
                    derived.push(slices);
                }
            }
            _ => {}
        }
    }
    for &(param, id) in &roots.grads {
        binder.places.insert(base(nodes, id), store.slice(Arena::Grads, param)?);
    }
    for &id in &roots.outputs {
        let id = base(nodes, id);
        if !binder.places.contains_key(&id) {
            let slice = binder.allocate("output", nodes[id].shape.bytes(), |m| &mut m.outputs)?.all();
            binder.places.insert(id, slice);
        }
    }
    let placed: Vec<_> =
        (0..nodes.len()).map(|id| binder.places.contains_key(&id) || !stored(nodes, fused, id)).collect();
    let plan = plan(nodes, steps, &placed);
    let slots = store.slots().take(&binder.device, &plan.slots)?;
    binder.memory.slots = slots.iter().map(Buffer::bytes).sum();
    for (id, slot) in plan.of_node.iter().enumerate() {
        if let Some(slot) = slot {
            binder.places.insert(id, slots[*slot].slice(0, nodes[id].shape.bytes().max(4)));
        }
    }
    for id in 0..nodes.len() {
        if let Some((owner, offset)) = part(nodes, id)
            && let Some(whole) = binder.places.get(&owner)
        {
            let place = whole.buffer.slice(whole.offset + offset, nodes[id].shape.bytes());
            binder.places.insert(id, place);
        }
    }
    let mut wired: Vec<(&Lowered, Vec<Vec<Slice>>)> = Vec::new();
    for (step, scratch) in steps.iter().zip(&plan.of_scratch) {
        let place = |id: &NodeId| binder.places.get(id).cloned();
        let ins: Vec<_> = step.ins.iter().filter_map(place).collect();
        let outs: Vec<_> = step.outs.iter().filter_map(place).collect();
        let mut leaves: Vec<_> = step.leaves.iter().filter_map(place).collect();
        if step.reads_control {
            leaves.push(control.clone());
        }
        let scratch: Vec<_> =
            scratch.iter().map(|&slot| slots[slot].slice(0, plan.slots[slot].max(4))).collect();
        wired.push((&step.lowered, wire(&step.lowered, &ins, &outs, &leaves, &scratch)));
    }
    let kept = binder.kept(nodes, recorded, &states, &roots.outputs);
    let (update, stats) = match roots.update {
        true => binder
            .update(store, &control, &roots.grads, &kept)
            .map(|(wired, stats)| (Some(wired), Some(stats)))?,
        false => (None, None),
    };
    if let Some((lowered, bindings)) = &update {
        wired.push((lowered, bindings.clone()));
    }
    // States change last, when everything that reads them has.
    let copies = kept.iter().map(|kept| binder.keep(kept, stats.as_ref())).collect::<Result<Vec<_>>>()?;
    wired.extend(copies.iter().map(|(lowered, bindings)| (lowered, bindings.clone())));
    binder.memory.parameters = store.bytes();
    let launches: Vec<_> = wired.iter().flat_map(|(lowered, _)| &lowered.launches).collect();
    let shaders: Vec<_> = launches.iter().map(|launch| launch.wgsl.clone()).collect();
    let pipelines = binder.device.pipelines(&shaders)?;
    let bindings: Vec<_> = wired.iter().flat_map(|(_, bindings)| bindings).collect();
    let dispatches = launches
        .iter()
        .zip(&pipelines)
        .zip(&bindings)
        .map(|((launch, pipeline), bindings)| {
            binder.device.dispatch(pipeline, &launch.label, bindings, &launch.immediates, launch.grid)
        })
        .collect::<Result<Vec<_>, _>>()?;
    // Constants go to the device now: a write that waits would keep its buffer when the program is dropped unused.
    binder.device.submit(&[])?;
    Ok(Bound {
        dispatches,
        launches: launches
            .iter()
            .zip(&bindings)
            .map(|(launch, buffers)| DispatchInfo::of(launch, buffers))
            .collect(),
        inputs: input_slices,
        host,
        derived,
        control,
        places: binder.places,
        stats,
        grads: !roots.grads.is_empty(),
        states: states.into_iter().flatten().collect(),
        memory: binder.memory,
    })
}

/// Whether the node has memory of its own.
fn stored(nodes: &[Node], fused: &Fused, id: NodeId) -> bool {
    fused.in_memory[id] && !fused.absorbed[id] && !nodes[id].op.has_outputs()
}

/// The buffers of each launch in binding order.
fn wire(
    lowered: &Lowered,
    ins: &[Slice],
    outs: &[Slice],
    leaves: &[Slice],
    scratch: &[Slice],
) -> Vec<Vec<Slice>> {
    let slice = |operand: &Operand| match operand {
        Operand::In(i) => ins.get(*i),
        Operand::Out(i) => outs.get(*i),
        Operand::Scratch(i) => scratch.get(*i),
        Operand::Leaf(i) => leaves.get(*i),
    };
    lowered
        .launches
        .iter()
        .map(|launch| launch.bindings.iter().filter_map(slice).cloned().collect())
        .collect()
}

struct Binder {
    device: Device,
    memory: Memory,
    places: HashMap<NodeId, Slice>,
}

type Wired = (Lowered, Vec<Vec<Slice>>);

/// A tensor that a state carries on: its elements, where it was computed and where the state lies.
struct Kept {
    len: usize,
    from: Slice,
    to: Slice,
}

impl Binder {
    /// A buffer counted under one heading of the account. No buffer is empty, since none could be bound.
    fn allocate(&mut self, label: &str, bytes: u64, heading: fn(&mut Memory) -> &mut u64) -> Result<Buffer> {
        let buffer = self.device.allocate(label, bytes.max(4))?;
        *heading(&mut self.memory) += buffer.bytes();
        Ok(buffer)
    }

    fn constant(&mut self, label: &str, bits: &[u32]) -> Result<Slice> {
        let slice = self.allocate(label, bits.len() as u64 * 4, |m| &mut m.constants)?.all();
        if !bits.is_empty() {
            self.device.write(&slice, bytemuck::cast_slice(bits))?;
        }
        Ok(slice)
    }

    /// Buffers for what the host derives: written with each run, or now if it is known.
    fn derived(
        &mut self,
        nodes: &[Node],
        results: &[NodeId],
        known: Option<&[Vec<u32>]>,
    ) -> Result<Vec<Slice>> {
        match known {
            Some(values) => values.iter().map(|values| self.constant("derived", values)).collect(),
            None => results
                .iter()
                .map(|&id| Ok(self.allocate("derived", nodes[id].shape.bytes(), |m| &mut m.inputs)?.all()))
                .collect(),
        }
    }

    /// Where the states lie that the program reads or keeps; `None` for one that was recorded and is not used.
    fn states(
        &self,
        store: &ParamStore,
        nodes: &[Node],
        recorded: &Recorded<'_>,
    ) -> Result<Vec<Option<(String, Shape, Slice)>>> {
        let states = recorded.states.iter().enumerate().map(|(index, state)| {
            if state.kept.is_none() && !nodes.iter().any(|node| node.op == Op::State(index)) {
                return Ok(None);
            }
            let place = store.state(recorded.training, &state.name, state.shape)?;
            Ok(Some((state.name.clone(), state.shape, place)))
        });
        states.collect()
    }

    /// The tensors that states carry on, among the last of `outputs`, but for those that lie there already.
    fn kept(
        &self,
        nodes: &[Node],
        recorded: &Recorded<'_>,
        states: &[Option<(String, Shape, Slice)>],
        outputs: &[NodeId],
    ) -> Vec<Kept> {
        let keeping: Vec<_> =
            recorded.states.iter().zip(states).filter(|(state, _)| state.kept.is_some()).collect();
        let ids = &outputs[outputs.len().saturating_sub(keeping.len())..];
        let kept = keeping.into_iter().zip(ids).filter_map(|((state, place), &id)| {
            let (id, (_, _, to)) = (base(nodes, id), place.as_ref()?);
            let from = self.places.get(&id)?.clone();
            let there = nodes[id].op == (Op::Append { in_place: true });
            (!there && !state.shape.is_empty()).then(|| Kept { len: state.shape.len(), from, to: to.clone() })
        });
        kept.collect()
    }

    /// The copy of a kept tensor into its state; with the statistics of an update, unless that was skipped.
    fn keep(&self, kept: &Kept, stats: Option<&Slice>) -> Result<Wired> {
        let (facts, to) = (self.device.facts(), std::slice::from_ref(&kept.to));
        let (lowered, ins) = match stats {
            None => (view::lower(&view::Problem::copy(kept.len), facts)?, vec![kept.from.clone()]),
            Some(stats) => (optimizer::keep(kept.len, facts)?, vec![stats.clone(), kept.from.clone()]),
        };
        let bindings = wire(&lowered, &ins, to, &[], &[]);
        Ok((lowered, bindings))
    }

    /// The optimizer's launches over the parameters that have a gradient, and its statistics. A parameter that the loss
    /// does not reach is not touched, as in PyTorch; parameters that lie side by side are updated as one.
    fn update(
        &mut self,
        store: &ParamStore,
        control: &Slice,
        grads: &[(ParamId, NodeId)],
        kept: &[Kept],
    ) -> Result<(Wired, Slice)> {
        let ids: Vec<_> = grads.iter().map(|(param, _)| *param).collect();
        let (places, counted) = (store.runs(&ids)?, store.counted()?);
        let members: Vec<_> = ids.iter().map(|id| u32::try_from(id.index()).unwrap_or(u32::MAX)).collect();
        let members = self.constant("updated parameters", &members)?;
        let (mut ins, mut runs) = (vec![control.clone(), members, counted.counts()], Vec::new());
        for place in places {
            for arena in [Arena::Grads, Arena::Params, Arena::Moment1, Arena::Moment2] {
                ins.push(store.range(arena, place)?);
            }
            let (owners, first) = counted.owners(place);
            ins.push(owners);
            runs.push(optimizer::Run { len: (place.2 / 4) as usize, first });
        }
        ins.extend(kept.iter().map(|kept| kept.from.clone()));
        let carried = kept.iter().map(|kept| kept.len).collect();
        let problem = optimizer::Problem { runs, members: ids.len(), carried };
        let lowered = optimizer::lower(&problem, self.device.facts())?;
        let stats = 4 * optimizer::stats_len(store.specs().len()) as u64;
        let stats = self.allocate("statistics", stats, |m| &mut m.outputs)?.all();
        let scratch = lowered
            .scratch
            .iter()
            .map(|&bytes| Ok(self.allocate("scratch", bytes, |m| &mut m.outputs)?.all()))
            .collect::<Result<Vec<_>>>()?;
        let bindings = wire(&lowered, &ins, std::slice::from_ref(&stats), &[], &scratch);
        Ok(((lowered, bindings), stats))
    }
}
