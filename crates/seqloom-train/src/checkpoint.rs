//! Checkpoints: safetensors files that hold everything a run needs to continue bit for bit.
//!
//! | in the file | what |
//! |---|---|
//! | `<name>` | the parameter or constant of that `state_dict` name, as PyTorch would store it |
//! | `<optimizer>.<state>.<name>` | what the optimizer keeps for a parameter, such as `adamw.m.<name>` and `adamw.v.<name>` |
//! | `<optimizer>.step.<name>` | how many updates it has had, a scalar of type F32 as in PyTorch's `state['step']` |
//! | `carried.<name>` | a state that the model carries from batch to batch, if it carries any |
//! | metadata `seqloom` | JSON: format version, steps, updates, seed, vocabulary (see [`State`]) |
//!
//! The metadata is one JSON text under one key, because the order of several keys is not defined and equal runs should
//! write equal files. A file is checked completely before the first byte goes to the device. It is written by replacing
//! the old file as a whole (temporary file, sync, rename). So a bad file or a full disk destroys nothing.
//!
//! Files of version 1 counted only steps. They are read that way: every step was an update of each parameter that has
//! moments.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use seqloom_graph::{Arena, Kept, ParamSpec, ParamStore, StateValue, Updates};
use seqloom_nn::Vocab;

use crate::error::{Error, Result};
use crate::fault::{CheckpointFault, Misshapen};
use crate::replace::replace;

/// The format this release writes. It reads this one and those before it.
pub const VERSION: u32 = 2;

const KEY: &str = "seqloom";
const CARRIED: &str = "carried.";
/// What counts a parameter's updates, between the optimizer's name and the parameter's.
const UPDATES: &str = ".step.";
/// The first moment in files of version 1.
const MOMENT: &str = "adamw.m.";

/// A run's state besides its tensors.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// Format of the file, [`VERSION`].
    pub version: u32,
    /// Steps done, including skipped ones.
    pub step: u64,
    /// Steps that were applied; schedules count these.
    #[serde(default)]
    pub applied: u64,
    /// Seed of the run: with the step, the whole state of its random numbers.
    pub seed: u64,
    /// Characters of the model's vocabulary in the order of their ids, if it has any.
    pub vocab: Option<String>,
}

/// A tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A checkpoint in host memory: all its tensors are finite 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    path: PathBuf,
    state: Option<State>,
    tensors: BTreeMap<String, Stored>,
}

impl Checkpoint {
    /// Copies a training store, with the optimizer's states, counts of updates and carried states, to host memory, with `state` except
    /// [`State::applied`], which the store knows. Waits for the device. `path` is its destination; only errors and
    /// [`Checkpoint::save`] use it.
    ///
    /// # Errors
    /// [`Error::Graph`] if the device fails; [`CheckpointFault::NotFinite`] if a run has gone bad, so no good
    /// file is replaced by one that cannot be read.
    pub fn capture(store: &ParamStore, state: State, path: impl AsRef<Path>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        let updates = store.updates()?;
        let state = State { applied: u64::from(updates.applied), ..state };
        let trained = Trained::of(store);
        for (spec, values) in store.specs().iter().zip(store.read(Arena::Params)?) {
            tensors.insert(spec.name.clone(), Stored { shape: spec.shape.to_vec(), values });
        }
        if let Some(optimizer) = trained.optimizer {
            for (spec, count) in store.specs().iter().zip(updates.of_params).filter(|(spec, _)| spec.trained)
            {
                tensors.insert(format!("{optimizer}{UPDATES}{}", spec.name), scalar(count as f32));
            }
        }
        for name in trained.names() {
            let mut values = store.read(Arena::State(name))?;
            for (index, file_name, shape) in trained.of_params(store.specs(), name) {
                let values = std::mem::take(&mut values[index]);
                tensors.insert(file_name, Stored { shape: shape.to_vec(), values });
            }
        }
        for StateValue { name, shape, values } in store.read_states()? {
            tensors.insert(format!("{CARRIED}{name}"), Stored { shape, values });
        }
        let checkpoint = Self { path: path.as_ref().to_owned(), state: Some(state), tensors };
        checkpoint.finite().map_err(|fault| checkpoint.refuse(fault))?;
        Ok(checkpoint)
    }

    /// Copies the parameters of any store to host memory, and nothing else: what [`Checkpoint::restore_parameters`] reads, and other
    /// libraries. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Graph`] if the device fails; [`CheckpointFault::NotFinite`].
    pub fn of_parameters(store: &ParamStore, path: impl AsRef<Path>) -> Result<Self> {
        let values = store.specs().iter().zip(store.read(Arena::Params)?);
        let stored =
            values.map(|(spec, values)| (spec.name.clone(), Stored { shape: spec.shape.to_vec(), values }));
        let checkpoint = Self { path: path.as_ref().to_owned(), state: None, tensors: stored.collect() };
        checkpoint.finite().map_err(|fault| checkpoint.refuse(fault))?;
        Ok(checkpoint)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] if it is truncated, damaged, of another version or type, or not finite.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::decoded(path.as_ref(), |_| false)
    }

    /// Reads and checks a file with other names: drops the tensors that are `ignored` and renames the rest with
    /// `renamed`.
    pub(crate) fn read_renamed(
        path: &Path,
        ignored: impl Fn(&str) -> bool,
        renamed: impl FnOnce(BTreeMap<String, Stored>) -> BTreeMap<String, Stored>,
    ) -> Result<Self> {
        let mut checkpoint = Self::decoded(path, ignored)?;
        checkpoint.tensors = renamed(checkpoint.tensors);
        Ok(checkpoint)
    }

    fn decoded(path: &Path, ignored: impl Fn(&str) -> bool) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let fail = |fault| Error::Checkpoint { path: path.to_owned(), fault };
        let (state, tensors) = decode(&bytes, ignored).map_err(fail)?;
        let checkpoint = Self { path: path.to_owned(), state, tensors };
        checkpoint.finite().map_err(fail)?;
        Ok(checkpoint)
    }

    /// Whether it has a tensor of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Writes the file. An earlier one is replaced only when all is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; an earlier file is intact.
    pub fn save(&self) -> Result<()> {
        let bytes = self.encode().map_err(|fault| self.refuse(fault))?;
        replace(&self.path, |file| std::io::Write::write_all(file, &bytes))
    }

    /// Step, seed and vocabulary; `None` in a file with only parameters, such as one that PyTorch wrote.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The model's vocabulary, if the file has one.
    #[must_use]
    pub fn vocab(&self) -> Option<Vocab> {
        let chars = self.state.as_ref()?.vocab.as_ref()?;
        Some(Vocab::from_chars(chars.chars()))
    }

    /// Puts parameters, the optimizer's states, counts of updates and carried states into a training store, after checking all of
    /// them. Returns the state.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is another model's or has no training state, and then nothing was written;
    /// [`Error::Graph`] if the device fails.
    pub fn restore(&self, store: &ParamStore) -> Result<State> {
        let state = self.state.clone().ok_or_else(|| self.refuse(CheckpointFault::NoState))?;
        let trained = Trained::of(store);
        self.matches(store.specs(), Some(&trained)).map_err(|fault| self.refuse(fault))?;
        self.write(store)?;
        for name in trained.names() {
            for (index, file_name, _) in trained.of_params(store.specs(), name) {
                if let Some(stored) = self.tensors.get(&file_name) {
                    store.write(Arena::State(name), index, &stored.values)?;
                }
            }
        }
        let optimizer = trained.optimizer.unwrap_or_default();
        let count = |spec: &ParamSpec| {
            let stored = self.tensors.get(&format!("{optimizer}{UPDATES}{}", spec.name));
            stored.and_then(|stored| stored.values.first()).map_or(0, |&count| count as u32)
        };
        let of_params = store.specs().iter().map(count).collect();
        let applied = u32::try_from(state.applied).unwrap_or(u32::MAX);
        store.write_updates(&Updates { applied, of_params })?;
        let carried = self.tensors.iter().filter_map(|(name, stored)| {
            let Stored { shape, values } = stored.clone();
            Some(StateValue { name: name.strip_prefix(CARRIED)?.to_owned(), shape, values })
        });
        store.write_states(&carried.collect::<Vec<_>>())?;
        Ok(state)
    }

    /// Puts only the parameters into any store, after checking all of them.
    ///
    /// # Errors
    /// As [`Checkpoint::restore`], but training state is not needed.
    pub fn restore_parameters(&self, store: &ParamStore) -> Result<()> {
        self.matches(store.specs(), None).map_err(|fault| self.refuse(fault))?;
        self.write(store)
    }

    /// An error about this file.
    pub(crate) fn refuse(&self, fault: CheckpointFault) -> Error {
        Error::Checkpoint { path: self.path.clone(), fault }
    }

    fn write(&self, store: &ParamStore) -> Result<()> {
        for (index, spec) in store.specs().iter().enumerate() {
            if let Some(stored) = self.tensors.get(&spec.name) {
                store.write(Arena::Params, index, &stored.values)?;
            }
        }
        Ok(())
    }

    /// The optimizer whose states the file has: what stands before `.step.` and the name of a parameter.
    fn optimizer(&self, specs: &[ParamSpec]) -> Option<&str> {
        let of = |name: &str| {
            let ends = specs.iter().find_map(|spec| name.strip_suffix(spec.name.as_str()));
            ends.and_then(|before| before.strip_suffix(UPDATES)).map(str::len)
        };
        let own = |name: &str| specs.iter().any(|spec| spec.name == name);
        let mut others = self.tensors.keys().map(String::as_str).filter(|name| !own(name));
        others.find_map(|name| Some(&name[..of(name)?]))
    }

    /// Whether names and shapes are exactly those of a model with these parameters, and of the states of its optimizer if it is to be
    /// trained on.
    fn matches(&self, specs: &[ParamSpec], trained: Option<&Trained<'_>>) -> Result<(), CheckpointFault> {
        let mut needed: BTreeMap<_, _> =
            specs.iter().map(|spec| (spec.name.clone(), spec.shape.to_vec())).collect();
        let has = self.optimizer(specs);
        if let Some((trained, optimizer)) = trained.and_then(|trained| Some((trained, trained.optimizer?))) {
            if let Some(has) = has.filter(|has| *has != optimizer) {
                return Err(CheckpointFault::Optimizer { has: has.to_owned(), needs: optimizer.to_owned() });
            }
            needed.extend(
                specs
                    .iter()
                    .filter(|spec| spec.trained)
                    .map(|spec| (format!("{optimizer}{UPDATES}{}", spec.name), Vec::new())),
            );
            for name in trained.names() {
                let states = trained.of_params(specs, name);
                needed.extend(states.map(|(_, file_name, shape)| (file_name, shape.to_vec())));
            }
        }
        let is_trained = |name: &str| {
            let of_optimizer = has.and_then(|has| name.strip_prefix(has)?.strip_prefix('.'));
            of_optimizer.is_some_and(|rest| specs.iter().any(|spec| rest.ends_with(&spec.name)))
        };
        let skipped = |name: &str| name.starts_with(CARRIED) || (trained.is_none() && is_trained(name));
        let missing: Vec<_> =
            needed.keys().filter(|name| !self.tensors.contains_key(*name)).cloned().collect();
        let unknown = |name: &&String| !needed.contains_key(*name) && !skipped(name);
        let extra: Vec<_> = self.tensors.keys().filter(unknown).cloned().collect();
        let misshapen: Vec<_> = needed
            .into_iter()
            .filter_map(|(name, needs)| {
                let has = &self.tensors.get(&name)?.shape;
                (*has != needs).then(|| Misshapen { name, has: has.clone(), needs })
            })
            .collect();
        if missing.is_empty() && extra.is_empty() && misshapen.is_empty() {
            return Ok(());
        }
        Err(CheckpointFault::Mismatch { missing, extra, misshapen })
    }

    fn finite(&self) -> Result<(), CheckpointFault> {
        for (name, stored) in &self.tensors {
            if let Some(index) = stored.values.iter().position(|v| !v.is_finite()) {
                let value = stored.values[index].to_string();
                return Err(CheckpointFault::NotFinite { name: name.clone(), index, value });
            }
        }
        Ok(())
    }

    fn encode(&self) -> Result<Vec<u8>, CheckpointFault> {
        let damaged = |detail: String| CheckpointFault::Damaged { detail };
        let bytes = |stored: &Stored| stored.values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let data: Vec<_> =
            self.tensors.iter().map(|(name, stored)| (name, &stored.shape, bytes(stored))).collect();
        let views = data.iter().map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.to_vec(), bytes).map(|view| (name.as_str(), view))
        });
        let views = views.collect::<Result<Vec<_>, _>>().map_err(|e| damaged(e.to_string()))?;
        let metadata = match &self.state {
            Some(state) => {
                let json = serde_json::to_string(state).map_err(|e| damaged(e.to_string()))?;
                Some(HashMap::from([(KEY.to_owned(), json)]))
            }
            None => None,
        };
        safetensors::serialize(views, metadata).map_err(|e| damaged(e.to_string()))
    }
}

/// What a store's optimizer keeps.
struct Trained<'a> {
    /// Its name; nothing in a store without one.
    optimizer: Option<&'static str>,
    /// By parameter.
    states: &'a [Vec<Kept>],
}

impl<'a> Trained<'a> {
    fn of(store: &'a ParamStore) -> Self {
        Self { optimizer: store.optimizer(), states: store.kept_states() }
    }

    /// The names of the states, each once.
    fn names(&self) -> BTreeSet<&'static str> {
        self.states.iter().flatten().map(|kept| kept.name).collect()
    }

    /// The parameters that have a state of this name: index, the state's name in a file, its shape.
    fn of_params<'s>(
        &'s self,
        specs: &'s [ParamSpec],
        name: &'static str,
    ) -> impl Iterator<Item = (usize, String, &'s [usize])> {
        let optimizer = self.optimizer.unwrap_or_default();
        let states = specs.iter().zip(self.states).enumerate();
        states.filter_map(move |(index, (spec, states))| {
            let kept = states.iter().find(|kept| kept.name == name)?;
            Some((index, format!("{optimizer}.{name}.{}", spec.name), &kept.shape[..]))
        })
    }
}

type Decoded = (Option<State>, BTreeMap<String, Stored>);

fn decode(bytes: &[u8], ignored: impl Fn(&str) -> bool) -> Result<Decoded, CheckpointFault> {
    let unreadable = |error: SafeTensorError| {
        let (has, needs) = (bytes.len() as u64, announced(bytes));
        match error {
            SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
                CheckpointFault::Truncated { has, needs: None }
            }
            SafeTensorError::MetadataIncompleteBuffer if needs.is_none_or(|needs| has < needs) => {
                CheckpointFault::Truncated { has, needs }
            }
            other => CheckpointFault::Damaged { detail: other.to_string() },
        }
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let state = match header.metadata().as_ref().and_then(|m| m.get(KEY)) {
        None => None,
        Some(json) => {
            let damaged =
                |e: serde_json::Error| CheckpointFault::Damaged { detail: format!("its metadata: {e}") };
            let state: State = serde_json::from_str(json).map_err(damaged)?;
            if !(1..=VERSION).contains(&state.version) {
                return Err(CheckpointFault::Version { has: state.version, newest: VERSION });
            }
            Some(state)
        }
    };
    let file = SafeTensors::deserialize(bytes).map_err(unreadable)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter().filter(|(name, _)| !ignored(name)) {
        if view.dtype() != Dtype::F32 {
            return Err(CheckpointFault::DType { name: name.to_owned(), has: format!("{:?}", view.dtype()) });
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        tensors.insert(name.to_owned(), Stored { shape: view.shape().to_vec(), values });
    }
    Ok(match state {
        Some(state) if state.version < VERSION => counted(state, tensors),
        state => (state, tensors),
    })
}

/// A file of version 1 with the update counts that it lacks.
fn counted(state: State, mut tensors: BTreeMap<String, Stored>) -> Decoded {
    let moved = |name: &String, stored: &Stored| {
        let name = name.strip_prefix(MOMENT)?;
        let updates = if stored.values.iter().any(|&m| m != 0.0) { state.step } else { 0 };
        Some((format!("adamw{UPDATES}{name}"), scalar(updates as f32)))
    };
    let counts: Vec<_> = tensors.iter().filter_map(|(name, stored)| moved(name, stored)).collect();
    tensors.extend(counts);
    (Some(State { version: VERSION, applied: state.step, ..state }), tensors)
}

fn scalar(value: f32) -> Stored {
    Stored { shape: Vec::new(), values: vec![value] }
}

/// Bytes that a file with a whole header should have.
fn announced(bytes: &[u8]) -> Option<u64> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = u64::from_le_bytes(*length);
    let header: serde_json::Value =
        serde_json::from_slice(rest.get(..usize::try_from(length).ok()?)?).ok()?;
    let ends = header.as_object()?.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    ends.max()?.checked_add(length)?.checked_add(8)
}

#[cfg(test)]
mod tests;
