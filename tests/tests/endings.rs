//! Processes end cleanly, whichever thread drops the last handle of a device, and whenever: with work in flight or not,
//! with the device lost or not, by return, exit or panic. No signal, no hang.
//!
//! Each order is a separate process (`src/bin/ending.rs`), because the test is about what happens after `main`.
//! Failures are rare, and more frequent on a busy machine, so there are 220 processes beside two threads that keep two
//! cores busy. A machine too slow for all of them within [`BUDGET`] runs as many as it can, and says how many.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const HOLDERS: [&str; 6] = ["main", "nobody", "thread", "buffer", "waker", "abandoned"];
const WORKS: [&str; 3] = ["idle", "busy", "compiling"];
const FATES: [&str; 2] = ["kept", "lost"];
const ENDS: [&str; 6] = ["return", "exit", "joined", "other", "stranger", "panic"];

/// Number of processes, and the minimum if the time is up.
const RUNS: usize = 220;
const LEAST: usize = 24;
/// Time after which no further process is started.
const BUDGET: Duration = Duration::from_secs(60);
/// Processes at a time.
const AT_ONCE: usize = 2;
/// Longest life of a process: the device's own limit of 3 s, the 5 s by which its end may be delayed, and a margin for
/// a busy machine.
const LIFE: Duration = Duration::from_secs(40);

#[test]
fn processes_end_without_a_signal_in_every_order() {
    let mut orders: Vec<[&str; 4]> = Vec::new();
    for holder in HOLDERS {
        for work in WORKS {
            for fate in FATES {
                orders.extend(ENDS.map(|end| [holder, work, fate, end]));
            }
        }
    }
    let (begun, next, over) = (Instant::now(), AtomicUsize::new(0), AtomicBool::new(false));
    let wrong = Mutex::new(Vec::new());
    let work = || {
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= RUNS || (run >= LEAST && begun.elapsed() > BUDGET) {
                next.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            // Steps coprime to the number of orders, so the first few are already of all kinds.
            let order = orders[run * 59 % orders.len()];
            let [before, after] = [run * 37 % 61, run * 23 % 53];
            if let Err(why) = ends_well(order, before, after) {
                wrong.lock().unwrap_or_else(PoisonError::into_inner).push(why);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        over.store(true, Ordering::Relaxed);
    });
    let wrong = wrong.into_inner().unwrap();
    let runs = next.into_inner();
    println!("{runs} processes in {:.0} s", begun.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "{} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Work that outlasts every limit delays a process no longer than the limits.
#[test]
fn work_without_an_end_does_not_keep_a_process() {
    let orders = [["main", "long", "kept", "return"], ["nobody", "long", "kept", "exit"]];
    for order in orders {
        if let Err(why) = ends_well(order, 10, 10) {
            panic!("{why}");
        }
    }
}

/// Runs a process. An error says how it ended, if it ended wrongly.
fn ends_well(order: [&str; 4], before: usize, after: usize) -> Result<(), String> {
    let waits = [before, after].map(|time| time.to_string());
    let what = format!("{} {}", order.join(" "), waits.join(" "));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ending"));
    command.args(order).args(waits).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begun = Instant::now();
    let mut process = command.spawn().unwrap();
    while process.try_wait().unwrap().is_none() {
        if begun.elapsed() > LIFE {
            let _ = process.kill();
            let _ = process.wait();
            return Err(format!("{what}: still there after {LIFE:?}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let Output { status, stderr, .. } = process.wait_with_output().unwrap();
    let expected = if order[3] == "panic" { 101 } else { 0 };
    if status.code() == Some(expected) {
        return Ok(());
    }
    Err(format!("{what}: {status}\n{}", String::from_utf8_lossy(&stderr)))
}
