//! Parameters on the device: parallel arenas with one layout ([`super::arena`]), so the optimizer, the clip and a checkpoint are
//! each one operation over one buffer.
//!
//! Beside them lie carried states: tensors that a run leaves for the next one, such as the state of a recurrent network
//! that reads a text in windows. They belong to the store because windows of several lengths are several programs. Clones
//! share them, unless one asks for its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seqloom_device::{Buffer, Device, Slice};

use crate::ir::error::{GraphError, Result};
use crate::ir::layout::ALIGNMENT;
use crate::ir::specs::ParamId;
use crate::record::graph::Graph;
use crate::record::params::{ParamSpec, Params};
use crate::run::arena::{Arena, Place, StoreKind, layout};
use crate::run::slots::Slots;

/// The parameters of a model on a device, shared by all its programs; cloning shares them, and carried states too.
#[derive(Clone, Debug)]
pub struct ParamStore {
    inner: Arc<Inner>,
    states: Arc<Mutex<States>>,
}

#[derive(Debug)]
struct Inner {
    device: Device,
    specs: Vec<ParamSpec>,
    places: Vec<Place>,
    /// By arena, its chunks.
    arenas: Vec<Vec<Buffer>>,
    slots: Mutex<Slots>,
}

/// Carried states by whether a training graph made them, name and dimensions.
type States = BTreeMap<(bool, String, Vec<usize>), Buffer>;

/// A carried state in host memory: what a checkpoint holds of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StateValue {
    /// Its name in the graph.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub values: Vec<f32>,
}

impl ParamStore {
    /// Moves the parameters to the device.
    ///
    /// # Errors
    /// A mistake kept by [`Params::add`]; a parameter larger than the adapter can bind; the device's refusal.
    pub fn new(device: &Device, params: Params, kind: StoreKind) -> Result<Self> {
        let mut specs = params.into_specs()?;
        let facts = device.facts();
        let limit = facts.max_binding_bytes.min(facts.max_buffer_bytes);
        let (places, chunks) = layout(&specs, limit)?;
        let arenas = match kind {
            StoreKind::Inference => &["parameters"][..],
            StoreKind::Training => &["parameters", "gradients", "first moments", "second moments"][..],
        };
        let arenas = arenas
            .iter()
            .map(|arena| chunks.iter().map(|&bytes| device.allocate(arena, bytes)).collect())
            .collect::<Result<Vec<Vec<Buffer>>, _>>()?;
        let values: Vec<_> = specs.iter_mut().map(|spec| std::mem::take(&mut spec.values)).collect();
        let slots = Mutex::default();
        let inner = Arc::new(Inner { device: device.clone(), specs, places, arenas, slots });
        let store = Self { inner, states: Arc::default() };
        for (index, values) in values.iter().enumerate() {
            store.write(Arena::Params, index, values)?;
        }
        Ok(store)
    }

    /// The same parameters with carried states of its own, none at first. What generates text from a model that is being
    /// trained, or several that generate at once, thus never meet in a state; and theirs are freed with them.
    #[must_use]
    pub fn with_own_states(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), states: Arc::default() }
    }

    /// The device they lie on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The parameters' names and shapes, in the order they were registered.
    #[must_use]
    pub fn specs(&self) -> &[ParamSpec] {
        &self.inner.specs
    }

    /// Bytes of all arenas and carried states.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.inner.arenas.iter().flatten().chain(self.states().values()).map(Buffer::bytes).sum()
    }

    /// Bytes of the slots of intermediate tensors, which all programs over this store share.
    #[must_use]
    pub fn slot_bytes(&self) -> u64 {
        self.slots().bytes()
    }

    /// Sets the carried states of training or of inference to 0, for the runs that follow.
    ///
    /// # Errors
    /// The device's failure.
    pub fn reset_states(&self, training: bool) -> Result<()> {
        for (_, buffer) in self.states().iter().filter(|(key, _)| key.0 == training) {
            let zeros = vec![0u8; usize::try_from(buffer.bytes()).unwrap_or(0)];
            self.inner.device.write(&buffer.all(), &zeros)?;
        }
        Ok(())
    }

    /// The carried states of training. Waits for the device.
    ///
    /// # Errors
    /// The device's failure.
    pub fn read_states(&self) -> Result<Vec<StateValue>> {
        let states = self.states();
        let training = states.iter().filter(|((training, ..), _)| *training);
        training
            .map(|((_, name, shape), buffer)| {
                let bytes = 4 * shape.iter().product::<usize>() as u64;
                let values =
                    bytemuck::pod_collect_to_vec(&self.inner.device.read(&buffer.slice(0, bytes)).wait()?);
                Ok(StateValue { name: name.clone(), shape: shape.clone(), values })
            })
            .collect()
    }

    /// Replaces the carried states of training: those that are not named become 0.
    ///
    /// # Errors
    /// [`GraphError::HostShape`] if values do not fill their shape, and then nothing was changed; the device's failure.
    pub fn write_states(&self, values: &[StateValue]) -> Result<()> {
        if let Some(bad) = values.iter().find(|v| v.shape.iter().product::<usize>() != v.values.len()) {
            return Err(GraphError::HostShape { shape: bad.shape.clone(), len: bad.values.len() });
        }
        self.reset_states(true)?;
        for StateValue { name, shape, values } in values.iter().filter(|v| !v.values.is_empty()) {
            let place = self.state(true, name, shape)?;
            self.inner.device.write(&place, bytemuck::cast_slice(values))?;
        }
        Ok(())
    }

    /// Where a carried state lies, made of zeros if it is new.
    pub(crate) fn state(&self, training: bool, name: &str, shape: &[usize]) -> Result<Slice> {
        let bytes = 4 * shape.iter().product::<usize>().max(1) as u64;
        let mut states = self.states();
        let key = (training, name.to_owned(), shape.to_vec());
        if let Some(buffer) = states.get(&key) {
            return Ok(buffer.slice(0, bytes));
        }
        let buffer = self.inner.device.allocate(name, bytes)?;
        let place = buffer.slice(0, bytes);
        states.insert(key, buffer);
        Ok(place)
    }

    /// The states hold no promise between each other that a panic elsewhere could break.
    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The programs' slots. Who holds them is the one whose run may write there.
    pub(crate) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty graph over these parameters that records a training step: dropout is active.
    #[must_use]
    pub fn training_graph(&self) -> Graph {
        Graph::over(self.inner.specs.iter().map(|s| s.shape).collect(), true)
    }

    /// An empty graph over these parameters that records inference: dropout passes its operand on.
    #[must_use]
    pub fn inference_graph(&self) -> Graph {
        Graph::over(self.inner.specs.iter().map(|s| s.shape).collect(), false)
    }

    /// Every parameter's row-major values from an arena, in the order of [`Self::specs`]. Waits for the device.
    ///
    /// # Errors
    /// [`GraphError::NoArena`], or the device's failure.
    pub fn read(&self, arena: Arena) -> Result<Vec<Vec<f32>>> {
        let chunks = self.chunks(arena)?;
        let bytes =
            chunks.iter().map(|c| self.inner.device.read(&c.all()).wait()).collect::<Result<Vec<_>, _>>()?;
        let values = self.inner.places.iter().map(|&(chunk, offset, len)| {
            bytemuck::pod_collect_to_vec(&bytes[chunk][offset as usize..(offset + len) as usize])
        });
        Ok(values.collect())
    }

    /// Replaces the values of the parameter at `index` in an arena.
    ///
    /// # Errors
    /// [`GraphError::UnknownParam`], [`GraphError::ParamLength`], [`GraphError::NoArena`], or the device's failure.
    pub fn write(&self, arena: Arena, index: usize, values: &[f32]) -> Result<()> {
        let Some(spec) = self.inner.specs.get(index) else {
            return Err(GraphError::UnknownParam { id: index, count: self.inner.specs.len() });
        };
        if values.len() != spec.shape.len() {
            return Err(GraphError::ParamLength {
                name: spec.name.clone(),
                needs: spec.shape.len(),
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
        Ok(self.chunks(arena)?[chunk].slice(offset, bytes))
    }

    /// Ranges of an arena that hold these parameters, given in order, with the gaps behind them; parameters that follow
    /// one another in a chunk share a range.
    pub(crate) fn runs(&self, arena: Arena, ids: &[ParamId]) -> Result<Vec<Slice>> {
        let chunks = self.chunks(arena)?;
        let mut runs: Vec<Place> = Vec::new();
        for id in ids {
            let Some(&(chunk, offset, bytes)) = self.inner.places.get(id.index()) else {
                return Err(GraphError::UnknownParam { id: id.index(), count: self.inner.places.len() });
            };
            let padded = bytes.next_multiple_of(ALIGNMENT);
            match runs.last_mut() {
                Some((last, start, len)) if *last == chunk && *start + *len == offset => *len += padded,
                _ => runs.push((chunk, offset, padded)),
            }
        }
        Ok(runs.into_iter().map(|(chunk, offset, bytes)| chunks[chunk].slice(offset, bytes)).collect())
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
