//! Batches made ahead of time by a thread of their own.
//!
//! The thread runs the course itself, so order and bits are those of the course. One thread is enough to hide a loader that is faster
//! than a step. Several would have to put their batches in order again, and a data set that is slow to compute can
//! use threads inside.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use seqloom_nn::NnError;

use crate::data::course::{Course, Source};

/// The batches of a course, made up to a number of batches ahead ([`Course::prefetched`]).
///
/// What goes wrong in the loader is told by the step over the batch at fault, as without prefetching. A panic of the
/// loader is such a fault ([`NnError::Panicked`]) and ends the batches. Dropping this ends the thread, and waits for the batch that it is
/// making.
#[derive(Debug)]
pub struct Prefetched<B> {
    /// Open until this is dropped.
    ready: Option<Receiver<B>>,
    loader: Option<JoinHandle<()>>,
    /// Stands for a thread that the system refused.
    refused: Option<B>,
    position: u64,
    left: usize,
}

impl<S> Course<S>
where
    S: Source + Send + 'static,
    S::Batch: Send + 'static,
    S::Plan: Send + Sync + 'static,
{
    /// The same batches, made by a thread that runs up to `ahead` batches ahead, at least 1. Call it last. Each of those
    /// batches is held in memory.
    #[must_use]
    pub fn prefetched(mut self, ahead: usize) -> Prefetched<S::Batch> {
        let (position, left) = (self.position(), self.len());
        // One more is in the thread's hands.
        let (sender, ready) = sync_channel(ahead.saturating_sub(1));
        let run = move || {
            loop {
                let number = self.position();
                let (batch, ended) = match catch_unwind(AssertUnwindSafe(|| self.next())) {
                    Ok(Some(batch)) => (batch, false),
                    Ok(None) => return,
                    Err(panic) => (fault(number, &*panic), true),
                };
                // Nobody is left to take it.
                if sender.send(batch).is_err() || ended {
                    return;
                }
            }
        };
        let loader = std::thread::Builder::new().name("seqloom-loader".to_owned()).spawn(run);
        let (loader, refused) = match loader {
            Ok(loader) => (Some(loader), None),
            Err(error) => {
                let source: Box<dyn std::error::Error + Send + Sync> = error.into();
                (None, Some(NnError::Load { batch: position, source: source.into() }.into()))
            }
        };
        Prefetched { ready: Some(ready), loader, refused, position, left }
    }
}

/// A batch that stands for a panic.
fn fault<B: From<NnError>>(batch: u64, panic: &(dyn Any + Send)) -> B {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
    B::from(NnError::Panicked { batch, message: message.unwrap_or_else(|| "no message".to_owned()) })
}

impl<B> Prefetched<B> {
    /// Number of the next batch that it gives, whatever is ready: what [`Course::starting_at`] takes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl<B> Iterator for Prefetched<B> {
    type Item = B;

    fn next(&mut self) -> Option<B> {
        let batch = self.refused.take().or_else(|| self.ready.as_ref()?.recv().ok())?;
        self.position += 1;
        self.left = self.left.saturating_sub(1);
        Some(batch)
    }

    /// A panic of the loader may end it earlier.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<B> Drop for Prefetched<B> {
    fn drop(&mut self) {
        self.ready = None;
        if let Some(loader) = self.loader.take() {
            // Its panics have been caught and told.
            let _ = loader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::data::columns::Columns;
    use crate::data::dataset::{FromFn, LoadError, SampleBatches, Samples};
    use seqloom_nn::{Batch, Inputs};

    type Made = Result<Inputs, LoadError>;

    /// Batches of two of `len` rows, made by this function.
    fn batches<F: Fn(&[usize]) -> Made>(len: usize, make: F) -> SampleBatches<FromFn<F>> {
        Samples::from_fn(len, make).batches(2).in_order()
    }

    fn plain(rows: &[usize]) -> Inputs {
        Inputs::new().ids("row", &[rows.len()], rows.iter().map(|&row| row as u32).collect())
    }

    #[test]
    fn order_and_contents_are_those_of_the_course() {
        let rows = (0..50).map(|n| vec![n; n as usize % 7 + 1]).collect();
        let data = Columns::new().sequences("s", "n", rows).samples().unwrap();
        let course = || data.batches(4).seeded(5).by_length().epochs(3).starting_at(2);
        let show = |batch: Inputs| format!("{:?}", batch.tensors());
        let expected: Vec<_> = course().map(show).collect();
        for ahead in [0, 1, 2, 100] {
            let mut prefetched = course().prefetched(ahead);
            assert_eq!((prefetched.position(), prefetched.size_hint()), (2, (0, Some(34))));
            assert_eq!(prefetched.by_ref().map(show).collect::<Vec<_>>(), expected);
            assert_eq!((prefetched.position(), prefetched.next().is_none()), (36, true));
        }
    }

    #[test]
    fn it_runs_ahead_by_as_many_batches_as_asked_for() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let (told, hears) = mpsc::channel();
        let course = batches(40, move |rows| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = told.send(());
            Ok(plain(rows))
        });
        let mut prefetched = course.prefetched(3);
        for _ in 0..3 {
            hears.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        assert!(hears.recv_timeout(Duration::from_millis(200)).is_err(), "no more before one is taken");
        prefetched.next().unwrap();
        hears.recv_timeout(Duration::from_secs(60)).unwrap();
        drop(prefetched);
        // The thread has ended: what it counts with is ours alone.
        assert_eq!(Arc::strong_count(&made), 1);
        assert!(made.load(Ordering::SeqCst) <= 5);
    }

    #[test]
    fn errors_and_panics_come_at_their_batch() {
        let failing = |rows: &[usize]| -> Made {
            if rows.contains(&4) { Err("no such file".into()) } else { Ok(plain(rows)) }
        };
        let faults: Vec<_> =
            batches(10, failing).prefetched(9).map(|b| b.fault().map(ToString::to_string)).collect();
        let told = Some("batch 2 cannot be loaded: no such file".to_owned());
        assert_eq!(faults, [None, None, told, None, None]);
        let panicking = |rows: &[usize]| -> Made {
            assert!(!rows.contains(&4), "row {}", 4);
            Ok(plain(rows))
        };
        let faults: Vec<_> = batches(10, panicking).prefetched(9).map(|b| b.fault().cloned()).collect();
        assert_eq!(faults.len(), 3, "a panic ends the batches");
        let Some(NnError::Panicked { batch: 2, message }) = &faults[2] else { panic!("{faults:?}") };
        assert_eq!(message, "row 4");
    }

    /// Made before each step, batches of 50 ms would lengthen steps of 100 ms to 150.
    #[test]
    fn it_hides_a_slow_loader_behind_the_steps() {
        let (load, step) = (Duration::from_millis(50), Duration::from_millis(100));
        let slow = move |rows: &[usize]| -> Made {
            std::thread::sleep(load);
            Ok(plain(rows))
        };
        let begin = Instant::now();
        let mut steps = 0;
        for batch in batches(40, slow).prefetched(2) {
            assert!(batch.fault().is_none());
            std::thread::sleep(step);
            steps += 1;
        }
        let mean = begin.elapsed() / steps;
        println!("a step takes {mean:?}, with a loader of {load:?} behind {step:?}");
        // The first batch is waited for: 102.5 ms without the system's delays.
        assert_eq!(steps, 20);
        assert!(mean < Duration::from_millis(130), "{mean:?}");
    }
}
