//! The trainer: one store of parameters, a program for each batch shape, and the numbers of the next step.
//!
//! The model is a function that records a loss. It is called only for a batch of a new shape; every later step of that
//! shape writes the batch and the control values and replays the program. So a checkpoint holds everything that a step
//! depends on: parameters, moments, update counts, carried states, the step number, the seed.
//!
//! Steps and updates are counted separately. Each requested step has a number, and its dropout depends on that. But the
//! device skips a step whose gradient is not finite and leaves no trace of it, so the learning rate follows the applied
//! updates. The trainer hears of a skip a few steps later, so it writes the rates of several next updates (`Control`).

mod accumulated;
mod hearing;
mod options;
mod pending;
mod programs;

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use seqloom_device::Device;
use seqloom_graph::{
    Accumulation, Arena, CacheUsage, Control, Graph, Optimizer, ParamStore, Params, Program, ProgramCache,
    RATES, StoreKind, Tensor,
};
use seqloom_nn::{Batch, Model, Vocab};

use crate::checkpoint::{Checkpoint, State, VERSION};
use crate::error::{Error, Result};
use crate::fault::CheckpointFault;
use crate::optim::schedule::{Constant, Schedule};
use crate::optim::wrappers::AVERAGE;
use crate::random::step_seed;
use pending::{Pending, Told};
use programs::{Key, compile, parts, read};

/// Most steps in flight. Two would keep a device busy; a few more cover delays of the host. Without a limit a host
/// faster than its device would queue batches and commands without end.
const AHEAD: usize = 4;
// The device has a rate for the update of each step in flight.
const _: () = assert!(AHEAD < RATES);

/// Default number of programs of each kind that a trainer keeps: about the number of shapes of ragged batches with one
/// number of rows. Each takes about 200 KiB of the host's memory, and its inputs and outputs of the device's.
const PROGRAMS: usize = 128;

/// What a trainer does when the device skips steps because a gradient, or a carried state, is not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipPolicy {
    /// It goes on; listeners are told.
    #[default]
    Continue,
    /// It returns [`Error::Skipped`], once, after this many consecutive skipped steps. Training can go on after it.
    StopAfter(u64),
}

/// Device memory of a trainer, in bytes, and the programs that it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainerMemory {
    /// Parameters, gradients, moments, counts of updates and carried states.
    pub parameters: u64,
    /// All programs: inputs, activations, scratch, constants and outputs.
    pub programs: u64,
    /// Their sum.
    pub total: u64,
    /// Programs for training: how many are kept, may be kept, and were dropped.
    pub training: CacheUsage,
    /// The same of those for evaluation.
    pub evaluation: CacheUsage,
}

/// Trains a model of type `M` over batches of type `B`.
///
/// The model's loss is recorded once for each shape of batch, and again for evaluation. Programs share the parameters. A
/// trainer of a model that has a name has a type that can be named: `Trainer<LmBatch, LstmLm>`.
///
/// Equal seeds, data and adapters give equal bits; so does a run that was stopped and resumed by [`Trainer::load`].
pub struct Trainer<B, M> {
    store: ParamStore,
    model: M,
    optimizer: Arc<dyn Optimizer>,
    /// In place of the optimizer's own.
    clip_norm: Option<f64>,
    /// The rate before the schedule's factor.
    lr: f64,
    schedule: Box<dyn Schedule>,
    seed: u64,
    step: u64,
    /// Updates known to be applied; `None` if a result was lost, so the device must be asked.
    applied: Option<u64>,
    /// Skipped steps, up to the last one heard of.
    in_a_row: u64,
    skips: SkipPolicy,
    vocab: Option<Vocab>,
    training: ProgramCache<Key>,
    evaluation: ProgramCache<Key>,
    /// Of batches of a step over several, and what ends such a step.
    accumulating: ProgramCache<Key>,
    accumulation: Option<Accumulation>,
    /// Over the running means of the parameters.
    averages: ProgramCache<Key>,
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
    /// [`Trainer::for_model`] with a model that a closure records. The compiler finds the lifetimes of a closure only where its
    /// signature is asked for by name.
    ///
    /// # Errors
    /// As [`Trainer::for_model`].
    pub fn new(
        device: &Device,
        params: Params,
        optimizer: impl Optimizer + 'static,
        record: F,
    ) -> Result<Self> {
        Self::for_model(device, params, optimizer, record)
    }
}

impl<B: Batch, M: Model<B>> Trainer<B, M> {
    /// Moves the parameters to the device. The run's seed is that of the parameters; the schedule is constant.
    ///
    /// # Errors
    /// [`Error::Setting`] for a senseless optimizer; [`Error::NotFinite`] for a trained parameter that is not finite;
    /// [`Error::Graph`] if a parameter was registered by mistake or the device
    /// has no room.
    pub fn for_model(
        device: &Device,
        params: Params,
        optimizer: impl Optimizer + 'static,
        model: M,
    ) -> Result<Self> {
        optimizer.check()?;
        let lr = optimizer.lr();
        check_rate(lr)?;
        let seed = params.seed();
        let store = ParamStore::new(device, params, StoreKind::Training)?;
        for (spec, values) in store.specs().iter().zip(store.read(Arena::Params)?).filter(|(s, _)| s.trained)
        {
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(Error::NotFinite { name: spec.name.clone(), index, value: values[index] });
            }
        }
        store.attach(&optimizer)?;
        Ok(Self {
            store,
            model,
            optimizer: Arc::new(optimizer),
            clip_norm: None,
            lr,
            schedule: Box::new(Constant),
            seed,
            step: 0,
            applied: Some(0),
            in_a_row: 0,
            skips: SkipPolicy::Continue,
            vocab: None,
            training: ProgramCache::new(PROGRAMS),
            evaluation: ProgramCache::new(PROGRAMS),
            accumulating: ProgramCache::new(PROGRAMS),
            accumulation: None,
            averages: ProgramCache::new(PROGRAMS),
            latest: None,
            pending: VecDeque::with_capacity(AHEAD + 1),
            loss: None,
            history: None,
            batches: PhantomData,
        })
    }

    /// Takes this learning rate from the next step on, instead of the optimizer's; the schedule still multiplies it. A checkpoint
    /// does not hold it.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is negative or not finite; the rate is then as before.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        check_rate(lr)?;
        self.lr = lr;
        Ok(())
    }

    /// The learning rate of the next update: the optimizer's times the schedule's factor.
    ///
    /// # Errors
    /// As [`Trainer::update_count`].
    pub fn lr(&mut self) -> Result<f64> {
        let next = self.known_updates()?.saturating_add(1);
        Ok(self.lr * self.schedule.factor(next))
    }

    /// One step of training. It does not wait for its own result, at most for the fourth step before it, so the queue
    /// cannot grow without end. A later call may therefore return a failure on the device.
    ///
    /// If a step's gradient, or a carried state after it, is not finite, the step changes no parameter, moment, update
    /// count or carried state. Listeners are told ([`seqloom_nn::Finished::skipped`]), and [`Trainer::with_skips`] says
    /// when to stop.
    ///
    /// # Errors
    /// The batch's own mistake; [`Error::Graph`] if the model was recorded wrongly for this shape (first time only), an id
    /// is out of range, a carried state has other rows, or the device fails; [`Error::Skipped`]; [`Error::Setting`] if the
    /// schedule gives a rate that is negative or not finite. After an error found on the
    /// host, parameters and step count are as before.
    pub fn step(&mut self, batch: &B) -> Result<()> {
        let (key, tensors) = parts(batch)?;
        let step = self.step + 1;
        let control = self.control(step_seed(self.seed, step))?;
        let (store, model, optimizer) = (&self.store, &self.model, &*self.optimizer);
        let program = self.training.get_or_try(&key, || compile(store, model, batch, Some(optimizer)))?;
        let tensors = read(program, tensors);
        if batch.begins() {
            program.check(&tensors)?;
            store.reset_states(true);
        }
        let told = program.call(&tensors, &control, ["loss", "skipped"])?;
        self.step = step;
        self.latest = Some(key);
        let (tokens, listener) = (batch.token_count() as u64, batch.listener().cloned());
        self.pending.push_back(Pending { step, tokens, told: Told::One(told), listener });
        self.settle(AHEAD)
    }

    /// The loss of the last step, before its update. Waits for it.
    ///
    /// # Errors
    /// [`Error::NoStep`] before the first step; [`Error::Graph`] if the device fails; [`Error::Skipped`].
    pub fn loss(&mut self) -> Result<f32> {
        self.settle(0)?;
        self.loss.ok_or(Error::NoStep { what: "loss" })
    }

    /// Norm of the last step's gradient of all parameters together, before clipping. Waits for it.
    ///
    /// # Errors
    /// As [`Trainer::loss`].
    pub fn grad_norm(&self) -> Result<f32> {
        if let (None, Some(accumulation)) = (&self.latest, &self.accumulation) {
            return Ok(accumulation.grad_norm()?);
        }
        let program = self.program().ok_or(Error::NoStep { what: "gradient" })?;
        let norm = program.read("grad_norm")?.wait()?;
        norm.first().copied().ok_or(Error::NoStep { what: "gradient" })
    }

    /// The loss of a batch with dropout off; nothing is trained. Waits for it.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn evaluate(&mut self, batch: &B) -> Result<f32> {
        evaluate(&self.store, &mut self.evaluation, &self.model, batch)
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

    /// The running means of the parameters, of a trainer [`Trainer::with_ema`], as parameters of the same model: for evaluation,
    /// generation and [`Checkpoint::of_parameters`]. They are those in the trainer, not a copy, so each update changes them.
    ///
    /// # Errors
    /// [`Error::Graph`] of a trainer without them.
    pub fn averaged(&self) -> Result<ParamStore> {
        Ok(self.store.with_values_of(AVERAGE)?)
    }

    /// [`Trainer::evaluate`] with the running means of the parameters.
    ///
    /// # Errors
    /// As [`Trainer::evaluate`] and [`Trainer::averaged`].
    pub fn evaluate_averaged(&mut self, batch: &B) -> Result<f32> {
        let store = self.averaged()?;
        evaluate(&store, &mut self.averages, &self.model, batch)
    }

    /// Waits until the device has done all steps asked for, and tells their listeners. Dropping the trainer does the
    /// same.
    ///
    /// # Errors
    /// [`Error::Graph`] if the device fails; [`Error::Skipped`].
    pub fn finish(&mut self) -> Result<()> {
        self.settle(0)
    }

    /// Writes a checkpoint: parameters, the optimizer's states, counts, states, step, seed, vocabulary. Waits for the device. An
    /// earlier file is replaced
    /// only when all is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; [`Error::Checkpoint`] if a parameter is not finite; [`Error::Graph`]; [`Error::Skipped`]. The
    /// earlier file is then intact.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.settle(0)?;
        let vocab = self.vocab.as_ref().and_then(Vocab::chars).map(|chars| chars.iter().collect());
        let state = State { version: VERSION, step: self.step, applied: 0, seed: self.seed, vocab };
        Checkpoint::capture(&self.store, state, path)?.save()
    }

    /// Continues from a checkpoint: with the same optimizer, schedule and batch, the next step has the same bits as in
    /// the run that wrote it. Everything is checked before anything is changed.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] if it is truncated, of another model, shape, version or vocabulary, or not
    /// finite; [`Error::Graph`] if the device fails.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.hear_all()?;
        let checkpoint = Checkpoint::read(path)?;
        if let (Some(has), Some(needs)) = (checkpoint.vocab(), &self.vocab)
            && has != *needs
        {
            return Err(checkpoint.refuse(CheckpointFault::Vocab { has: has.size(), needs: needs.size() }));
        }
        let state = checkpoint.restore(&self.store)?;
        self.step = state.step;
        self.applied = Some(state.applied);
        self.in_a_row = 0;
        self.seed = state.seed;
        // Earlier results belong to another run.
        self.loss = None;
        self.latest = None;
        self.accumulation = None;
        Ok(())
    }

    /// Steps asked for, those of a loaded checkpoint and skipped ones included.
    #[must_use]
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// Steps that were applied, those of a loaded checkpoint included: all but the skipped ones. Waits for the last.
    ///
    /// # Errors
    /// [`Error::Graph`] if the device fails; [`Error::Skipped`].
    pub fn update_count(&mut self) -> Result<u64> {
        self.settle(0)?;
        self.known_updates()
    }

    /// (step, loss) of every step since the trainer was made, if it was made [`Trainer::with_history`]. Waits for the last.
    ///
    /// # Errors
    /// [`Error::Graph`] if the device fails; [`Error::Skipped`].
    pub fn history(&mut self) -> Result<&[(u64, f32)]> {
        self.settle(0)?;
        Ok(self.history.as_deref().unwrap_or(&[]))
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
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

    /// Number of programs kept, (training, evaluation): one for each of the last shapes of batch.
    #[must_use]
    pub fn programs(&self) -> (usize, usize) {
        (self.training.usage().held, self.evaluation.usage().held)
    }

    /// The device memory that parameters and programs hold, in bytes.
    #[must_use]
    pub fn memory(&self) -> TrainerMemory {
        let evaluating = self.evaluation.values().chain(self.averages.values());
        let programs = self.training.values().chain(self.accumulating.values()).chain(evaluating);
        let programs =
            self.store.slot_bytes() + programs.map(|program| program.memory().unshared()).sum::<u64>();
        let parameters = self.store.bytes();
        let (training, evaluation) = (self.training.usage(), self.evaluation.usage());
        TrainerMemory { parameters, programs, total: parameters + programs, training, evaluation }
    }
}

/// The loss of a batch with these parameters, by a program of these.
fn evaluate<B: Batch>(
    store: &ParamStore,
    programs: &mut ProgramCache<Key>,
    model: &impl Model<B>,
    batch: &B,
) -> Result<f32> {
    let (key, tensors) = parts(batch)?;
    let program = programs.get_or_try(&key, || compile(store, model, batch, None))?;
    let tensors = read(program, tensors);
    if batch.begins() {
        program.check(&tensors)?;
        store.reset_states(false);
    }
    let [loss] = program.call(&tensors, &Control::default(), ["loss"])?.wait()?;
    loss.first().copied().ok_or(Error::NoStep { what: "loss" })
}

/// Refuses a learning rate that is negative or not finite.
fn check_rate(lr: f64) -> Result<()> {
    if lr >= 0.0 && (lr as f32).is_finite() {
        return Ok(());
    }
    Err(Error::Setting { setting: "the learning rate", value: lr, needs: "finite and at least 0" })
}

impl<B, M> AsRef<ParamStore> for Trainer<B, M> {
    fn as_ref(&self) -> &ParamStore {
        &self.store
    }
}

impl<B, M> fmt::Debug for Trainer<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("step", &self.step)
            .field("optimizer", &self.optimizer)
            .field("seed", &self.seed)
            .field("programs", &(self.training.usage(), self.evaluation.usage()))
            .finish_non_exhaustive()
    }
}
