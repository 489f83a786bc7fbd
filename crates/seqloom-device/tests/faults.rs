//! Each fault is a typed error that names the thing.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::time::{Duration, Instant};

use common::skip::skip;
use common::{add, bytes, is_lost, open, open_with, step, wgsl};
use seqloom_device::{AdapterChoice, Device, DeviceError, DeviceOptions};
use seqloom_shaders::Access;

#[test]
fn a_buffer_beyond_the_limit_names_label_bytes_and_limit() {
    let device = open();
    let limit = device.facts().max_buffer_bytes;
    let error = device.allocate("huge", limit + 1).unwrap_err();
    let DeviceError::TooLarge { label, bytes, limit: told } = &error else { panic!("{error}") };
    assert_eq!((label.as_str(), *bytes, *told), ("huge", limit + 1, limit));
    assert!(matches!(device.allocate("absurd", u64::MAX), Err(DeviceError::TooLarge { .. })));
    assert_eq!(device.allocated_bytes(), 0);
}

#[test]
fn a_broken_kernel_names_its_label_and_the_place() {
    let device = open();
    let broken = wgsl("broken kernel", "@compute @workgroup_size(1) fn main() { let x = y; }", &[], 0);
    let error = device.pipeline(&broken).unwrap_err();
    let DeviceError::Shader { label, message } = &error else { panic!("{error}") };
    assert_eq!(label, "broken kernel");
    assert!(message.contains('y'), "{message}");
    // A kernel whose bindings differ from its contract fails when its pipeline is made, not when it runs.
    let mut wrong = add();
    wrong.label = "wrong contract".to_owned();
    wrong.bindings = vec![Access::Read; 3];
    let error = device.pipelines(&[step(), wrong]).unwrap_err();
    assert!(matches!(&error, DeviceError::Shader { label, .. } if label == "wrong contract"), "{error}");
    assert!(device.pipeline(&step()).is_ok(), "the device works on");
}

#[test]
fn rules_of_a_dispatch_are_checked_when_it_is_made() {
    let device = open();
    let pipeline = device.pipeline(&add()).unwrap();
    let [a, b] = ["a", "b"].map(|label| device.allocate(label, 4096).unwrap());
    let good = [a.all(), a.all(), b.all()];
    let params = [0u8; 12];
    let check = |bindings: &[_], params: &[u8], grid, hint: &str| {
        let error = device.dispatch(&pipeline, "sum", bindings, params, grid).unwrap_err();
        assert!(matches!(error, DeviceError::Validation { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("sum") && text.contains(hint), "{text}");
    };
    assert!(device.dispatch(&pipeline, "sum", &good, &params, [1, 1, 1]).is_ok());
    check(&good[..2], &params, [1, 1, 1], "takes 3");
    check(&good, &params[..4], [1, 1, 1], "takes 12");
    check(&good, &params, [1, device.facts().max_grid + 1, 1], "grid");
    check(&[a.all(), b.slice(4096, 4), b.all()], &params, [1, 1, 1], "exceed");
    check(&[a.all(), b.slice(4, 8), b.all()], &params, [1, 1, 1], "multiple");
    check(&[a.all(), a.slice(0, 0), b.all()], &params, [1, 1, 1], "empty");
    check(&[a.all(), b.all(), b.all()], &params, [1, 1, 1], "reading and for writing");
    let other = open();
    let strange = other.allocate("strange", 4096).unwrap();
    check(&[a.all(), strange.all(), b.all()], &params, [1, 1, 1], "another device");
    let dispatch = device.dispatch(&pipeline, "sum", &good, &params, [1, 1, 1]).unwrap();
    assert!(matches!(other.submit(&[dispatch]), Err(DeviceError::Validation { .. })));
}

#[test]
fn ranges_of_writes_and_reads_are_checked() {
    let device = open();
    let buffer = device.allocate("small", 16).unwrap();
    for error in [
        device.write(&buffer.all(), &[0; 12]).unwrap_err(),
        device.write(&buffer.slice(12, 8), &[0; 8]).unwrap_err(),
        device.write(&buffer.slice(2, 4), &[0; 4]).unwrap_err(),
        device.read(&buffer.slice(u64::MAX, 4)).wait().unwrap_err(),
        pollster::block_on(device.read(&buffer.slice(0, 6))).unwrap_err(),
    ] {
        assert!(matches!(error, DeviceError::Validation { .. }), "{error}");
        assert!(error.to_string().contains("small"), "{error}");
    }
    assert_eq!(device.read(&buffer.slice(0, 0)).wait().unwrap(), [0u8; 0]);
}

#[test]
fn a_destroyed_device_says_lost_everywhere_and_hangs_nowhere() {
    let begun = Instant::now();
    let device = open();
    let pipeline = device.pipeline(&step()).unwrap();
    let buffer = device.allocate("numbers", 256).unwrap();
    let dispatch = device.dispatch(&pipeline, "step", &[buffer.all()], bytes(&[64u32]), [1, 1, 1]).unwrap();
    device.submit(&vec![dispatch.clone(); 100]).unwrap();
    let blocked = device.read(&buffer.all());
    let awaited = device.read(&buffer.all());
    device.destroy();
    assert!(is_lost(blocked.wait()));
    assert!(is_lost(pollster::block_on(awaited)));
    assert!(is_lost(device.allocate("more", 4)));
    assert!(is_lost(device.pipeline(&add())));
    assert!(is_lost(device.pipelines(&[add()])));
    assert!(is_lost(device.dispatch(&pipeline, "step", &[buffer.all()], bytes(&[64u32]), [1, 1, 1])));
    assert!(is_lost(device.write(&buffer.all(), &[0; 256])));
    assert!(is_lost(device.submit(std::slice::from_ref(&dispatch))));
    assert!(is_lost(device.read(&buffer.all()).wait()));
    assert!(is_lost(device.wait()));
    assert!(is_lost(device.profile(&[dispatch])));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_future_wakes_when_the_device_is_lost_meanwhile() {
    let device = open();
    let (started, length) = busy(&device);
    let readback = device.read(&started);
    let destroyer = std::thread::spawn({
        let device = device.clone();
        move || {
            std::thread::sleep(Duration::from_millis(50));
            device.destroy();
        }
    });
    // Either it was done before the loss, or it reports the loss. It does not hang.
    match pollster::block_on(readback) {
        Ok(bytes) => assert_eq!(bytes.len() as u64, length),
        Err(error) => assert!(matches!(error, DeviceError::Lost { .. }), "{error}"),
    }
    destroyer.join().unwrap();
}

#[test]
fn a_wait_that_is_too_short_times_out() {
    let device = open();
    let _work = busy(&device);
    let error = device.wait_within(Duration::ZERO).unwrap_err();
    assert!(matches!(error, DeviceError::Timeout { .. }), "{error}");
    device.wait().unwrap();
}

#[test]
fn an_adapter_that_is_not_there_is_an_error() {
    let adapter = Some(AdapterChoice::Name("no such adapter".to_owned()));
    let error = Device::open(DeviceOptions { adapter, ..DeviceOptions::default() }).unwrap_err();
    assert!(matches!(error, DeviceError::AdapterNotFound { .. }), "{error}");
}

#[test]
fn a_damaged_pipeline_cache_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        || DeviceOptions { cache_dir: Some(folder.path().join("deep")), ..DeviceOptions::default() };
    let files = || {
        let entries = std::fs::read_dir(folder.path().join("deep")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let device = open_with(options());
    if !device.facts().pipeline_cache {
        device.save_pipeline_cache().unwrap();
        return skip("the adapter keeps no pipelines");
    }
    device.pipeline(&add()).unwrap();
    device.save_pipeline_cache().unwrap();
    drop(device);
    let [path] = <[_; 1]>::try_from(files()).unwrap();
    let sound = std::fs::read(&path).unwrap();
    for damage in 0..3 {
        let mut bytes = sound.clone();
        match damage {
            0 => bytes.truncate(sound.len() / 2),
            1 => bytes.iter_mut().skip(40).for_each(|byte| *byte = !*byte),
            _ => bytes = b"something else entirely".to_vec(),
        }
        std::fs::write(&path, bytes).unwrap();
        let device = open_with(options());
        device.pipeline(&add()).unwrap();
        drop(device); // Saves.
        assert_eq!(files().len(), 1, "no temporary file stays");
        let saved = std::fs::read(&path).unwrap();
        assert_eq!(saved[..8], sound[..8], "a sound file again");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "not a folder").unwrap();
    let device = open_with(DeviceOptions { cache_dir: Some(blocked.clone()), ..DeviceOptions::default() });
    if !device.facts().pipeline_cache {
        return skip("the adapter keeps no pipelines");
    }
    device.pipeline(&add()).unwrap();
    let error = device.save_pipeline_cache().unwrap_err();
    assert!(matches!(&error, DeviceError::Cache { path, .. } if path.starts_with(&blocked)), "{error}");
}

/// Submits work of some hundred milliseconds or more. Returns the memory with the result, and its length.
fn busy(device: &Device) -> (seqloom_device::Slice, u64) {
    let source = "
        @group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            var x = out[id.x];
            for (var i = 0u; i < 20000u; i++) { x = x * 1664525u + 1013904223u; }
            out[id.x] = x;
        }";
    let pipeline = device.pipeline(&wgsl("busy", source, &[Access::ReadWrite], 0)).unwrap();
    let buffer = device.allocate("busy", 64 * 256 * 4).unwrap();
    let dispatch = device.dispatch(&pipeline, "busy", &[buffer.all()], &[], [256, 1, 1]).unwrap();
    device.submit(&vec![dispatch; 20]).unwrap();
    let bytes = buffer.bytes();
    (buffer.all(), bytes)
}
