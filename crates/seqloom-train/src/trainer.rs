//! The trainer: one store of parameters, a program for each shape of batch, and the numbers of the next step.
//!
//! The model is a function that records a loss. It is called only when a batch of a new shape comes; every later step of
//! that shape writes the batch and the control values and replays. So there is nothing a step depends on that a checkpoint
//! does not hold: parameters, moments, the number of the step, the seed.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use seqloom_device::Device;
use seqloom_graph::{
    Control, DType, Graph, HostTensor, Objective, ParamStore, Params, Program, ReadTensor, Request, Shape,
    StoreKind, Tensor,
};
use seqloom_nn::{Batch, Finished, LossListener, Vocab};

use crate::checkpoint::{Checkpoint, CheckpointFault, State, VERSION};
use crate::error::{Error, Result};
use crate::optim::optimizer::AdamW;
use crate::optim::schedule::Schedule;
use crate::random::step_seed;

/// Steps asked for before the oldest must be done. Two would keep a device busy; a few more ride out the host's hiccups.
/// Without a limit a host faster than its device would queue batches and commands without end.
const AHEAD: usize = 4;

/// What tells programs apart: names, types and shapes of a batch's tensors, and the batch's own key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    tensors: Vec<(&'static str, DType, Shape)>,
    extra: u64,
}

/// A loss on its way from the device.
struct Pending {
    step: u64,
    tokens: u64,
    loss: ReadTensor,
    listener: Option<Arc<dyn LossListener>>,
}

/// Device memory of a trainer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainerMemory {
    /// Parameters, gradients and moments.
    pub parameters: u64,
    /// All programs: inputs, activations, scratch, constants and outputs.
    pub programs: u64,
    /// Their sum.
    pub total: u64,
}

/// Trains the model that `F` records over batches of type `B`.
///
/// `F` is called once for each shape of batch, and again for evaluation; it must record the same model every time. Programs
/// share the parameters.
///
/// Equal seeds, data and adapters give equal bits; so does a run that was stopped and resumed by [`Trainer::load`].
pub struct Trainer<B, F> {
    store: ParamStore,
    record: F,
    optimizer: AdamW,
    schedule: Schedule,
    seed: u64,
    step: u64,
    vocab: Option<Vocab>,
    training: HashMap<Key, Program>,
    evaluation: HashMap<Key, Program>,
    latest: Option<Key>,
    pending: VecDeque<Pending>,
    loss: Option<f32>,
    history: Option<Vec<(u64, f32)>>,
    batches: PhantomData<fn(&B)>,
}

impl<B, F> Trainer<B, F>
where
    B: Batch,
    F: for<'g> Fn(&'g Graph, &B) -> Tensor<'g>,
{
    /// Moves the parameters to the device. The run's seed is that of the parameters; the schedule is constant.
    ///
    /// # Errors
    /// [`Error::Setting`] for a senseless optimizer; [`Error::Graph`] if a parameter was registered by mistake or the device
    /// has no room.
    pub fn new(device: &Device, params: Params, optimizer: AdamW, record: F) -> Result<Self> {
        optimizer.check()?;
        let seed = params.seed();
        let store = ParamStore::new(device, params, StoreKind::Training)?;
        Ok(Self {
            store,
            record,
            optimizer,
            schedule: Schedule::Constant,
            seed,
            step: 0,
            vocab: None,
            training: HashMap::new(),
            evaluation: HashMap::new(),
            latest: None,
            pending: VecDeque::with_capacity(AHEAD + 1),
            loss: None,
            history: None,
            batches: PhantomData,
        })
    }

    /// The same trainer with this schedule of the learning rate.
    ///
    /// # Errors
    /// [`Error::Setting`] for a senseless one.
    pub fn with_schedule(mut self, schedule: Schedule) -> Result<Self> {
        schedule.check()?;
        self.schedule = schedule;
        Ok(self)
    }

    /// The same trainer with another seed for dropout than the parameters had.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same trainer, whose checkpoints hold this vocabulary and which refuses one with another.
    #[must_use]
    pub fn with_vocab(mut self, vocab: &Vocab) -> Self {
        self.vocab = Some(vocab.clone());
        self
    }

    /// The same trainer keeping every step's loss for [`Trainer::history`].
    #[must_use]
    pub fn with_history(mut self) -> Self {
        self.history = Some(Vec::new());
        self
    }

    /// One step of training. It does not wait for its own result: at most it waits for the fourth step before, so that
    /// the queue cannot grow without end. A failure on the device may therefore be told by a later call.
    ///
    /// # Errors
    /// The batch's own mistake; [`Error::Graph`] if the model was recorded wrongly for this shape (first time only), an id
    /// is out of range, or the device fails. After an error found on the host, parameters and step count are as before.
    pub fn step(&mut self, batch: &B) -> Result<()> {
        let (key, tensors) = parts(batch)?;
        if !self.training.contains_key(&key) {
            let program = self.compile(batch, true)?;
            self.training.insert(key.clone(), program);
        }
        let step = self.step + 1;
        let control = self.optimizer.control(step, self.schedule.factor(step), step_seed(self.seed, step));
        let Some(program) = self.training.get(&key) else {
            return Err(Error::NoStep { what: "program" });
        };
        if batch.begins() {
            self.store.reset_states(true)?;
        }
        program.run(&tensors, &control)?;
        self.step = step;
        let (tokens, listener) = (batch.token_count() as u64, batch.listener().cloned());
        let loss = program.read("loss")?;
        self.latest = Some(key);
        self.pending.push_back(Pending { step, tokens, loss, listener });
        self.settle(AHEAD)
    }

    /// The loss of the last step, before its update. Waits for it.
    ///
    /// # Errors
    /// [`Error::NoStep`] before the first step; [`Error::Graph`] if the device fails.
    pub fn loss(&mut self) -> Result<f32> {
        self.settle(0)?;
        self.loss.ok_or(Error::NoStep { what: "loss" })
    }

    /// Norm of the last step's gradient of all parameters together, before clipping. Waits for it.
    ///
    /// # Errors
    /// As [`Trainer::loss`].
    pub fn grad_norm(&self) -> Result<f32> {
        let program = self.program().ok_or(Error::NoStep { what: "gradient" })?;
        let norm = program.read("grad_norm")?.wait()?;
        norm.first().copied().ok_or(Error::NoStep { what: "gradient" })
    }

    /// The loss of a batch with dropout off; nothing is trained. Waits for it.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn evaluate(&mut self, batch: &B) -> Result<f32> {
        let (key, tensors) = parts(batch)?;
        if !self.evaluation.contains_key(&key) {
            let program = self.compile(batch, false)?;
            self.evaluation.insert(key.clone(), program);
        }
        let Some(program) = self.evaluation.get(&key) else {
            return Err(Error::NoStep { what: "program" });
        };
        if batch.begins() {
            self.store.reset_states(false)?;
        }
        program.run(&tensors, &Control::default())?;
        let loss = program.read("loss")?.wait()?;
        loss.first().copied().ok_or(Error::NoStep { what: "loss" })
    }

    /// Mean loss over batches, each weighted by its tokens, with dropout off; NaN if there are none.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn evaluate_all(&mut self, batches: impl IntoIterator<Item = B>) -> Result<f64> {
        let (mut sum, mut tokens) = (0.0, 0.0);
        for batch in batches {
            let weight = batch.token_count().max(1) as f64;
            sum += weight * f64::from(self.evaluate(&batch)?);
            tokens += weight;
        }
        Ok(sum / tokens)
    }

    /// Waits until the device has done all steps asked for, and tells their listeners.
    ///
    /// # Errors
    /// [`Error::Graph`] if the device fails.
    pub fn finish(&mut self) -> Result<()> {
        self.settle(0)
    }

    /// Writes a checkpoint: parameters, moments, step, seed, vocabulary. Waits for the device. An earlier file is replaced
    /// only when all is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; [`Error::Checkpoint`] if a parameter is not finite; [`Error::Graph`]. The earlier file is
    /// then intact.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.settle(0)?;
        let vocab = self.vocab.as_ref().and_then(Vocab::chars).map(|chars| chars.iter().collect());
        let state = State { version: VERSION, step: self.step, seed: self.seed, vocab };
        Checkpoint::capture(&self.store, state, path)?.save()
    }

    /// Goes on from a checkpoint: the next step has the bits it would have had in the run that wrote it, given the same
    /// optimizer, schedule and batch. Everything is checked before anything is changed.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] if it is truncated, of another model, shape, version or vocabulary, or not
    /// finite; [`Error::Graph`] if the device fails.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.settle(0)?;
        let checkpoint = Checkpoint::read(path)?;
        if let (Some(has), Some(needs)) = (checkpoint.vocab(), &self.vocab)
            && has != *needs
        {
            return Err(checkpoint.refuse(CheckpointFault::Vocab { has: has.size(), needs: needs.size() }));
        }
        let state = checkpoint.restore(&self.store)?;
        self.step = state.step;
        self.seed = state.seed;
        // What was computed before belongs to another run.
        self.loss = None;
        self.latest = None;
        Ok(())
    }

    /// Steps done, those of a loaded checkpoint included.
    #[must_use]
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// (step, loss) of every finished step since the trainer was made, if it was made [`Trainer::with_history`].
    /// [`Trainer::finish`] first makes it complete.
    #[must_use]
    pub fn history(&self) -> &[(u64, f32)] {
        self.history.as_deref().unwrap_or(&[])
    }

    /// The parameters, shared with the programs.
    #[must_use]
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// The program of the last step, to explain or to profile.
    #[must_use]
    pub fn program(&self) -> Option<&Program> {
        self.training.get(self.latest.as_ref()?)
    }

    /// Number of compiled programs, (training, evaluation): one for each shape of batch met.
    #[must_use]
    pub fn programs(&self) -> (usize, usize) {
        (self.training.len(), self.evaluation.len())
    }

    /// The device memory that parameters and programs hold, in bytes.
    #[must_use]
    pub fn memory(&self) -> TrainerMemory {
        let programs = self.training.values().chain(self.evaluation.values());
        let programs =
            self.store.slot_bytes() + programs.map(|program| program.memory().unshared()).sum::<u64>();
        let parameters = self.store.bytes();
        TrainerMemory { parameters, programs, total: parameters + programs }
    }

    fn compile(&self, batch: &B, training: bool) -> Result<Program> {
        let g = if training { self.store.training_graph() } else { self.store.inference_graph() };
        let loss = (self.record)(&g, batch);
        let program = if training {
            let objective = Some(Objective { loss, update: true });
            Program::compile(&self.store, &g, Request { outputs: &[], objective })
        } else {
            Program::compile(&self.store, &g, Request { outputs: &[("loss", loss)], objective: None })
        };
        Ok(program?)
    }

    /// Waits until at most `left` losses are on their way.
    fn settle(&mut self, left: usize) -> Result<()> {
        while self.pending.len() > left {
            let Some(Pending { step, tokens, loss, listener }) = self.pending.pop_front() else { break };
            let loss = loss.wait()?.first().copied().unwrap_or(f32::NAN);
            self.loss = Some(loss);
            if let Some(history) = &mut self.history {
                history.push((step, loss));
            }
            if let Some(listener) = listener {
                listener.finished(Finished { step, loss, tokens });
            }
        }
        Ok(())
    }
}

/// A batch's key and tensors, or its fault.
fn parts<B: Batch>(batch: &B) -> Result<(Key, Vec<(&'static str, &HostTensor)>)> {
    if let Some(fault) = batch.fault() {
        return Err(fault.clone().into());
    }
    let tensors = batch.tensors();
    let shapes = tensors.iter().map(|(name, tensor)| (*name, tensor.dtype(), tensor.shape())).collect();
    Ok((Key { tensors: shapes, extra: batch.key() }, tensors))
}

impl<B, F> AsRef<ParamStore> for Trainer<B, F> {
    fn as_ref(&self) -> &ParamStore {
        &self.store
    }
}

impl<B, F> fmt::Debug for Trainer<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("step", &self.step)
            .field("optimizer", &self.optimizer)
            .field("schedule", &self.schedule)
            .field("seed", &self.seed)
            .field("programs", &(self.training.len(), self.evaluation.len()))
            .finish_non_exhaustive()
    }
}
