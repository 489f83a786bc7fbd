//! The end of the driver's objects, and of the process while some are alive or at work.
//!
//! A driver is a library with its own exit handlers and static objects. A process that returns from `main` or calls
//! `exit` runs those handlers on one thread while all others go on. A thread may be inside the driver at that moment:
//! it waits, compiles, or drops the last handle and so unloads the library. It then works on what is being destroyed,
//! and a process whose work was done dies by a signal. Three rules prevent it:
//!
//! * Every caller of the driver holds an [`Inside`]. Our exit handler is registered after the driver's, so it runs
//!   first. It closes the door: it waits until nobody is inside, and from then on [`enter`] is refused. It also waits
//!   until the threads of software adapters rest, because they belong to this process. All this takes at most
//!   [`LIMIT`], and so does the wait at the end of a thread.
//! * wgpu's objects are held as [`Owned`]. It drops them inside, and leaves them alone once the door is closed; the
//!   system frees them with the process.
//! * The library of a driver that was ever used stays loaded (`probe`), so its handlers keep their order.
//!
//! Why not end the process at once in our handler: the program's own exit handlers would not run.
//!
//! Exit handlers run in reverse order of registration. A software adapter's compiler registers some when it first
//! compiles, on its own thread. So ours is registered again: after the first waits for a new kernel; when a thread that
//! was inside ends, which first waits until software adapters rest, because the thread that joins it may leave `main` at
//! once; and on software adapters every few milliseconds while a new kernel may be compiling. A gap of a few milliseconds
//! remains between a handler of theirs and our next one. If a thread that never used a device calls `exit` in it, while a
//! thread that did has not ended, a static object of the compiler is destroyed while it compiles. No process was seen to
//! die of it.

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

/// Longest delay of the end of the process.
const LIMIT: Duration = Duration::from_secs(5);
/// How often the exit handler checks whether everybody has left.
const PAUSE: Duration = Duration::from_millis(1);

/// Number of waits after which a submitted kernel has surely run: more than the submissions in flight.
const WAITS: usize = 8;

/// Longest time that a new kernel is assumed to queue and compile.
const LONGEST_COMPILE: Duration = Duration::from_secs(30);

/// Threads inside the driver, each counted as often as it has entered.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// Whether the process is ending.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// Number of further waits in which a driver may register exit handlers after ours.
static MORE: AtomicUsize = AtomicUsize::new(0);
/// How often a kernel was run for the first time.
static NEW: AtomicUsize = AtomicUsize::new(0);
/// Whether there has been a software adapter.
static SOFTWARE: AtomicBool = AtomicBool::new(false);
/// Whether a thread registers the exit handler repeatedly.
static WATCHED: AtomicBool = AtomicBool::new(false);
/// What the exit handler waits for.
static WORKING: Mutex<Vec<Weak<dyn Settle>>> = Mutex::new(Vec::new());

/// Registers the exit handler once more when a thread that was inside ends, after the compilers that may register others
/// have done their work. `exit` destroys its thread's thread-local objects before it runs any handler, and `join` returns
/// only when they are destroyed, so ours comes first.
struct AtThreadEnd;

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        // Not for every thread, because a registration takes memory for the life of the process.
        if MORE.load(Ordering::Relaxed) == 0 || OURS.get() {
            return;
        }
        settle_all(Instant::now() + LIMIT, false);
        stand_before_drivers();
    }
}

thread_local! {
    static AT_THREAD_END: AtThreadEnd = const { AtThreadEnd };
    /// How often this thread has entered: `exit` may be called from within a callback of the driver.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread works for the exit handler, and may enter even then.
    static CLOSING: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread is one of this crate's own, which nobody takes for the end of some work.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread is one of this crate's own: its end waits for nothing.
pub(crate) fn this_thread_is_ours() {
    OURS.set(true);
}

/// Something whose work runs on threads of this process.
pub(crate) trait Settle: Send + Sync {
    /// Waits for its work; whether it is done within `limit`.
    fn settle(&self, limit: Duration) -> bool;
}

/// The right to call the driver, until it is dropped.
///
/// It cannot be sent to another thread, because each thread counts its own.
pub(crate) struct Inside(PhantomData<*const ()>);

/// Enters the driver.
///
/// # Errors
/// [`DeviceError::Lost`] when the process is ending.
pub(crate) fn enter() -> Result<Inside, DeviceError> {
    // Count first, then check: the handler closes first and then counts, so one of the two sees the other.
    INSIDE.fetch_add(1, Ordering::SeqCst);
    DEPTH.set(DEPTH.get() + 1);
    let _ = AT_THREAD_END.try_with(|_| ()); // If it is already destroyed, it has done its work.
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

/// An object of wgpu, whose destructor calls the driver.
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
        // wgpu panics in destructors if a driver fails, and a panic while another unwinds would abort the process.
        // SAFETY: this is the only place that drops the object, and nobody can reach it afterwards.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { ManuallyDrop::drop(&mut self.0) }));
        if dropped.is_err() {
            tracing::warn!("the driver failed while an object was dropped");
        }
    }
}

/// Says that a driver may register exit handlers soon: it runs a kernel for the first time, and a software adapter then
/// compiles it with a library that creates its parts at first use.
pub(crate) fn drivers_may_add_handlers() {
    MORE.store(WAITS, Ordering::Relaxed);
    NEW.fetch_add(1, Ordering::Relaxed);
    if SOFTWARE.load(Ordering::Relaxed) && !WATCHED.swap(true, Ordering::Relaxed) {
        let watching = std::thread::Builder::new().name("seqloom-exit".to_owned()).spawn(watch);
        if watching.is_err() {
            WATCHED.store(false, Ordering::Relaxed); // The other places still register it.
        }
    }
}

/// Calls [`stand_before_drivers`] repeatedly until the new kernels have run: often at first, because compilers create
/// most of their parts early, then less and less often.
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

/// After a wait for work: [`stand_before_drivers`] if a driver may have registered more.
pub(crate) fn stand_before_new_handlers() {
    let fewer = |left: usize| left.checked_sub(1);
    if MORE.load(Ordering::Relaxed) > 0
        && MORE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    {
        stand_before_drivers();
    }
}

/// Makes the exit handler run before all handlers that drivers have registered so far, because the last registered runs
/// first. Its second run finds nothing to do.
pub(crate) fn stand_before_drivers() {
    // Windows ends all other threads of a process before anything is taken down.
    #[cfg(unix)]
    {
        unsafe extern "C" {
            fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
        }
        // SAFETY: the handler is a plain function that does not unwind. If there is no room for one more, an earlier
        // registration still holds.
        let _ = unsafe { atexit(close) };
    }
}

/// Makes the end of the process wait for the work of `working`.
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
    settle_all(end, true);
}

/// Waits until all software adapters rest, but not beyond `end`; if `closing`, even behind the closed door.
fn settle_all(end: Instant, closing: bool) {
    let left = move || end.saturating_duration_since(Instant::now());
    let working = lock(&WORKING).clone();
    if working.iter().all(|working| working.strong_count() == 0) {
        return;
    }
    // On another thread: this one may already have lost its thread-local objects, and wgpu needs some.
    let settle = move || {
        CLOSING.set(closing);
        this_thread_is_ours();
        for working in working.iter().filter_map(Weak::upgrade) {
            let _ = catch_unwind(AssertUnwindSafe(|| working.settle(left())));
        }
    };
    // If no thread can be started, the work is not waited for.
    if let Ok(thread) = std::thread::Builder::new().spawn(settle) {
        while !thread.is_finished() && !left().is_zero() {
            std::thread::sleep(PAUSE);
        }
    }
}
