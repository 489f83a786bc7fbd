//! From plan to device: allocates the planned buffers, and makes each launch with its buffers a dispatch.

use std::collections::HashMap;

use seqloom_device::{Buffer, Device, Dispatch, Slice};
use seqloom_kernels::{Control, Launch, Lowered, Operand, optimizer};

use crate::compile::Compiled;
use crate::compile::unit::Unit;
use crate::ir::error::{GraphError, Result};
use crate::ir::layout::{DType, bindable};
use crate::ir::nodes::Nodes;
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
    /// Destinations of the outputs of each of the host's steps; none for outputs that only the host reads.
    pub derived: Vec<Vec<Option<Slice>>>,
    pub control: Slice,
    /// Memory of named nodes.
    pub places: HashMap<NodeId, Slice>,
    pub stats: Option<Slice>,
    /// Whether it computes gradients.
    pub grads: bool,
    /// The carried states that a run reads or writes, which must be those that the store carries.
    pub states: Vec<(String, Shape, Slice)>,
    pub memory: Memory,
}

/// What the graph declared.
pub(crate) struct Declared<'a> {
    pub inputs: &'a [InputSpec],
    pub states: &'a [StateSpec],
    /// Whether the states are those of training.
    pub training: bool,
}

/// Allocates and binds.
pub(crate) fn bind(store: &ParamStore, declared: &Declared<'_>, compiled: &Compiled) -> Result<Bound> {
    let Compiled { nodes, roots, schedule, launches, plan, .. } = compiled;
    let mut binder =
        Binder { device: store.device().clone(), memory: Memory::default(), places: HashMap::new() };
    let inputs = declared.inputs;
    let control = binder.allocate("control", size_of::<Control>() as u64, |m| &mut m.inputs)?.all();
    let mut input_slices = Vec::new();
    for spec in inputs {
        input_slices.push(binder.allocate(&spec.name, spec.layout().bytes(), |m| &mut m.inputs)?.all());
    }
    let (mut host, mut derived) = (HostProgram::default(), Vec::new());
    let states = binder.states(store, nodes, declared)?;
    let (read, mut limits) = (read_by_kernels(nodes), compiled.limits.iter().peekable());
    for (id, node) in nodes.iter() {
        // Before anything is derived of the operand.
        if let Some(limit) = limits.next_if(|limit| limit.at == id) {
            host.limit(nodes, limit.of, limit.allowed.clone())?;
        }
        match &node.op {
            Op::Param(param) => {
                binder.places.insert(id, store.slice(Arena::Params, *param)?);
            }
            Op::State(index) => {
                if let Some((_, _, place)) = &states[*index] {
                    binder.places.insert(id, place.clone());
                }
            }
            Op::Input(index) => {
                binder.places.insert(id, input_slices[*index].clone());
            }
            Op::Literal(bits) => {
                let slice = binder.constant("constant", bits)?;
                binder.places.insert(id, slice);
            }
            Op::Host(what) => {
                let results: Vec<_> = nodes.outputs(id).collect();
                let known = host.add(nodes, inputs, id, *what, &results)?;
                let slices = binder.derived(nodes, &results, known.as_deref(), &read)?;
                let places = results.into_iter().zip(&slices);
                binder.places.extend(places.filter_map(|(id, slice)| Some((id, slice.clone()?))));
                if known.is_none() {
                    derived.push(slices);
                }
            }
            _ => {}
        }
    }
    for &(param, id) in &roots.grads {
        binder.places.insert(nodes.base(id), store.slice(Arena::Grads, param)?);
    }
    // A result written over a given tensor is there.
    for &(result, operand) in schedule.units.iter().flat_map(|unit| &unit.over) {
        let given = binder.places.get(&nodes.base(operand)).cloned();
        binder.places.extend(given.map(|place| (result, place)));
    }
    for id in roots.outputs.iter().map(|(_, id)| nodes.base(*id)) {
        if !binder.places.contains_key(&id) {
            let slice = binder.allocate("output", nodes[id].layout().bytes(), |m| &mut m.outputs)?.all();
            binder.places.insert(id, slice);
        }
    }
    let slots = store.slots().take(&binder.device, &plan.slots)?;
    binder.memory.slots = slots.iter().map(Buffer::bytes).sum();
    for (id, slot) in plan.of_node.iter().enumerate() {
        if let Some(slot) = slot {
            binder.places.insert(id, slots[*slot].slice(0, nodes[id].layout().bindable()));
        }
    }
    for id in 0..nodes.len() {
        if let Some((owner, offset)) = nodes.part(id)
            && let Some(whole) = binder.places.get(&owner)
        {
            let place = whole.buffer.slice(whole.offset + offset, nodes[id].layout().bytes());
            binder.places.insert(id, place);
        }
    }
    // States change last, when all their readers have run, and after the update, which may be skipped.
    let keeps = |unit: &Unit| nodes[unit.at].op == Op::Keep;
    let behind = schedule.units.iter().position(keeps).unwrap_or(schedule.units.len());
    let kept = schedule.units[behind..]
        .iter()
        .map(|unit| Ok((nodes[unit.at].shape.elements(), binder.place(nodes, unit.reads[0])?)));
    let kept = kept.collect::<Result<Vec<_>>>()?;
    let (update, stats) = match roots.update {
        true => binder
            .update(store, &control, &roots.grads, &kept)
            .map(|(wired, stats)| (Some(wired), Some(stats)))?,
        false => (None, None),
    };
    let mut wired: Vec<(&Lowered, Vec<Vec<Slice>>)> = Vec::new();
    for (at, ((unit, lowered), scratch)) in
        schedule.units.iter().zip(launches).zip(&plan.of_scratch).enumerate()
    {
        let places =
            |ids: &[NodeId]| ids.iter().map(|&id| binder.place(nodes, id)).collect::<Result<Vec<_>>>();
        let (mut reads, writes) = (places(&unit.reads)?, places(&unit.writes)?);
        let mut leaves = reads[unit.operands..].to_vec();
        if unit.reads_control {
            leaves.push(control.clone());
        }
        if at == behind {
            wired.extend(update.iter().map(|(lowered, bindings)| (lowered, bindings.clone())));
        }
        if at >= behind {
            reads.splice(..0, stats.clone());
        }
        let scratch: Vec<_> =
            scratch.iter().map(|&slot| slots[slot].slice(0, bindable(plan.slots[slot]))).collect();
        wired.push((lowered, wire(lowered, &reads, &writes, &leaves, &scratch)?));
    }
    if behind == schedule.units.len() {
        wired.extend(update.iter().map(|(lowered, bindings)| (lowered, bindings.clone())));
    }
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
    // Constants go to the device now, because a waiting write would keep its buffer alive if the program is dropped
    // unused.
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

/// Which nodes a kernel may read: all except those from which only the host derives something.
fn read_by_kernels(nodes: &Nodes) -> Vec<bool> {
    let mut read = vec![false; nodes.len()];
    for (_, node) in nodes.iter().filter(|(_, node)| !matches!(node.op, Op::Host(_) | Op::Reshape)) {
        node.inputs.iter().for_each(|&input| read[nodes.base(input)] = true);
    }
    read
}

/// The buffers of each launch in binding order. An operand that a family was not given is an error, because leaving it
/// out would bind all others in wrong places.
fn wire(
    lowered: &Lowered,
    ins: &[Slice],
    outs: &[Slice],
    leaves: &[Slice],
    scratch: &[Slice],
) -> Result<Vec<Vec<Slice>>> {
    let slice = |label: &str, operand: &Operand| {
        let (role, at) = match *operand {
            Operand::In(at) => (ins, at),
            Operand::Out(at) => (outs, at),
            Operand::Scratch(at) => (scratch, at),
            Operand::Leaf(at) => (leaves, at),
        };
        let missing = || GraphError::Unbound { kernel: label.to_owned(), operand: format!("{operand:?}") };
        role.get(at).cloned().ok_or_else(missing)
    };
    let of = |launch: &Launch| {
        launch.bindings.iter().map(|operand| slice(&launch.label, operand)).collect::<Result<Vec<_>>>()
    };
    lowered.launches.iter().map(of).collect()
}

struct Binder {
    device: Device,
    memory: Memory,
    places: HashMap<NodeId, Slice>,
}

type Wired = (Lowered, Vec<Vec<Slice>>);

impl Binder {
    /// A buffer counted under one heading of the report. No buffer is empty, because an empty one cannot be bound.
    fn allocate(&mut self, label: &str, bytes: u64, heading: fn(&mut Memory) -> &mut u64) -> Result<Buffer> {
        let buffer = self.device.allocate(label, bindable(bytes))?;
        *heading(&mut self.memory) += buffer.bytes();
        Ok(buffer)
    }

    /// Memory of a node that a unit touches.
    fn place(&self, nodes: &Nodes, id: NodeId) -> Result<Slice> {
        let missing = || GraphError::Unplaced { op: nodes[id].op.traits().name, at: nodes[id].at };
        self.places.get(&id).cloned().ok_or_else(missing)
    }

    fn constant(&mut self, label: &str, bits: &[u32]) -> Result<Slice> {
        let slice = self.allocate(label, DType::U32.bytes(bits.len()), |m| &mut m.constants)?.all();
        if !bits.is_empty() {
            self.device.write(&slice, bytemuck::cast_slice(bits))?;
        }
        Ok(slice)
    }

    /// Buffers for host derivations that a kernel reads: written with each run, or now if already known.
    fn derived(
        &mut self,
        nodes: &Nodes,
        results: &[NodeId],
        known: Option<&[Vec<u32>]>,
        read: &[bool],
    ) -> Result<Vec<Option<Slice>>> {
        let mut slices = Vec::with_capacity(results.len());
        for (output, &id) in results.iter().enumerate() {
            slices.push(match known.and_then(|known| known.get(output)) {
                _ if !read[id] => None,
                Some(values) => Some(self.constant("derived", values)?),
                None => Some(self.allocate("derived", nodes[id].layout().bytes(), |m| &mut m.inputs)?.all()),
            });
        }
        Ok(slices)
    }

    /// Memory of the states that the program reads or keeps; `None` for a state that was recorded but is not used.
    fn states(
        &self,
        store: &ParamStore,
        nodes: &Nodes,
        declared: &Declared<'_>,
    ) -> Result<Vec<Option<(String, Shape, Slice)>>> {
        let states = declared.states.iter().enumerate().map(|(index, state)| {
            if !nodes.iter().any(|(_, node)| node.op == Op::State(index)) {
                return Ok(None);
            }
            let place = store.state(declared.training, &state.name, state.shape)?;
            Ok(Some((state.name.clone(), state.shape, place)))
        });
        states.collect()
    }

    /// The optimizer's launches over the parameters that have a gradient, and its statistics. New state values, by
    /// number of elements and place, are checked too. As in PyTorch, a parameter that the loss does not reach is not
    /// touched. Adjacent parameters are updated as one.
    fn update(
        &mut self,
        store: &ParamStore,
        control: &Slice,
        grads: &[(ParamId, NodeId)],
        kept: &[(usize, Slice)],
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
            runs.push(optimizer::Run { len: DType::F32.count(place.2), first });
        }
        ins.extend(kept.iter().map(|(_, from)| from.clone()));
        let carried = kept.iter().map(|(len, _)| *len).collect();
        let problem = optimizer::Problem { runs, members: ids.len(), carried };
        let lowered = optimizer::lower(&problem, self.device.facts())?;
        let stats = DType::U32.bytes(optimizer::stats_len(store.specs().len()));
        let stats = self.allocate("statistics", stats, |m| &mut m.outputs)?.all();
        let scratch = lowered
            .scratch
            .iter()
            .map(|&bytes| Ok(self.allocate("scratch", bytes, |m| &mut m.outputs)?.all()))
            .collect::<Result<Vec<_>>>()?;
        let bindings = wire(&lowered, &ins, std::slice::from_ref(&stats), &[], &scratch)?;
        Ok(((lowered, bindings), stats))
    }
}

#[cfg(test)]
mod tests {
    use seqloom_device::AdapterKind;
    use seqloom_kernels::view;

    use super::*;
    use crate::compile::target::example::facts;

    #[test]
    fn an_operand_that_a_unit_does_not_have_is_an_error_and_shifts_no_binding() {
        let lowered = view::lower(&view::Problem::copy(8), &facts(AdapterKind::Cpu)).unwrap();
        let error = wire(&lowered, &[], &[], &[], &[]).unwrap_err();
        let GraphError::Unbound { operand, .. } = &error else { panic!("{error}") };
        assert_eq!(operand, "In(0)");
    }
}
