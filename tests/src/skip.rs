//! Reports what a test cannot check on this adapter, so `cargo xtask test` lists it and does not count it as passed.
//!
//! Neither cargo test nor nextest knows a test that finds out itself that it cannot run. Such a test returns by
//! [`skip`], which appends a line to the file that `SEQLOOM_SKIPPED` names, in one write, because tests run in many
//! processes. `cargo xtask test` sets that file, subtracts those tests from the passed ones, and lists them with their
//! reasons. A test that runs without some part reports that by [`skip_part`]: it is listed too and stays passed.
//!
//! The tests of `seqloom-device` include this file, so there is one mechanism and no extra crate below that one.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;

/// Reports that the calling test cannot run on this adapter, and why. None of the test may count, so return by this
/// call.
///
/// # Panics
/// If the file that `SEQLOOM_SKIPPED` names cannot be written: the test would count as passed.
#[track_caller]
pub fn skip(reason: &str) {
    record("skipped", reason, Location::caller());
}

/// Reports which part of the calling test cannot run on this adapter, and why.
///
/// # Panics
/// As [`skip`].
#[track_caller]
pub fn skip_part(reason: &str) {
    record("in part", reason, Location::caller());
}

fn record(what: &str, reason: &str, place: &Location<'_>) {
    // The runner names a test's thread by the test, unless it runs tests one by one.
    let thread = std::thread::current();
    let name = thread.name().filter(|name| *name != "main").map_or_else(|| place.to_string(), str::to_owned);
    println!("{what}: {name}: {reason}");
    let Some(path) = std::env::var_os("SEQLOOM_SKIPPED") else { return };
    let line = format!("{what}\t{}\t{name}\t{reason}\n", place.file());
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    assert!(written.is_ok(), "{}: {written:?}", path.display());
}
