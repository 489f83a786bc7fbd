//! Kernels end to end: write, dispatch, submit, read, profile, and which objects a repeated step makes.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::skip::skip;
use common::{add, bytes, open, step, words};
use seqloom_device::{Device, Dispatch, table, trace_json};

/// A dispatch of the step kernel on `len` words, all `start` at first.
fn stepping(device: &Device, len: u32, start: u32) -> (Dispatch, seqloom_device::Slice) {
    let buffer = device.allocate("numbers", u64::from(len) * 4).unwrap();
    device.write(&buffer.all(), bytes(&vec![start; len as usize])).unwrap();
    let pipeline = device.pipeline(&step()).unwrap();
    let grid = [len.div_ceil(64), 1, 1];
    let dispatch = device.dispatch(&pipeline, "step", &[buffer.all()], bytes(&[len]), grid).unwrap();
    (dispatch, buffer.all())
}

/// `runs` runs of the step kernel from `start`.
fn stepped(start: u32, runs: usize) -> u32 {
    (0..runs).fold(start, |value, _| value.wrapping_mul(3).wrapping_add(1))
}

/// Immediates of the add kernel.
fn add_params(len: u32, scale: f32, shift: f32) -> Vec<u8> {
    [len.to_le_bytes(), scale.to_le_bytes(), shift.to_le_bytes()].concat()
}

#[test]
fn an_add_kernel_runs_with_immediates() {
    let device = open();
    let len = 1000u32;
    let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
    let b: Vec<f32> = (0..len).map(|i| 0.5 * i as f32).collect();
    let [x, y, out] =
        ["a", "b", "out"].map(|label| device.allocate(label, u64::from(len) * 4).unwrap().all());
    device.write(&x, bytes(&a)).unwrap();
    device.write(&y, bytes(&b)).unwrap();
    let pipeline = device.pipeline(&add()).unwrap();
    let bindings = [x, y, out.clone()];
    let params = add_params(len, 2.0, 0.25);
    let dispatch = device.dispatch(&pipeline, "add", &bindings, &params, [len.div_ceil(64), 1, 1]).unwrap();
    device.submit(&[dispatch]).unwrap();
    let got: Vec<f32> = words(&device.read(&out).wait().unwrap());
    let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b * 2.0 + 0.25).collect();
    assert_eq!(got, want);
}

#[test]
fn new_memory_is_zero() {
    let device = open();
    let buffer = device.allocate("fresh", 4096).unwrap();
    assert!(device.read(&buffer.all()).wait().unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn a_readback_is_a_future() {
    let device = open();
    let (dispatch, numbers) = stepping(&device, 256, 7);
    device.submit(&[dispatch]).unwrap();
    // Two at once, awaited in the other order, by an executor that knows nothing of the device.
    let (first, second) = (device.read(&numbers), device.read(&numbers));
    let (second, first) = pollster::block_on(async { (second.await, first.await) });
    assert_eq!(words::<u32>(&first.unwrap()), vec![stepped(7, 1); 256]);
    assert_eq!(words::<u32>(&second.unwrap()), vec![stepped(7, 1); 256]);
}

#[test]
fn three_hundred_dispatches_run_in_order() {
    let device = open();
    let (dispatch, numbers) = stepping(&device, 100, 1);
    device.submit(&vec![dispatch; 300]).unwrap();
    assert_eq!(words::<u32>(&device.read(&numbers).wait().unwrap()), vec![stepped(1, 300); 100]);
}

#[test]
fn writes_and_submissions_keep_their_order() {
    let device = open();
    let (dispatch, numbers) = stepping(&device, 64, 0);
    let before = device.read(&numbers);
    device.submit(std::slice::from_ref(&dispatch)).unwrap();
    let after = device.read(&numbers);
    device.write(&numbers.buffer.slice(0, 8), bytes(&[100u32, 200])).unwrap();
    device.submit(&[dispatch]).unwrap();
    let last = words::<u32>(&device.read(&numbers).wait().unwrap());
    assert_eq!(words::<u32>(&before.wait().unwrap())[..3], [0, 0, 0]);
    assert_eq!(words::<u32>(&after.wait().unwrap())[..3], [1, 1, 1]);
    assert_eq!(last[..3], [301, 601, 4]);
}

#[test]
fn a_large_write_does_not_overtake_a_small_one() {
    let device = open();
    let buffer = device.allocate("large", 8 << 20).unwrap();
    device.write(&buffer.slice(0, 4), bytes(&[1u32])).unwrap();
    device.write(&buffer.all(), &vec![2; 8 << 20]).unwrap();
    device.write(&buffer.slice(8, 4), &[3; 4]).unwrap();
    let got = device.read(&buffer.all()).wait().unwrap();
    assert_eq!(got[..16], [2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 2, 2, 2, 2]);
    assert_eq!(got[(8 << 20) - 1], 2);
}

#[test]
fn a_grid_with_a_zero_does_nothing() {
    let device = open();
    let (_, numbers) = stepping(&device, 64, 5);
    let pipeline = device.pipeline(&step()).unwrap();
    let idle = device
        .dispatch(&pipeline, "idle", std::slice::from_ref(&numbers), bytes(&[64u32]), [1, 0, 1])
        .unwrap();
    device.submit(&[idle]).unwrap();
    assert_eq!(words::<u32>(&device.read(&numbers).wait().unwrap()), vec![5; 64]);
}

#[test]
fn a_repeated_step_makes_nothing() {
    let device = open();
    let (dispatch, numbers) = stepping(&device, 64, 3);
    let all = vec![dispatch; 20];
    let (counts, memory) = (device.counts(), device.allocated_bytes());
    for _ in 0..200 {
        device.write(&numbers, bytes(&[3u32; 64])).unwrap();
        device.submit(&all).unwrap();
    }
    device.wait().unwrap();
    assert_eq!(device.counts(), counts);
    assert_eq!(device.allocated_bytes(), memory);
    assert_eq!(words::<u32>(&device.read(&numbers).wait().unwrap()), vec![stepped(3, 20); 64]);
}

#[test]
fn equal_kernels_and_bindings_are_made_once() {
    let device = open();
    let (first, numbers) = stepping(&device, 64, 0);
    let pipelines = device.pipelines(&[step(), add(), step(), add()]).unwrap();
    assert_eq!(pipelines[0].label(), "step");
    assert_eq!(pipelines[3].label(), "add");
    assert_eq!(device.counts().pipelines, 2);
    let again = device.dispatch(&pipelines[2], "again", &[numbers], bytes(&[64u32]), [1, 1, 1]).unwrap();
    assert_eq!(device.counts().bind_groups, 1);
    device.submit(&[first, again]).unwrap();
}

#[test]
fn memory_is_counted_and_leaves_with_its_last_user() {
    let device = open();
    assert_eq!(device.allocated_bytes(), 0);
    let odd = device.allocate("odd", 5).unwrap();
    assert_eq!((odd.bytes(), device.allocated_bytes()), (8, 8));
    let copy = odd.clone();
    drop(odd);
    assert_eq!(device.allocated_bytes(), 8);
    drop(copy);
    assert_eq!(device.allocated_bytes(), 0);
    let (dispatch, numbers) = stepping(&device, 64, 0);
    drop(numbers);
    assert_eq!(device.allocated_bytes(), 256);
    device.submit(std::slice::from_ref(&dispatch)).unwrap();
    drop(dispatch);
    assert_eq!((device.allocated_bytes(), device.peak_bytes()), (0, 256), "the peak stays");
    assert_eq!(device.counts().buffers, 2);
}

#[test]
fn kernels_are_timed() {
    let device = open();
    let (dispatch, numbers) = stepping(&device, 1 << 16, 1);
    if !device.facts().timestamps {
        let error = device.profile(&[dispatch]).unwrap_err();
        assert!(error.to_string().contains("timestamps"), "{error}");
        return skip("the adapter has no timestamps");
    }
    let times = device.profile(&vec![dispatch; 5]).unwrap();
    assert_eq!(words::<u32>(&device.read(&numbers).wait().unwrap())[0], stepped(1, 5));
    assert_eq!(times.len(), 5);
    assert!(times.iter().all(|time| time.label == "step" && time.nanoseconds > 0), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[0].start <= pair[1].start), "{times:?}");
    let text = table(&times);
    assert!(text.contains("step") && text.contains("100.0%"), "{text}");
    let trace: serde_json::Value = serde_json::from_str(&trace_json(&times)).unwrap();
    assert_eq!(trace["traceEvents"].as_array().unwrap().len(), 5);
}

#[test]
fn threads_share_a_device() {
    let device = open();
    std::thread::scope(|scope| {
        for start in 0..4 {
            let device = device.clone();
            scope.spawn(move || {
                let (dispatch, numbers) = stepping(&device, 64, start);
                for _ in 0..10 {
                    device.submit(&vec![dispatch.clone(); 10]).unwrap();
                }
                let got = words::<u32>(&device.read(&numbers).wait().unwrap());
                assert_eq!(got, vec![stepped(start, 100); 64]);
            });
        }
    });
}

#[test]
fn threads_that_share_a_device_wait_for_their_own_work() {
    let device = open();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let device = device.clone();
            scope.spawn(move || {
                let (dispatch, numbers) = stepping(&device, 64, thread);
                for round in 1..=50 {
                    device.submit(std::slice::from_ref(&dispatch)).unwrap();
                    let got = words::<u32>(&device.read(&numbers).wait().unwrap());
                    assert_eq!(got, vec![stepped(thread, round); 64]);
                }
            });
        }
    });
}
