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
use crate::run::update::{Rest, Update};

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
    /// Whether the gradients are added to those of other batches.
    pub accumulates: bool,
}

/// Allocates and binds a program, and the update that follows it.
pub(crate) fn bind(
    store: &ParamStore,
    declared: &Declared<'_>,
    compiled: &Compiled,
    update: Option<&Update>,
) -> Result<Bound> {
    let Compiled { nodes, roots, schedule, .. } = compiled;
    let mut binder = Binder::on(store.device());
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
        while let Some(limit) = limits.next_if(|limit| limit.at == id) {
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
    binder.written_over(compiled);
    for id in roots.outputs.iter().map(|(_, id)| nodes.base(*id)) {
        if !binder.places.contains_key(&id) {
            let slice = binder.allocate("output", nodes[id].layout().bytes(), |m| &mut m.outputs)?.all();
            binder.places.insert(id, slice);
        }
    }
    let slots = binder.planned(store, compiled)?;
    // States change when all their readers have run, and after it is known whether the step counts; before the update, which may
    // use the same slots.
    let keeps = |unit: &Unit| nodes[unit.at].op == Op::Keep;
    let behind = schedule.units.iter().position(keeps).unwrap_or(schedule.units.len());
    let kept = schedule.units[behind..]
        .iter()
        .map(|unit| Ok((nodes[unit.at].shape.elements(), binder.place(nodes, unit.reads[0])?)));
    let kept = kept.collect::<Result<Vec<_>>>()?;
    let ids: Vec<_> = roots.grads.iter().map(|(param, _)| *param).collect();
    let norm = update.map(|_| binder.norm(store, &control, (&ids, Arena::Grads), &kept)).transpose()?;
    let stats = norm.as_ref().map(|(_, stats)| stats.clone());
    let mut wired = binder.wired(compiled, &slots, &control, stats.as_ref())?;
    let mut last = wired.split_off(behind);
    wired.extend(norm.map(|(norm, _)| norm));
    wired.append(&mut last);
    if let (Some(update), Some(stats)) = (update, &stats) {
        wired.extend(binder.update(store, update, Arena::Grads, stats, &slots)?);
    }
    if declared.accumulates {
        wired.extend(binder.accumulate(store, &control, &ids)?);
    }
    binder.memory.parameters = store.bytes();
    let (dispatches, launches) = dispatches(&binder.device, &wired)?;
    // Constants go to the device now, because a waiting write would keep its buffer alive if the program is dropped
    // unused.
    binder.device.submit(&[])?;
    Ok(Bound {
        dispatches,
        launches,
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

/// The launches with their buffers as dispatches, and their reports.
fn dispatches(device: &Device, wired: &[Wired]) -> Result<(Vec<Dispatch>, Vec<DispatchInfo>)> {
    let launches: Vec<_> = wired.iter().flat_map(|(lowered, _)| &lowered.launches).collect();
    let shaders: Vec<_> = launches.iter().map(|launch| launch.wgsl.clone()).collect();
    let pipelines = device.pipelines(&shaders)?;
    let bindings: Vec<_> = wired.iter().flat_map(|(_, bindings)| bindings).collect();
    let dispatches = launches
        .iter()
        .zip(&pipelines)
        .zip(&bindings)
        .map(|((launch, pipeline), bindings)| {
            device.dispatch(pipeline, &launch.label, bindings, &launch.immediates, launch.grid)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let infos = launches.iter().zip(&bindings).map(|(launch, buffers)| DispatchInfo::of(launch, buffers));
    Ok((dispatches, infos.collect()))
}

/// What begins and ends a step over several batches.
pub(crate) struct BoundSums {
    pub control: Slice,
    pub stats: Slice,
    pub clear: Vec<Dispatch>,
    pub apply: Vec<Dispatch>,
}

/// Binds the clearing of the sums of gradients, and the update of these parameters from them.
pub(crate) fn bind_sums(store: &ParamStore, update: &Update, ids: &[ParamId]) -> Result<BoundSums> {
    store.allocate_sums()?;
    let mut binder = Binder::on(store.device());
    let control = binder.allocate("control", size_of::<Control>() as u64, |m| &mut m.inputs)?.all();
    let clear = store.sums().into_iter().map(|sum| {
        let lowered = optimizer::clear(DType::F32.count(sum.bytes), binder.device.facts())?;
        let bindings = wire(&lowered, &[], &[sum], &[], &[])?;
        Ok((lowered, bindings))
    });
    let clear = clear.collect::<Result<Vec<_>>>()?;
    let (norm, stats) = binder.norm(store, &control, (ids, Arena::Sums), &[])?;
    let mut apply = vec![norm];
    apply.extend(binder.update(store, update, Arena::Sums, &stats, &[])?);
    let [clear, apply] = [&clear, &apply].map(|wired| dispatches(&binder.device, wired));
    let ((clear, _), (apply, _)) = (clear?, apply?);
    binder.device.submit(&[])?;
    Ok(BoundSums { control, stats, clear, apply })
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

/// Launches with the buffers of each.
type Wired = (Lowered, Vec<Vec<Slice>>);

impl Binder {
    /// Nothing is bound yet.
    fn on(device: &Device) -> Self {
        Self { device: device.clone(), memory: Memory::default(), places: HashMap::new() }
    }

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

    /// A result written over a given tensor is there.
    fn written_over(&mut self, compiled: &Compiled) {
        for &(result, operand) in compiled.schedule.units.iter().flat_map(|unit| &unit.over) {
            let given = self.places.get(&compiled.nodes.base(operand)).cloned();
            self.places.extend(given.map(|place| (result, place)));
        }
    }

    /// The planned slots, and the places of everything that lies in them or in a part of another tensor.
    fn planned(&mut self, store: &ParamStore, compiled: &Compiled) -> Result<Vec<Buffer>> {
        let Compiled { nodes, plan, .. } = compiled;
        let slots = store.slots().take(&self.device, &plan.slots)?;
        self.memory.slots = slots.iter().map(Buffer::bytes).sum();
        for (id, slot) in plan.of_node.iter().enumerate() {
            if let Some(slot) = slot {
                self.places.insert(id, slots[*slot].slice(0, nodes[id].layout().bindable()));
            }
        }
        for id in 0..nodes.len() {
            if let Some((owner, offset)) = nodes.part(id)
                && let Some(whole) = self.places.get(&owner)
            {
                let place = whole.buffer.slice(whole.offset + offset, nodes[id].layout().bytes());
                self.places.insert(id, place);
            }
        }
        Ok(slots)
    }

    /// All units with their buffers. `shared` is the control buffer, or what stands for it; units that keep a state read the
    /// statistics first, if there are some.
    fn wired(
        &self,
        compiled: &Compiled,
        slots: &[Buffer],
        shared: &Slice,
        stats: Option<&Slice>,
    ) -> Result<Vec<Wired>> {
        let Compiled { nodes, schedule, launches, plan, .. } = compiled;
        let units = schedule.units.iter().zip(launches).zip(&plan.of_scratch);
        let wired = units.map(|((unit, lowered), scratch)| {
            let places =
                |ids: &[NodeId]| ids.iter().map(|&id| self.place(nodes, id)).collect::<Result<Vec<_>>>();
            let (mut reads, writes) = (places(&unit.reads)?, places(&unit.writes)?);
            let mut leaves = reads[unit.operands..].to_vec();
            if unit.reads_control {
                leaves.push(shared.clone());
            }
            if nodes[unit.at].op == Op::Keep {
                reads.splice(..0, stats.cloned());
            }
            let scratch: Vec<_> =
                scratch.iter().map(|&slot| slots[slot].slice(0, bindable(plan.slots[slot]))).collect();
            Ok((lowered.clone(), wire(lowered, &reads, &writes, &leaves, &scratch)?))
        });
        wired.collect()
    }

    /// The norm of the gradients of the parameters that have one, and the statistics. New state values, by number of elements and
    /// place, are checked too. As in PyTorch, a parameter that the loss does not reach is not touched.
    fn norm(
        &mut self,
        store: &ParamStore,
        control: &Slice,
        (ids, arena): (&[ParamId], Arena),
        kept: &[(usize, Slice)],
    ) -> Result<(Wired, Slice)> {
        let members: Vec<_> = ids.iter().map(|id| u32::try_from(id.index()).unwrap_or(u32::MAX)).collect();
        let members = self.constant("updated parameters", &members)?;
        let (mut ins, mut runs) = (vec![control.clone(), members, store.counted()?.counts()], Vec::new());
        for run in store.runs(ids)? {
            let gradients = store.span(arena, &run)?;
            runs.push(DType::F32.count(gradients.bytes));
            ins.push(gradients);
        }
        ins.extend(kept.iter().map(|(_, from)| from.clone()));
        let carried = kept.iter().map(|(len, _)| *len).collect();
        let problem = optimizer::Problem { runs, members: ids.len(), carried };
        let lowered = optimizer::norm(&problem, self.device.facts())?;
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

    /// Adds the gradients of these parameters to the sums.
    fn accumulate(&self, store: &ParamStore, control: &Slice, ids: &[ParamId]) -> Result<Vec<Wired>> {
        let wired = store.runs(ids)?.into_iter().map(|run| {
            let ins = [control.clone(), store.span(Arena::Grads, &run)?, store.span(Arena::Sums, &run)?];
            let lowered = optimizer::accumulate(DType::F32.count(ins[1].bytes), self.device.facts())?;
            let bindings = wire(&lowered, &ins, &[], &[], &[])?;
            Ok((lowered, bindings))
        });
        wired.collect()
    }

    /// The launches of an update. Its slots may be those that the step has used.
    fn update(
        &mut self,
        store: &ParamStore,
        update: &Update,
        gradients: Arena,
        stats: &Slice,
        used: &[Buffer],
    ) -> Result<Vec<Wired>> {
        let mut wired = Vec::new();
        for fused in &update.fused {
            let (owners, first) = store.owners(&fused.run)?;
            let mut ins = vec![stats.clone(), owners];
            let states = fused.states.iter().map(|name| Arena::State(name));
            for arena in [Arena::Params, gradients].into_iter().chain(states) {
                ins.push(store.span(arena, &fused.run)?);
            }
            let run = optimizer::Run { len: DType::F32.count(ins[2].bytes), first };
            let lowered = optimizer::update(run, self.device.facts(), &fused.fusion)?;
            let bindings = wire(&lowered, &ins, &[], &[], &[])?;
            wired.push((lowered, bindings));
        }
        if let Some(Rest { compiled, states, inputs }) = &update.rest {
            let mut binder = Self::on(&self.device);
            for (id, node) in compiled.nodes.iter() {
                let place = match &node.op {
                    Op::State(index) => store.slice(states[*index].0, states[*index].1)?,
                    Op::Input(index) => store.slice(gradients, inputs[*index])?,
                    Op::Literal(bits) => binder.constant("constant", bits)?,
                    _ => continue,
                };
                binder.places.insert(id, place);
            }
            binder.written_over(compiled);
            let slots = binder.planned(store, compiled)?;
            let new = slots.iter().filter(|slot| used.iter().all(|used| used.id() != slot.id()));
            self.memory.slots += new.map(Buffer::bytes).sum::<u64>();
            self.memory.constants += binder.memory.constants;
            wired.extend(binder.wired(compiled, &slots, stats, Some(stats))?);
        }
        Ok(wired)
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
