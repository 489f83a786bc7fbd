//! A process that ends in the order given by its arguments; `tests/endings.rs` runs it many times.
//!
//! `ending HOLDER WORK FATE END BEFORE AFTER`:
//!
//! * HOLDER of the last handle: `main`, `nobody`, `thread` (another thread), `buffer` (a thread that has only a buffer
//!   and a dispatch left), `waker` (the thread that polls for futures, as it wakes one) or `abandoned` (the same
//!   thread, which still polls for a future that was dropped).
//! * WORK in flight: `idle`, `busy`, `compiling` (a thread that compiles, submits and never waits) or `long` (more than any
//!   limit, in one submission).
//! * FATE of the device: `kept`, or `lost` meanwhile.
//! * END: `return` from main, `exit` by main, `joined` (all the above happens on a thread, and main, which never used the device,
//!   joins it and returns, as the test harness does), `other` (exit by a thread that has used the device), `stranger` (exit by one
//!   that never did) or `panic` of main.
//! * BEFORE and AFTER: milliseconds until main ends, and until threads drop what they hold.

#![allow(clippy::unwrap_used, clippy::panic)] // A wrong expectation ends the process with a message, and so fails the test.

use std::future::Future;
use std::pin::Pin;
use std::process::exit;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread::{sleep, spawn};
use std::time::Duration;

use seqloom_device::{Buffer, Device, DeviceError, DeviceOptions, Dispatch, Readback};
use seqloom_shaders::{Access, Wgsl};

/// Longest wait for the device.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Everything that keeps a device.
#[derive(Default)]
struct Handles {
    device: Option<Device>,
    memory: Option<(Buffer, Dispatch)>,
    readback: Option<Readback>,
}

/// What drops its handles when it is woken.
struct Last(Mutex<Handles>);

impl Wake for Last {
    fn wake(self: Arc<Self>) {
        drop(std::mem::take(&mut *self.0.lock().unwrap()));
    }
}

fn main() {
    let [holder, work, fate, end, before, after] =
        <[String; 6]>::try_from(std::env::args().skip(1).collect::<Vec<_>>()).unwrap();
    let [before, after] = [before, after].map(|text| Duration::from_millis(text.parse().unwrap()));
    if end == "joined" {
        spawn(move || run(&holder, &work, &fate, &end, before, after)).join().unwrap();
    } else {
        run(&holder, &work, &fate, &end, before, after);
    }
}

fn run(holder: &str, work: &str, fate: &str, end: &str, before: Duration, after: Duration) {
    let options = DeviceOptions { no_cache: true, timeout: Some(TIMEOUT), ..DeviceOptions::default() };
    let device = Device::open(options).unwrap_or_else(|error| panic!("these tests need a device: {error}"));
    let mut handles = Handles::default();
    if work != "idle" {
        let groups = if work == "long" { 16384 } else { 256 };
        let (buffer, dispatch) = prepared(&device, 0, groups).unwrap();
        device.submit(&vec![dispatch.clone(); if work == "long" { 200 } else { 8 }]).unwrap();
        if work != "long" {
            // Mesa's lavapipe takes a further submission only once the first is done.
            handles.readback = Some(device.read(&buffer.all()));
        }
        handles.memory = Some((buffer, dispatch));
    }
    if work == "compiling" {
        let device = device.clone();
        // It fails when the device is lost or the process ends.
        spawn(move || (1..).try_for_each(|n| device.submit(&[prepared(&device, n, 256)?.1])));
    }
    if fate == "lost" {
        let device = device.clone();
        spawn(move || {
            sleep(after / 2);
            device.destroy();
        });
    }
    let other = (end == "other").then(|| used(&device));
    handles.device = Some(device);
    let kept = hand_over(handles, holder, after);
    // The end of a thread that comes soon after its first submission finds the driver compiling.
    sleep(if end == "joined" { before / 8 } else { before });
    match end {
        "return" | "joined" => drop(kept),
        "exit" => exit(0),
        "other" | "stranger" => {
            match other {
                Some(end) => end.send(()).unwrap(),
                None => drop(spawn(|| exit(0))),
            }
            sleep(Duration::from_secs(60));
        }
        _ => panic!("this is how this process ends"),
    }
}

/// A thread that has used the device and holds nothing of it; a message makes it exit.
fn used(device: &Device) -> Sender<()> {
    let (end, ended) = channel();
    let (done, ready) = channel();
    let device = device.clone();
    spawn(move || {
        drop(device.allocate("used", 4));
        drop(device);
        done.send(()).unwrap();
        ended.recv().unwrap();
        exit(0);
    });
    ready.recv().unwrap();
    end
}

/// Gives the handles to their last holder; returns them if that is main.
fn hand_over(mut handles: Handles, holder: &str, after: Duration) -> Option<Handles> {
    static NOBODY: Mutex<Option<Handles>> = Mutex::new(None);
    let later = move |handles: Handles| {
        sleep(after);
        drop(handles);
    };
    match holder {
        "main" => return Some(handles),
        "nobody" => *NOBODY.lock().unwrap() = Some(handles),
        "thread" => drop(spawn(move || later(handles))),
        "buffer" => {
            handles.device = None;
            handles.readback = None;
            spawn(move || later(handles));
        }
        _ => {
            let last = Arc::new(Last(Mutex::new(Handles::default())));
            let waker = Waker::from(Arc::clone(&last));
            if let Some(readback) = &mut handles.readback {
                // Whether it is ready at once or not: from the first poll on, a thread polls for it.
                let _ = Pin::new(readback).poll(&mut Context::from_waker(&waker));
            }
            if holder == "waker" {
                *last.0.lock().unwrap() = handles;
            }
        }
    }
    None
}

/// A kernel unlike any other of this process, with some milliseconds of work and its own memory.
fn prepared(device: &Device, n: u32, groups: u32) -> Result<(Buffer, Dispatch), DeviceError> {
    let source = format!(
        "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            var x = out[id.x] + {n}u;
            for (var i = 0u; i < 4000u; i++) {{ x = x * 1664525u + 1013904223u; }}
            out[id.x] = x;
        }}"
    );
    let kernel = Wgsl {
        kernel: "ending",
        label: format!("ending {n}"),
        source,
        bindings: vec![Access::ReadWrite],
        immediate_bytes: 0,
        subgroups: false,
        cooperative: false,
    };
    let pipeline = device.pipeline(&kernel)?;
    let buffer = device.allocate("work", u64::from(groups) * 64 * 4)?;
    let dispatch = device.dispatch(&pipeline, "work", &[buffer.all()], &[], [groups, 1, 1])?;
    Ok((buffer, dispatch))
}
