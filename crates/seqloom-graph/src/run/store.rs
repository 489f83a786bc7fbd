//! Parameters and constants on the device: parallel arenas in one order ([`super::arena`]), so the optimizer, the clip and a
//! checkpoint are each one operation over one buffer.
//!
//! The states of the optimizer are allocated when it is attached; a store has one optimizer.
//!
//! The store also holds each parameter's update count (`updates`) and the carried states (`states`). Clones of a store
//! share them, unless one asks for its own states.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use seqloom_device::{Buffer, Device, Slice};

use crate::ir::error::{GraphError, Result};
use crate::ir::layout::{ALIGNMENT, DType};
use crate::ir::shape::Shape;
use crate::ir::specs::ParamId;
use crate::record::graph::Graph;
use crate::record::optimizer::{Kept, Optimizer, Treatment};
use crate::record::params::{ParamSpec, Params};
use crate::run::arena::{Allocated, Arena, Places, StoreKind, room};
use crate::run::kept::KeptStates;
use crate::run::slots::Slots;
use crate::run::states::{StateValue, States};
use crate::run::updates::{UpdateCounts, Updates};

/// The parameters of a model on a device, shared by all its programs; cloning shares them, and carried states too.
#[derive(Clone, Debug)]
pub struct ParamStore {
    inner: Arc<Inner>,
    states: Arc<Mutex<States>>,
}

#[derive(Debug)]
struct Inner {
    device: Device,
    /// Of the registry that the parameters come from.
    origin: u64,
    specs: Arc<[ParamSpec]>,
    values: Allocated,
    /// In a training store, like the counts.
    grads: Option<Allocated>,
    updates: Option<UpdateCounts>,
    /// Sums of gradients, once a step over several batches asked for them.
    sums: OnceLock<Allocated>,
    /// By parameter.
    treatments: Vec<Treatment>,
    /// What the optimizer keeps, once there is one.
    kept: OnceLock<KeptStates>,
    slots: Mutex<Slots>,
}

impl ParamStore {
    /// Moves the parameters to the device.
    ///
    /// # Errors
    /// A mistake kept by [`Params::add`]; a parameter larger than the adapter can bind; the device's refusal.
    pub fn new(device: &Device, params: Params, kind: StoreKind) -> Result<Self> {
        let (origin, specs) = (params.origin(), params.into_specs()?);
        let treatments = vec![Treatment::default(); specs.len()];
        Self::with(device, origin, specs, treatments, kind)
    }

    fn with(
        device: &Device,
        origin: u64,
        mut specs: Vec<ParamSpec>,
        treatments: Vec<Treatment>,
        kind: StoreKind,
    ) -> Result<Self> {
        let facts = device.facts();
        let limit = facts.max_binding_bytes.min(facts.max_buffer_bytes);
        let places = Places::of_values(&specs, &treatments, limit)?;
        let (grads, updates) = match kind {
            StoreKind::Inference => (None, None),
            StoreKind::Training => {
                let shapes: Vec<_> = specs.iter().map(|spec| spec.trained.then_some(spec.shape)).collect();
                let mut of_grads = places.beside(&shapes);
                of_grads.chunks[0] = of_grads.chunks[0].max(ALIGNMENT);
                let grads = Allocated::new(device, "gradients", of_grads)?;
                (Some(grads), Some(UpdateCounts::new(device, &places)?))
            }
        };
        let values_of: Vec<_> = specs.iter_mut().map(|spec| std::mem::take(&mut spec.values)).collect();
        let values = Allocated::new(device, "parameters", places)?;
        let slots = Mutex::default();
        let specs: Arc<[ParamSpec]> = specs.into();
        let (device, sums, kept) = (device.clone(), OnceLock::new(), OnceLock::new());
        let inner =
            Arc::new(Inner { device, origin, specs, values, grads, updates, sums, treatments, kept, slots });
        let store = Self { inner, states: Arc::default() };
        for (index, values) in values_of.iter().enumerate() {
            store.write(Arena::Params, index, values)?;
        }
        Ok(store)
    }

    /// The same parameters with separate carried states, initially none. So generators, also of a model that is being
    /// trained, never share a state, and their states are freed with them.
    #[must_use]
    pub fn with_own_states(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), states: Arc::default() }
    }

    /// Makes this the optimizer of these parameters: its states are allocated and begin. Attaching it again changes nothing.
    ///
    /// # Errors
    /// [`GraphError::OtherOptimizer`] if another one, or one with other states, is attached; [`GraphError::NoArena`] in a store for
    /// inference; a state that the adapter cannot hold; the device's refusal.
    pub fn attach(&self, optimizer: &dyn Optimizer) -> Result<()> {
        let Inner { device, specs, values, grads, kept, .. } = &*self.inner;
        if grads.is_none() {
            return Err(GraphError::NoArena { arena: "states of an optimizer" });
        }
        let states = |spec: &ParamSpec| if spec.trained { optimizer.states(&spec.shape) } else { Vec::new() };
        let needs: Vec<_> = specs.iter().map(states).collect();
        if let Some(kept) = kept.get() {
            return kept.check(optimizer.name(), &needs);
        }
        let states = KeptStates::new(device, optimizer.name(), &values.places, needs)?;
        // Another thread may have been first.
        if let Err(states) = kept.set(states) {
            return kept.get().map_or(Ok(()), |kept| kept.check(states.optimizer, &states.of_params));
        }
        let (of_params, values) = (self.kept_states(), self.read(Arena::Params)?);
        for ((index, states), values) in of_params.iter().enumerate().zip(&values) {
            for state in states {
                let first = KeptStates::first(state, values);
                if !first.is_empty() {
                    self.write(Arena::State(state.name), index, &first)?;
                }
            }
        }
        Ok(())
    }

    /// The same parameters in a new training store, treated so: those of equal treatment are adjacent, and frozen ones are not
    /// trained. Graphs and programs over the old store do not serve the new one. Counts of updates, states of an optimizer and
    /// carried states begin anew. Waits for the device.
    ///
    /// # Errors
    /// [`GraphError::UnknownParam`] if there are not as many treatments as parameters; the device's failure.
    pub fn treated(&self, treatments: Vec<Treatment>) -> Result<Self> {
        let Inner { device, origin, specs, .. } = &*self.inner;
        if treatments.len() != specs.len() {
            return Err(GraphError::UnknownParam { id: treatments.len(), count: specs.len() });
        }
        let values = self.read(Arena::Params)?;
        let mut specs = specs.to_vec();
        for ((spec, values), treatment) in specs.iter_mut().zip(values).zip(&treatments) {
            spec.trained &= !treatment.frozen;
            spec.values = values;
        }
        Self::with(device, *origin, specs, treatments, StoreKind::Training)
    }

    /// How a parameter is trained.
    pub(crate) fn treatment(&self, index: usize) -> Treatment {
        self.inner.treatments.get(index).copied().unwrap_or_default()
    }

    /// How the parameters are trained, in the order of [`Self::specs`].
    #[must_use]
    pub fn treatments(&self) -> &[Treatment] {
        &self.inner.treatments
    }

    /// The name of the optimizer, if one is attached.
    #[must_use]
    pub fn optimizer(&self) -> Option<&'static str> {
        self.inner.kept.get().map(|kept| kept.optimizer)
    }

    /// The states that the attached optimizer keeps, by parameter.
    #[must_use]
    pub fn kept_states(&self) -> &[Vec<Kept>] {
        self.inner.kept.get().map_or(&[], |kept| &kept.of_params)
    }

    /// A store for inference whose values are what the optimizer keeps under this name for every trained parameter, such as a running
    /// mean of it; the others' are their own. It is the same memory, not a copy.
    ///
    /// # Errors
    /// [`GraphError::NoArena`] if there is no state of this name for all trained parameters, of their shapes.
    pub fn with_values_of(&self, state: &'static str) -> Result<Self> {
        let Inner { device, origin, specs, values, treatments, .. } = &*self.inner;
        let missing = || GraphError::NoArena { arena: state };
        let kept = |kept: &Vec<Kept>| kept.iter().any(|kept| kept.name == state);
        let all = specs.iter().zip(self.kept_states()).all(|(spec, states)| !spec.trained || kept(states));
        let values =
            values.replaced_by(self.arena(Arena::State(state))?).filter(|_| all).ok_or_else(missing)?;
        let (device, specs, treatments) = (device.clone(), Arc::clone(specs), treatments.clone());
        let inner = Inner {
            device,
            origin: *origin,
            specs,
            values,
            grads: None,
            updates: None,
            sums: OnceLock::new(),
            treatments,
            kept: OnceLock::new(),
            slots: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner), states: Arc::default() })
    }

    /// The device that holds them.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The parameters' and constants' names and shapes, in the order they were registered.
    #[must_use]
    pub fn specs(&self) -> &[ParamSpec] {
        &self.inner.specs
    }

    /// The identity that it shares with its parameters' registry.
    pub(crate) fn origin(&self) -> u64 {
        self.inner.origin
    }

    /// Bytes of all arenas, counts of updates and carried states.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let arenas: u64 = self.arenas().flat_map(Allocated::buffers).map(Buffer::bytes).sum();
        arenas + self.inner.updates.as_ref().map_or(0, UpdateCounts::bytes) + self.states().bytes()
    }

    /// Bytes of carried states.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.states().bytes()
    }

    /// Bytes of the slots of intermediate tensors, which all programs over this store share.
    #[must_use]
    pub fn slot_bytes(&self) -> u64 {
        self.slots().bytes()
    }

    /// How many updates the parameters have had. Waits for the device.
    ///
    /// # Errors
    /// [`GraphError::NoArena`] in a store for inference, or the device's failure.
    pub fn updates(&self) -> Result<Updates> {
        self.counted()?.read(&self.inner.device)
    }

    /// Replaces the counts of updates.
    ///
    /// # Errors
    /// [`GraphError::UnknownParam`] if there are not as many counts as parameters; [`GraphError::NoArena`] in a store for
    /// inference; the device's failure.
    pub fn write_updates(&self, updates: &Updates) -> Result<()> {
        if updates.of_params.len() != self.inner.specs.len() {
            let (id, count) = (updates.of_params.len(), self.inner.specs.len());
            return Err(GraphError::UnknownParam { id, count });
        }
        self.counted()?.write(&self.inner.device, updates)
    }

    /// Ends the carried sequences of training or of inference: for later runs the states are 0 and may have other
    /// shapes.
    pub fn reset_states(&self, training: bool) {
        self.states().reset(training);
    }

    /// The carried states of training that a run has left since they were reset. Waits for the device.
    ///
    /// # Errors
    /// The device's failure.
    pub fn read_states(&self) -> Result<Vec<StateValue>> {
        self.states().read(&self.inner.device, true)
    }

    /// Replaces the carried states of training: those that are not named become 0.
    ///
    /// # Errors
    /// [`GraphError::HostShape`] if values do not fill their shape, and then nothing was changed; the device's failure.
    pub fn write_states(&self, values: &[StateValue]) -> Result<()> {
        self.states().write(&self.inner.device, true, values)
    }

    /// Where a program carries a state of this shape, made if it is new.
    pub(crate) fn state(&self, training: bool, name: &str, shape: Shape) -> Result<Slice> {
        self.states().place(&self.inner.device, training, name, shape)
    }

    /// Makes the states that a run will read and write the live ones, 0 if they carry nothing yet.
    pub(crate) fn claim_states(&self, training: bool, wanted: &[(String, Shape, Slice)]) -> Result<()> {
        self.states().claim(&self.inner.device, training, wanted)
    }

    /// The states have no invariant between them that a panic elsewhere could break.
    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The programs' slots. Only the run that holds this lock may write there.
    pub(crate) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty graph over these parameters that records a training step: dropout is active.
    #[must_use]
    pub fn training_graph(&self) -> Graph {
        Graph::over(self.inner.origin, Arc::clone(&self.inner.specs), true)
    }

    /// An empty graph over these parameters that records inference: dropout passes its operand on.
    #[must_use]
    pub fn inference_graph(&self) -> Graph {
        Graph::over(self.inner.origin, Arc::clone(&self.inner.specs), false)
    }

    /// Every parameter's row-major values from an arena, in the order of [`Self::specs`]. A constant has none in an arena other
    /// than [`Arena::Params`]. Waits for the device.
    ///
    /// # Errors
    /// [`GraphError::NoArena`], or the device's failure.
    pub fn read(&self, arena: Arena) -> Result<Vec<Vec<f32>>> {
        self.arena(arena)?.read(&self.inner.device)
    }

    /// Replaces the values of the parameter at `index` in an arena.
    ///
    /// # Errors
    /// [`GraphError::UnknownParam`], [`GraphError::ParamLength`], [`GraphError::NoArena`], [`GraphError::NotTrained`] for a
    /// constant in an arena other than [`Arena::Params`], or the device's failure.
    pub fn write(&self, arena: Arena, index: usize, values: &[f32]) -> Result<()> {
        let Some(spec) = self.inner.specs.get(index) else {
            return Err(GraphError::UnknownParam { id: index, count: self.inner.specs.len() });
        };
        let place = self.place(arena, index)?;
        let needs = DType::F32.count(place.bytes);
        if values.len() != needs {
            return Err(GraphError::ParamLength { name: spec.name.clone(), needs, has: values.len() });
        }
        if !values.is_empty() {
            self.inner.device.write(&place, bytemuck::cast_slice(values))?;
        }
        Ok(())
    }

    /// Where a parameter lies in an arena.
    pub(crate) fn slice(&self, arena: Arena, id: ParamId) -> Result<Slice> {
        if id.index() >= self.inner.specs.len() {
            return Err(GraphError::UnknownParam { id: id.index(), count: self.inner.specs.len() });
        }
        self.place(arena, id.index())
    }

    fn place(&self, arena: Arena, index: usize) -> Result<Slice> {
        let spec = &self.inner.specs[index];
        if arena != Arena::Params && !spec.trained {
            return Err(GraphError::NotTrained { name: spec.name.clone() });
        }
        self.arena(arena)?.slice(index)
    }

    /// These parameters by where they lie: those of a run are adjacent.
    pub(crate) fn runs(&self, ids: &[ParamId]) -> Result<Vec<Vec<ParamId>>> {
        let places = &self.inner.values.places;
        let place = |id: &ParamId| {
            let missing = GraphError::UnknownParam { id: id.index(), count: self.inner.specs.len() };
            places.of.get(id.index()).copied().flatten().ok_or(missing)
        };
        let mut placed = ids.iter().map(|id| Ok((place(id)?, *id))).collect::<Result<Vec<_>>>()?;
        placed.sort_by_key(|(place, _)| *place);
        let mut runs: Vec<Vec<ParamId>> = Vec::new();
        let mut ends = None;
        for ((chunk, offset, bytes), id) in placed {
            match runs.last_mut() {
                Some(run) if ends == Some((chunk, offset)) => run.push(id),
                _ => runs.push(vec![id]),
            }
            ends = Some((chunk, offset + room(bytes)));
        }
        Ok(runs)
    }

    /// The owners of the blocks of a run, and the number of its first block among them.
    pub(crate) fn owners(&self, run: &[ParamId]) -> Result<(Slice, usize)> {
        let place = run.first().and_then(|id| self.inner.values.places.of.get(id.index()).copied().flatten());
        let place = place.ok_or(GraphError::UnknownParam { id: 0, count: self.inner.specs.len() })?;
        Ok(self.counted()?.owners(place))
    }

    /// Where adjacent parameters lie in an arena, with the gaps behind them.
    pub(crate) fn span(&self, arena: Arena, run: &[ParamId]) -> Result<Slice> {
        match run {
            [first, .., last] => self.arena(arena)?.span(first.index(), last.index()),
            [only] => self.arena(arena)?.span(only.index(), only.index()),
            [] => Err(GraphError::UnknownParam { id: 0, count: 0 }),
        }
    }

    /// The memory that an update changes: values, states, counts.
    pub(crate) fn updated(&self) -> Result<Vec<Slice>> {
        let kept = self.inner.kept.get().into_iter().flat_map(KeptStates::buffers);
        let buffers = self.inner.values.buffers().chain(kept);
        Ok(buffers.map(Buffer::all).chain([self.counted()?.counts()]).collect())
    }

    /// Makes room for sums of gradients, if there is none.
    pub(crate) fn allocate_sums(&self) -> Result<()> {
        let Inner { device, grads, sums, .. } = &*self.inner;
        let grads = grads.as_ref().ok_or(GraphError::NoArena { arena: "gradients" })?;
        if sums.get().is_none() {
            let made = Allocated::new(device, "sums of gradients", grads.places.clone())?;
            // Another thread may have been first.
            let _ = sums.set(made);
        }
        Ok(())
    }

    /// All sums of gradients.
    pub(crate) fn sums(&self) -> Vec<Slice> {
        self.inner.sums.get().into_iter().flat_map(Allocated::buffers).map(Buffer::all).collect()
    }

    /// All gradients.
    pub(crate) fn gradients(&self) -> Vec<Slice> {
        self.inner.grads.iter().flat_map(Allocated::buffers).map(Buffer::all).collect()
    }

    /// The update counts, and the owners of the arenas' blocks.
    pub(crate) fn counted(&self) -> Result<&UpdateCounts> {
        self.inner.updates.as_ref().ok_or(GraphError::NoArena { arena: "counts of updates" })
    }

    /// An arena.
    fn arena(&self, arena: Arena) -> Result<&Allocated> {
        let Inner { values, grads, kept, .. } = &*self.inner;
        match arena {
            Arena::Sums => self.inner.sums.get().ok_or(GraphError::NoArena { arena: "sums of gradients" }),
            Arena::Params => Ok(values),
            Arena::Grads => grads.as_ref().ok_or(GraphError::NoArena { arena: "gradients" }),
            Arena::State(name) => {
                let state = kept.get().and_then(|kept| kept.arena(name));
                state.ok_or(GraphError::NoArena { arena: name })
            }
        }
    }

    /// All arenas.
    fn arenas(&self) -> impl Iterator<Item = &Allocated> {
        let Inner { values, grads, kept, .. } = &*self.inner;
        let kept = kept.get().into_iter().flat_map(KeptStates::arenas);
        std::iter::once(values).chain(grads).chain(self.inner.sums.get()).chain(kept)
    }
}

impl AsRef<ParamStore> for ParamStore {
    fn as_ref(&self) -> &ParamStore {
        self
    }
}
