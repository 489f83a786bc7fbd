//! Parameters and constants on the device: parallel arenas with one layout ([`super::arena`]), so the optimizer, the clip and a
//! checkpoint are each one operation over one buffer.
//!
//! The store also holds each parameter's update count (`updates`) and the carried states (`states`). Clones of a store
//! share them, unless one asks for its own states.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seqloom_device::{Buffer, Device, Slice};

use crate::ir::error::{GraphError, Result};
use crate::ir::shape::Shape;
use crate::ir::specs::ParamId;
use crate::record::graph::Graph;
use crate::record::params::{ParamSpec, Params};
use crate::run::arena::{Arena, Place, Places, StoreKind, layout, room};
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
    places: Vec<Place>,
    /// By arena, its chunks. Those of constants come last, and only values have them.
    arenas: Vec<Vec<Buffer>>,
    /// In a training store.
    updates: Option<UpdateCounts>,
    slots: Mutex<Slots>,
}

impl ParamStore {
    /// Moves the parameters to the device.
    ///
    /// # Errors
    /// A mistake kept by [`Params::add`]; a parameter larger than the adapter can bind; the device's refusal.
    pub fn new(device: &Device, params: Params, kind: StoreKind) -> Result<Self> {
        let origin = params.origin();
        let mut specs = params.into_specs()?;
        let facts = device.facts();
        let limit = facts.max_binding_bytes.min(facts.max_buffer_bytes);
        let Places { places, chunks, trained } = layout(&specs, limit)?;
        let arenas = match kind {
            StoreKind::Inference => &["parameters"][..],
            StoreKind::Training => &["parameters", "gradients", "first moments", "second moments"][..],
        };
        let arenas = arenas
            .iter()
            .enumerate()
            .map(|(index, arena)| {
                let chunks = if index == 0 { &chunks } else { &chunks[..trained] };
                chunks.iter().map(|&bytes| device.allocate(arena, bytes)).collect()
            })
            .collect::<Result<Vec<Vec<Buffer>>, _>>()?;
        let values: Vec<_> = specs.iter_mut().map(|spec| std::mem::take(&mut spec.values)).collect();
        let updates = match kind {
            StoreKind::Inference => None,
            StoreKind::Training => Some(UpdateCounts::new(device, &places, &chunks[..trained])?),
        };
        let slots = Mutex::default();
        let specs: Arc<[ParamSpec]> = specs.into();
        let inner = Arc::new(Inner { device: device.clone(), origin, specs, places, arenas, updates, slots });
        let store = Self { inner, states: Arc::default() };
        for (index, values) in values.iter().enumerate() {
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
        let arenas: u64 = self.inner.arenas.iter().flatten().map(Buffer::bytes).sum();
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
        let chunks = self.chunks(arena)?;
        let bytes =
            chunks.iter().map(|c| self.inner.device.read(&c.all()).wait()).collect::<Result<Vec<_>, _>>()?;
        let values = self.inner.places.iter().map(|&(chunk, offset, len)| {
            let chunk = bytes.get(chunk)?;
            Some(bytemuck::pod_collect_to_vec(&chunk[offset as usize..(offset + len) as usize]))
        });
        Ok(values.map(Option::unwrap_or_default).collect())
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
        if values.len() != spec.shape.elements() {
            return Err(GraphError::ParamLength {
                name: spec.name.clone(),
                needs: spec.shape.elements(),
                has: values.len(),
            });
        }
        if !values.is_empty() {
            self.inner.device.write(&self.place(arena, index)?, bytemuck::cast_slice(values))?;
        }
        Ok(())
    }

    /// Where a parameter lies in an arena.
    pub(crate) fn slice(&self, arena: Arena, id: ParamId) -> Result<Slice> {
        if id.index() >= self.inner.places.len() {
            return Err(GraphError::UnknownParam { id: id.index(), count: self.inner.places.len() });
        }
        self.place(arena, id.index())
    }

    fn place(&self, arena: Arena, index: usize) -> Result<Slice> {
        let (chunk, offset, bytes) = self.inner.places[index];
        let Some(chunk) = self.chunks(arena)?.get(chunk) else {
            return Err(GraphError::NotTrained { name: self.inner.specs[index].name.clone() });
        };
        Ok(chunk.slice(offset, bytes))
    }

    /// Places that hold these parameters, given in order, with the gaps after them. Consecutive parameters of a chunk
    /// share a place.
    pub(crate) fn runs(&self, ids: &[ParamId]) -> Result<Vec<Place>> {
        let mut runs: Vec<Place> = Vec::new();
        for id in ids {
            let Some(&(chunk, offset, bytes)) = self.inner.places.get(id.index()) else {
                return Err(GraphError::UnknownParam { id: id.index(), count: self.inner.places.len() });
            };
            let padded = room(bytes);
            match runs.last_mut() {
                Some((last, start, len)) if *last == chunk && *start + *len == offset => *len += padded,
                _ => runs.push((chunk, offset, padded)),
            }
        }
        Ok(runs)
    }

    /// A place of an arena.
    pub(crate) fn range(&self, arena: Arena, (chunk, offset, bytes): Place) -> Result<Slice> {
        Ok(self.chunks(arena)?[chunk].slice(offset, bytes))
    }

    /// All of an arena.
    pub(crate) fn whole(&self, arena: Arena) -> Result<Vec<Slice>> {
        Ok(self.chunks(arena)?.iter().map(Buffer::all).collect())
    }

    /// The update counts, and the owners of the arenas' blocks.
    pub(crate) fn counted(&self) -> Result<&UpdateCounts> {
        self.inner.updates.as_ref().ok_or(GraphError::NoArena { arena: "counts of updates" })
    }

    /// The buffers of an arena.
    fn chunks(&self, arena: Arena) -> Result<&[Buffer]> {
        let (index, name) = match arena {
            Arena::Params => (0, "parameters"),
            Arena::Grads => (1, "gradients"),
            Arena::Moment1 => (2, "first moments"),
            Arena::Moment2 => (3, "second moments"),
        };
        self.inner.arenas.get(index).map(Vec::as_slice).ok_or(GraphError::NoArena { arena: name })
    }
}

impl AsRef<ParamStore> for ParamStore {
    fn as_ref(&self) -> &ParamStore {
        self
    }
}
