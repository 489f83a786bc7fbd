//! Tuning notes survive on disk, only for their own adapter, and a damaged file loses only itself.

#![allow(clippy::panic, clippy::unwrap_used)] // A test fails by panicking.

mod common;

use std::path::{Path, PathBuf};

use common::open_with;
use seqloom_device::{AdapterKind, DeviceError, DeviceOptions, Tuning};

fn options(folder: &Path, tuning: Tuning) -> DeviceOptions {
    DeviceOptions { cache_dir: Some(folder.to_path_buf()), tuning, ..DeviceOptions::default() }
}

/// The files of notes in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("tuning-")).collect()
}

/// What a device opened now knows under `name`.
fn known(options: DeviceOptions, name: &str) -> Option<String> {
    open_with(options).notes().remove(name)
}

#[test]
fn notes_are_there_in_the_next_run_unless_it_asks_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let device = open_with(options(folder.path(), Tuning::Full));
    device.note("product 1x8", "tall");
    assert_eq!(device.notes()["product 1x8"], "tall");
    assert!(files(folder.path()).is_empty(), "nothing is written unasked");
    device.save_notes().unwrap();
    for tuning in [Tuning::Cached, Tuning::Full] {
        assert_eq!(known(options(folder.path(), tuning), "product 1x8").as_deref(), Some("tall"));
    }
    assert_eq!(known(options(folder.path(), Tuning::Heuristic), "product 1x8"), None);
    let none = DeviceOptions { no_cache: true, ..options(folder.path(), Tuning::Cached) };
    assert_eq!(known(none, "product 1x8"), None);
}

#[test]
fn notes_of_another_kind_of_adapter_or_of_other_checks_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let as_kind = |kind| DeviceOptions { kind: Some(kind), ..options(folder.path(), Tuning::Cached) };
    let device = open_with(as_kind(AdapterKind::Discrete));
    device.note("name", "text");
    device.save_notes().unwrap();
    assert!(known(as_kind(AdapterKind::Discrete), "name").is_some());
    assert!(known(as_kind(AdapterKind::Cpu), "name").is_none());
    let checked = DeviceOptions { checks: Some(!device.checks()), ..as_kind(AdapterKind::Discrete) };
    assert!(known(checked, "name").is_none());

    // Another key under the same file name: the header tells.
    let theirs = files(folder.path()).remove(0);
    let other = open_with(as_kind(AdapterKind::Cpu));
    other.note("name", "other");
    other.save_notes().unwrap();
    let ours = files(folder.path()).into_iter().find(|path| *path != theirs).unwrap();
    std::fs::copy(&theirs, &ours).unwrap();
    assert!(known(as_kind(AdapterKind::Cpu), "name").is_none());
}

#[test]
fn two_devices_add_to_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [(); 2].map(|()| open_with(options(folder.path(), Tuning::Full)));
    for (device, name) in [(&first, "a"), (&second, "b"), (&first, "c")] {
        device.note(name, name);
        device.save_notes().unwrap();
    }
    let all = open_with(options(folder.path(), Tuning::Cached)).notes();
    assert_eq!(all.into_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn a_damaged_file_counts_as_none_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let device = open_with(options(folder.path(), Tuning::Full));
    device.note("name", "text");
    device.save_notes().unwrap();
    let [path] = <[_; 1]>::try_from(files(folder.path())).unwrap();
    let sound = std::fs::read(&path).unwrap();
    for damaged in [sound[..sound.len() - 1].to_vec(), sound.iter().map(|b| b ^ 1).collect(), Vec::new()] {
        std::fs::write(&path, damaged).unwrap();
        let device = open_with(options(folder.path(), Tuning::Full));
        assert!(device.notes().is_empty());
        device.note("name", "text");
        device.save_notes().unwrap();
        assert_eq!(files(folder.path()).len(), 1, "no temporary file stays");
        assert_eq!(std::fs::read(&path).unwrap(), sound);
    }
}

#[test]
fn notes_that_cannot_be_written_are_an_error_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "not a folder").unwrap();
    let device = open_with(options(&blocked, Tuning::Full));
    device.save_notes().unwrap();
    device.note("name", "text");
    let error = device.save_notes().unwrap_err();
    assert!(matches!(&error, DeviceError::Cache { path, .. } if path.starts_with(&blocked)), "{error}");
    assert!(error.to_string().contains("file"), "{error}");
}
