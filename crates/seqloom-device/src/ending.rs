//! The end: of the driver's objects, and of the process while some are alive or at work.
//!
//! A driver is a library with exit handlers and static objects of its own. A process that returns from `main`, or calls
//! `exit`, runs those handlers on one thread while all others go on. A thread that is inside the driver at that moment,
//! to wait, to compile, or to drop the last handle and so unload the library, then works on what is being taken down,
//! and the process dies by a signal although its work was done. Three rules prevent it:
//!
//! * Whoever calls the driver holds an [`Inside`]. An exit handler of ours, registered after the driver's and therefore
//!   run before them, closes the door: it waits until nobody is inside, and from then on [`enter`] is refused. It also
//!   waits until the threads of software adapters rest, which belong to this process. All this takes [`LIMIT`] at most.
//! * Objects of wgpu are held as [`Owned`], which drops them inside, and leaves them alone once the door is closed: the
//!   system takes them back with the process.
//! * The libraries of a driver that was ever used stay loaded (`probe`), so its handlers stay in their order.
//!
//! Why not end the process at once in our handler: the exit handlers of the program itself would not run.
//!
//! Exit handlers run in the reverse order of their registration, and a software adapter's compiler registers some when it
//! first compiles, on a thread of its own. So ours is registered again after the first waits for a new kernel, when a thread
//! ends that was inside, and on software adapters every few milliseconds while a new kernel may be compiled. What is left are
//! the few milliseconds between one of theirs and the next of ours, if a thread that never used a device calls `exit` then:
//! a static object of the compiler is gone while it compiles. No process was seen to die of it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};
use std::time::{Duration, Instant};

use crate::error::DeviceError;
use crate::sync::lock;

/// Longest that the end of the process is held up.
const LIMIT: Duration = Duration::from_secs(5);
/// How often the exit handler looks whether everybody has left.
const PAUSE: Duration = Duration::from_millis(1);

/// Waits after which a kernel that was submitted has surely run: more than there are submissions at a time.
const WAITS: usize = 8;

/// Longest that a new kernel is taken to wait for its turn and to compile.
const LONGEST_COMPILE: Duration = Duration::from_secs(30);

/// Threads inside the driver, each counted as often as it has entered.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// Whether the process is ending.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// For how many more waits a driver may register exit handlers after ours.
static MORE: AtomicUsize = AtomicUsize::new(0);
/// How often a kernel was run for the first time.
static NEW: AtomicUsize = AtomicUsize::new(0);
/// Whether there has been a software adapter.
static SOFTWARE: AtomicBool = AtomicBool::new(false);
/// Whether a thread registers the exit handler again and again.
static WATCHED: AtomicBool = AtomicBool::new(false);
/// What the exit handler waits for.
static WORKING: Mutex<Vec<Weak<dyn Settle>>> = Mutex::new(Vec::new());

/// Registers the exit handler once more when a thread that was inside ends. `exit` ends thread-local objects of its
/// thread before it looks at any handler, so ours is the first then, even if a driver is just registering others.
struct AtThreadEnd;

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        // Not for every thread: a registration takes memory for the life of the process.
        if MORE.load(Ordering::Relaxed) > 0 {
            stand_before_drivers();
        }
    }
}

thread_local! {
    static AT_THREAD_END: AtThreadEnd = const { AtThreadEnd };
    /// How often this thread has entered: `exit` may be called from within a callback of the driver.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread works for the exit handler, and may enter even then.
    static CLOSING: Cell<bool> = const { Cell::new(false) };
}

/// Something whose work runs on threads of this process.
pub(crate) trait Settle: Send + Sync {
    /// Waits for its work; whether it is done within `limit`.
    fn settle(&self, limit: Duration) -> bool;
}

/// The right to call the driver, until it is dropped.
///
/// Not to be sent to another thread: each counts its own.
pub(crate) struct Inside(PhantomData<*const ()>);

/// Enters the driver.
///
/// # Errors
/// [`DeviceError::Lost`] when the process is ending.
pub(crate) fn enter() -> Result<Inside, DeviceError> {
    // First the count, then the look: the handler closes first and counts then, so one of the two sees the other.
    INSIDE.fetch_add(1, Ordering::SeqCst);
    DEPTH.set(DEPTH.get() + 1);
    let _ = AT_THREAD_END.try_with(|_| ()); // Where it is over already, it has done its work.
    let inside = Inside(PhantomData);
    if CLOSED.load(Ordering::SeqCst) && !CLOSING.get() {
        return Err(DeviceError::Lost { reason: "the process is ending".to_owned() });
    }
    Ok(inside)
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An object of wgpu, whose end is the driver's business.
#[derive(Clone, Debug)]
pub(crate) struct Owned<T>(ManuallyDrop<T>);

impl<T> Owned<T> {
    pub(crate) fn new(object: T) -> Self {
        Self(ManuallyDrop::new(object))
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        let Ok(_inside) = enter() else { return };
        // wgpu panics in destructors where a driver fails, and a panic while another unwinds would abort the process.
        // SAFETY: this is the only place that drops the object, and nobody can reach it afterwards.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { ManuallyDrop::drop(&mut self.0) }));
        if dropped.is_err() {
            tracing::warn!("the driver failed while an object was dropped");
        }
    }
}

/// Says that a driver may register exit handlers in a while: it has got a kernel to run for the first time, and software
/// adapters compile it then, by a library whose parts are made when they are first used.
pub(crate) fn drivers_may_add_handlers() {
    MORE.store(WAITS, Ordering::Relaxed);
    NEW.fetch_add(1, Ordering::Relaxed);
    if SOFTWARE.load(Ordering::Relaxed) && !WATCHED.swap(true, Ordering::Relaxed) {
        let watching = std::thread::Builder::new().name("seqloom-exit".to_owned()).spawn(watch);
        if watching.is_err() {
            WATCHED.store(false, Ordering::Relaxed); // The other places where it is registered are left.
        }
    }
}

/// [`stand_before_drivers`] again and again, until the new kernels have run: often at first, for compilers make most of their
/// parts early, then ever more seldom.
fn watch() {
    let (mut since, mut new) = (Instant::now(), 0);
    loop {
        let latest = NEW.load(Ordering::Relaxed);
        if latest != new {
            (since, new) = (Instant::now(), latest);
        }
        let compiling = MORE.load(Ordering::Relaxed) > 0 && since.elapsed() < LONGEST_COMPILE;
        if !compiling || CLOSED.load(Ordering::Relaxed) {
            break;
        }
        stand_before_drivers();
        std::thread::sleep((since.elapsed() / 20).clamp(PAUSE, 100 * PAUSE));
    }
    WATCHED.store(false, Ordering::Relaxed);
}

/// After work was waited for: [`stand_before_drivers`] if a driver may have registered more.
pub(crate) fn stand_before_new_handlers() {
    let fewer = |left: usize| left.checked_sub(1);
    if MORE.load(Ordering::Relaxed) > 0
        && MORE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    {
        stand_before_drivers();
    }
}

/// Has the exit handler run before all those that drivers have registered so far; the last registered runs first. Its
/// second run finds nothing to do.
pub(crate) fn stand_before_drivers() {
    // Windows ends all other threads of a process before anything is taken down.
    #[cfg(unix)]
    {
        unsafe extern "C" {
            fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
        }
        // SAFETY: the handler is a plain function that does not unwind. Where there is no room for one more, an earlier
        // registration still holds.
        let _ = unsafe { atexit(close) };
    }
}

/// Has the end of the process wait for the work of `working`.
pub(crate) fn settle_at_exit(working: Weak<dyn Settle>) {
    SOFTWARE.store(true, Ordering::Relaxed);
    let mut all = lock(&WORKING);
    all.retain(|other| other.strong_count() > 0);
    all.push(working);
}

/// The exit handler.
#[cfg_attr(not(unix), allow(dead_code))]
extern "C" fn close() {
    if CLOSED.swap(true, Ordering::SeqCst) {
        return;
    }
    let end = Instant::now() + LIMIT;
    let left = move || end.saturating_duration_since(Instant::now());
    let own = DEPTH.get();
    while INSIDE.load(Ordering::SeqCst) > own && !left().is_zero() {
        std::thread::sleep(PAUSE);
    }
    // On a thread of its own: this one has lost its thread-local objects already, and wgpu has some.
    let settle = move || {
        CLOSING.set(true);
        let working = std::mem::take(&mut *lock(&WORKING));
        for working in working.iter().filter_map(Weak::upgrade) {
            let _ = catch_unwind(AssertUnwindSafe(|| working.settle(left())));
        }
    };
    // Where no thread is to be had, the work is not waited for.
    if let Ok(thread) = std::thread::Builder::new().spawn(settle) {
        while !thread.is_finished() && !left().is_zero() {
            std::thread::sleep(PAUSE);
        }
    }
}
