//! The device: opening it, what it knows about itself, and its end.
//!
//! A [`Device`] is a reference-counted handle to state that all threads share. Pipelines, recording and the readback
//! pool each have their own lock, so compiling in one thread does not hold up a step in another.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use crate::adapter::{AdapterChoice, AdapterKind, Facts, choose};
use crate::dispatch::GroupMemo;
use crate::ending::{Owned, Settle as _, enter, settle_at_exit, stand_before_drivers};
use crate::error::{DeviceError, Result};
use crate::fault::Fault;
use crate::notes::{Notes, Tuning};
use crate::pipeline::Memo;
use crate::pipeline_cache::DiskCache;
use crate::probe;
use crate::staging::{Pool, Uploads};
use crate::sync::{lock, next_id};
use crate::wait::{Poller, Request, Work};

/// Environment variable that picks an adapter if the options do not: part of a name, or an index.
const ADAPTER_VARIABLE: &str = "SEQLOOM_ADAPTER";
/// Limit of a wait for the device, if the options set none.
const WAIT_LIMIT: Duration = Duration::from_secs(600);

/// How to open a device. The default suits most programs.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The adapter to use; `None` takes the environment variable `SEQLOOM_ADAPTER` (part of a name, or an index) and,
    /// without that, the best adapter.
    pub adapter: Option<AdapterChoice>,
    /// Whether kernels check each index and bound each loop at run time. `None`: only in debug builds.
    pub checks: Option<bool>,
    /// Folder for what is kept on disk: compiled pipelines and tuning notes. `None` is the user's cache folder.
    pub cache_dir: Option<PathBuf>,
    /// Read nothing from disk and keep nothing there.
    pub no_cache: bool,
    /// How kernel variants are chosen. The default takes what an earlier tuning left and never measures by itself.
    pub tuning: Tuning,
    /// The kind of adapter that kernels are chosen for; `None` is the adapter's own. A software adapter with the kind
    /// of a discrete GPU runs the GPU's kernels, slowly; so a machine without a GPU can test them.
    pub kind: Option<AdapterKind>,
    /// Multiply matrices in half precision if no gradients are asked for and the adapter has cooperative matrices,
    /// which are several times as fast. Operands are rounded to 16-bit floats: a relative error of up to 5·10⁻⁴ each,
    /// and infinite beyond 65504. Sums stay f32. All other products stay f32, those of training too, because small
    /// gradients would be lost. PyTorch calls this a lower `float32_matmul_precision`.
    pub half_products: bool,
    /// Longest wait for the device before [`DeviceError::Timeout`]; `None` is ten minutes. Dropping the last handle
    /// waits for the device's work, also at most this long.
    pub timeout: Option<Duration>,
}

/// How many objects a device has ever made. A step of a recorded program changes none of them.
///
/// The pooled staging memory is not counted: it is bounded and reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Buffers.
    pub buffers: u64,
    /// Pipelines.
    pub pipelines: u64,
    /// Bind groups.
    pub bind_groups: u64,
}

/// An open adapter: makes buffers and pipelines, and runs dispatches in the order in which they are submitted.
///
/// Cheap to clone: clones are the same device. It may be used from several threads.
#[derive(Clone)]
pub struct Device {
    pub(crate) inner: Arc<Inner>,
}

/// What the recording side of a device remembers between calls.
#[derive(Default)]
pub(crate) struct Recorder {
    pub uploads: Uploads,
    /// Last command buffer of each unfinished submission, oldest first.
    pub ahead: VecDeque<wgpu::SubmissionIndex>,
}

/// State shared by the handles.
pub(crate) struct Inner {
    pub id: u64,
    pub facts: Facts,
    pub checks: bool,
    pub tuning: Tuning,
    pub queue: Owned<wgpu::Queue>,
    pub poller: Poller,
    pub work: Arc<Work>,
    pub memo: Memo,
    pub groups: Mutex<GroupMemo>,
    pub cache: DiskCache,
    pub notes: Mutex<Notes>,
    pub recorder: Mutex<Recorder>,
    pub staging: Mutex<Pool>,
    pub waker: OnceLock<Option<Sender<Request>>>,
    pub live_bytes: Arc<AtomicU64>,
    pub peak_bytes: AtomicU64,
    pub buffers: AtomicU64,
    pub pipelines: AtomicU64,
    pub bind_groups: AtomicU64,
}

impl Inner {
    pub(crate) fn fault(&self) -> &Fault {
        &self.poller.fault
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Best effort: nobody is left to tell, and the next run just compiles again.
        if let Err(error) = self.cache.save() {
            tracing::warn!(%error, "the pipeline cache was not saved");
        }
        // wgpu would wait for the queue without a limit. Work that does not finish is left to the end of the process.
        let inside = enter();
        if inside.is_err() || !self.work.settle(self.poller.limit) {
            tracing::warn!(adapter = %self.facts, "dropped before its work was done: its memory returns when the process ends");
            std::mem::forget(Arc::clone(&self.work));
        }
    }
}

impl Device {
    /// Opens the adapter that `options` or the environment ask for, or the best one.
    ///
    /// # Errors
    /// [`DeviceError::NoAdapter`], [`DeviceError::AdapterNotFound`], [`DeviceError::Unsuitable`],
    /// [`DeviceError::Open`]. A pipeline cache that cannot be read is not an error; a new one is made.
    pub fn open(options: DeviceOptions) -> Result<Self> {
        let asked = options.adapter.or_else(|| {
            let text = std::env::var(ADAPTER_VARIABLE).ok()?;
            (!text.trim().is_empty()).then(|| AdapterChoice::parse(&text))
        });
        let mut found = probe::adapters()?;
        let facts: Vec<Facts> = found.iter().map(|found| found.facts.clone()).collect();
        let position = choose(&facts, asked.as_ref())?;
        probe::keep(&found);
        let mut chosen = found.swap_remove(position);
        if !options.half_products {
            chosen.facts.cooperative = None; // Neither enabled nor used.
        }
        let software = chosen.facts.is_cpu();
        chosen.facts.kind = options.kind.unwrap_or(chosen.facts.kind);
        let (raw, queue) = probe::open(&chosen)?;
        let fault = Fault::watch(&raw);
        let checks = options.checks.unwrap_or(cfg!(debug_assertions));
        let folder = options.cache_dir.as_deref();
        let cache = match options.no_cache {
            true => DiskCache::off(),
            false => DiskCache::open(&raw, &chosen.facts, folder),
        };
        let notes = match options.tuning {
            Tuning::Cached | Tuning::Full if !options.no_cache => Notes::open(&chosen.facts, checks, folder),
            _ => Notes::off(),
        };
        tracing::info!(adapter = %chosen.facts, "device opened");
        let poller = Poller::new(raw, fault, options.timeout.unwrap_or(WAIT_LIMIT));
        let work = Arc::new(Work { poller: poller.clone(), queue: queue.clone() });
        stand_before_drivers();
        if software {
            let work: Weak<Work> = Arc::downgrade(&work);
            settle_at_exit(work);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                id: next_id(),
                facts: chosen.facts,
                checks,
                tuning: options.tuning,
                queue,
                poller,
                work,
                memo: Memo::default(),
                groups: Mutex::default(),
                cache,
                notes: Mutex::new(notes),
                recorder: Mutex::default(),
                staging: Mutex::default(),
                waker: OnceLock::new(),
                live_bytes: Arc::default(),
                peak_bytes: AtomicU64::new(0),
                buffers: AtomicU64::new(0),
                pipelines: AtomicU64::new(0),
                bind_groups: AtomicU64::new(0),
            }),
        })
    }

    /// Facts about every adapter of the machine, in the machine's order; empty if there is none.
    #[must_use]
    pub fn adapters() -> Vec<Facts> {
        let found = probe::adapters().unwrap_or_default(); // A process that is ending finds none.
        found.into_iter().map(|found| found.facts).collect()
    }

    /// Facts about this device's adapter.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.inner.facts
    }

    /// Whether kernels check their indices at run time.
    #[must_use]
    pub fn checks(&self) -> bool {
        self.inner.checks
    }

    /// Bytes of all live buffers. A dropped buffer leaves the sum at once; its memory is freed when the work that uses
    /// it is done. Staging memory is not included (see [`Counts`]).
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.inner.live_bytes.load(Ordering::Relaxed)
    }

    /// The most that [`Device::allocated_bytes`] has been since the device was opened.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.inner.peak_bytes.load(Ordering::Relaxed)
    }

    /// How many objects this device has ever made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            buffers: self.inner.buffers.load(Ordering::Relaxed),
            pipelines: self.inner.pipelines.load(Ordering::Relaxed),
            bind_groups: self.inner.bind_groups.load(Ordering::Relaxed),
        }
    }

    /// Waits until all that was written and submitted so far is done.
    ///
    /// # Errors
    /// [`DeviceError::Lost`], [`DeviceError::Timeout`] after the limit in the options.
    pub fn wait(&self) -> Result<()> {
        self.wait_within(self.inner.poller.limit)
    }

    /// As [`Device::wait`], with its own limit.
    ///
    /// # Errors
    /// [`DeviceError::Lost`], [`DeviceError::Timeout`].
    pub fn wait_within(&self, limit: Duration) -> Result<()> {
        self.flush()?;
        self.inner.poller.wait_within(None, "all submitted work", limit)
    }

    /// Ends the device: work not yet submitted is dropped, and every later call on any handle returns
    /// [`DeviceError::Lost`].
    pub fn destroy(&self) {
        self.inner.fault().lose("it was destroyed");
        if let Ok(_inside) = enter() {
            self.raw().destroy();
        }
    }

    /// Writes the compiled pipelines to disk, if any was compiled since the last save and a cache is kept. Dropping the
    /// last handle does this too.
    ///
    /// # Errors
    /// [`DeviceError::Cache`] with the file and the cause; an earlier file stays as it was.
    pub fn save_pipeline_cache(&self) -> Result<()> {
        self.inner.cache.save()
    }

    /// How kernel variants are chosen, as the options say.
    #[must_use]
    pub fn tuning(&self) -> Tuning {
        self.inner.tuning
    }

    /// What was noted about this adapter, in this run or, unless tuning is [`Tuning::Heuristic`], in earlier ones.
    #[must_use]
    pub fn notes(&self) -> BTreeMap<String, String> {
        lock(&self.inner.notes).all.clone()
    }

    /// Notes `text` under `name`, replacing an earlier note. [`Device::save_notes`] writes it to disk.
    pub fn note(&self, name: &str, text: &str) {
        lock(&self.inner.notes).put(name, text);
    }

    /// Writes new notes to disk. Does nothing if nothing is new or no cache is kept.
    ///
    /// # Errors
    /// [`DeviceError::Cache`](crate::DeviceError::Cache) with the file and the cause; an earlier file stays as it was.
    pub fn save_notes(&self) -> Result<()> {
        lock(&self.inner.notes).save()
    }

    pub(crate) fn raw(&self) -> &wgpu::Device {
        &self.inner.poller.raw
    }

    /// An error about something that the adapter does not have.
    pub(crate) fn unsupported(&self, what: impl Into<String>) -> DeviceError {
        DeviceError::Unsupported { adapter: self.facts().name.clone(), what: what.into() }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.inner.facts)
    }
}
