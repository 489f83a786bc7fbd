//! What a test cannot see on this adapter: said, listed by `cargo xtask test`, and not counted as passed.
//!
//! Neither cargo test nor nextest knows a test that finds out by itself that it cannot run. So such a test returns by
//! [`skip`], which appends a line to the file that `SEQLOOM_SKIPPED` names, in one write, as tests run in many processes.
//! `cargo xtask test` gives that file, takes those tests off what passed, and lists them with their reasons. A test that does
//! run, only without some part, says so by [`skip_part`]: it is listed too and stays passed.
//!
//! The tests of `seqloom-device` include this file: one mechanism, and no crate for it below that one.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;

/// Says that the calling test cannot run on this adapter, and why. Nothing of it may count: return by this call.
///
/// # Panics
/// If the file that `SEQLOOM_SKIPPED` names cannot be written: the test would count as passed.
#[track_caller]
pub fn skip(reason: &str) {
    record("skipped", reason, Location::caller());
}

/// Says which part of the calling test this adapter leaves out, and why.
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
