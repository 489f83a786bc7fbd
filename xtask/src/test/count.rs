//! Counts tests: the runner's totals, and what tests reported themselves.
//!
//! Only the runner's own closing lines are read, because nextest shows the output of a failed test, which includes the
//! closing line of that test's process.

use std::collections::BTreeSet;
use std::fmt;

/// The test runner.
#[derive(Clone, Copy)]
pub enum Runner {
    /// `cargo test`, a closing line for each binary: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    Cargo,
    /// `cargo nextest run`, one closing line: `Summary [1.2s] 4 tests run: 3 passed, 1 failed, 1 skipped`.
    Nextest,
}

impl Runner {
    /// Its words after `cargo`.
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Self::Cargo => &["test"],
            Self::Nextest => &["nextest", "run"],
        }
    }

    /// The totals of its output.
    pub fn totals(self, text: &str) -> Totals {
        let lines: Vec<String> = text.lines().map(plain).collect();
        let mut totals = Totals::default();
        match self {
            Self::Cargo => {
                let closing = lines.iter().filter(|line| line.starts_with("test result: "));
                closing.for_each(|line| totals.add(Totals::read(line)));
            }
            Self::Nextest => {
                let closing = lines.iter().rfind(|line| line.trim_start().starts_with("Summary ["));
                closing.into_iter().for_each(|line| totals.add(Totals::read(line)));
            }
        }
        totals
    }
}

/// How many tests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Ran, and found nothing wrong.
    pub passed: usize,
    /// Found a fault, or were ended by a signal or a timeout.
    pub failed: usize,
    /// Marked as not to be run.
    pub ignored: usize,
    /// Reported that they cannot run on this adapter.
    pub skipped: usize,
}

impl Totals {
    /// Reads a closing line.
    fn read(line: &str) -> Self {
        let mut totals = Self::default();
        let words: Vec<&str> =
            line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<usize>() else { continue };
            match pair[1] {
                "passed" => totals.passed += count,
                // `1 failed`, `1 timed out`, `1 exec failed`.
                "failed" | "timed" | "exec" => totals.failed += count,
                "ignored" | "skipped" => totals.ignored += count,
                _ => {}
            }
        }
        totals
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skipped += other.skipped;
    }

    /// Subtracts tests that could not run from those that passed.
    pub fn without(self, skipped: usize) -> Self {
        let skipped = skipped.min(self.passed);
        Self { passed: self.passed - skipped, skipped: self.skipped + skipped, ..self }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, ignored, skipped } = self;
        write!(f, "{passed} passed, {failed} failed")?;
        for (count, what) in [(skipped, "not run on this adapter"), (ignored, "ignored")] {
            if *count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// What tests reported.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Tests that could not run at all.
    pub tests: usize,
    /// A line for each of them, and for each part of a test that was left out.
    pub lines: Vec<String>,
}

impl Skipped {
    /// Reads the file of the lines `what, file, test, reason`, separated by tabs. A test may have reported something
    /// twice.
    pub fn read(text: &str) -> Self {
        let (mut tests, mut lines) = (BTreeSet::new(), BTreeSet::new());
        for line in text.lines() {
            let [what, file, test, reason] = line.splitn(4, '\t').collect::<Vec<_>>()[..] else { continue };
            if what == "skipped" {
                tests.insert((file, test));
                lines.insert(format!("{test} ({file}): {reason}"));
            } else {
                lines.insert(format!("{test} ({file}), {what}: {reason}"));
            }
        }
        Self { tests: tests.len(), lines: lines.into_iter().collect() }
    }
}

/// The line without terminal colours.
fn plain(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(passed: usize, failed: usize, ignored: usize) -> Totals {
        Totals { passed, failed, ignored, skipped: 0 }
    }

    #[test]
    fn totals_of_cargo_test_add_up() {
        let text = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(Runner::Cargo.totals(text), totals(4, 2, 1));
    }

    #[test]
    fn totals_of_nextest_are_read_through_colours() {
        let text = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.9s] 57 tests run: \u{1b}[1m52\u{1b}[0m passed (2 slow), 3 failed, \
                    1 timed out, 1 exec failed, 1 skipped\n";
        assert_eq!(Runner::Nextest.totals(text), totals(52, 5, 1));
    }

    /// A test that passes and then ends by a signal: its process has printed its own closing line.
    #[test]
    fn what_a_failed_test_printed_is_not_counted() {
        let text = "        SIGSEGV [   0.5s] seqloom-device::faults a_future_wakes\n  stdout ───\n\n    running 1 test\n\
                    test a_future_wakes ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n\n\
                    ────────────\n     Summary [ 400.1s] 684 tests run: 683 passed, 1 failed, 0 skipped\n";
        assert_eq!(Runner::Nextest.totals(text), totals(683, 1, 0));
    }

    #[test]
    fn tests_that_could_not_run_are_listed_and_do_not_count_as_passed() {
        let text = "skipped\ta.rs\tone\tno clock\nin part\ta.rs\ttwo\tno matrices\nskipped\ta.rs\tone\tno clock\n\
                    skipped\tb.rs\tone\tno clock\nnonsense\n";
        let skipped = Skipped::read(text);
        assert_eq!(skipped.tests, 2);
        let expected = ["one (a.rs): no clock", "one (b.rs): no clock", "two (a.rs), in part: no matrices"];
        assert_eq!(skipped.lines, expected);
        let counted = totals(10, 1, 0).without(skipped.tests);
        assert_eq!(counted.to_string(), "8 passed, 1 failed, 2 not run on this adapter");
    }
}
