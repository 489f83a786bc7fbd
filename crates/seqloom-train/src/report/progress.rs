//! A progress bar fed by finished steps.
//!
//! Steps are requested faster than the device runs them, so a bar that counted requests would run ahead and show wrong
//! rates. This one moves when a loss has come back.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use seqloom_nn::{Finished, LossListener};

/// Loss, tokens per second and time left of a run; shown as a terminal's bar, or not at all.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    state: Mutex<Pace>,
}

/// What has been heard so far.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// When the first report came. The rates leave that step out, because it includes compiling.
    started: Option<Instant>,
    /// Steps and tokens after it.
    steps: u64,
    tokens: u64,
    loss: f32,
    /// Steps that were skipped, and whether the last one was.
    skipped: u64,
    in_skips: bool,
}

impl Pace {
    fn seconds(&self) -> f64 {
        self.started.map_or(0.0, |s| s.elapsed().as_secs_f64()).max(1e-9)
    }

    /// Counts a skipped step and returns the message: one line for consecutive ones, because a run gone bad would fill
    /// the screen.
    fn notice(&mut self, finished: Finished) -> Option<String> {
        let begins = finished.skipped && !self.in_skips;
        self.in_skips = finished.skipped;
        self.skipped += u64::from(finished.skipped);
        let step = finished.step;
        begins.then(|| format!("step {step} was skipped: a gradient or a carried state was not finite"))
    }
}

impl Progress {
    /// A bar on standard error for `total` steps, `done` of them already done. It is hidden if that is not a terminal.
    #[must_use]
    pub fn bar(total: u64, done: u64) -> Self {
        Self::over(ProgressBar::new(total).with_position(done).with_style(style()))
    }

    /// The same counts without a bar.
    #[must_use]
    pub fn hidden() -> Self {
        Self::over(ProgressBar::hidden())
    }

    fn over(bar: ProgressBar) -> Self {
        let pace = Pace { started: None, steps: 0, tokens: 0, loss: f32::NAN, skipped: 0, in_skips: false };
        Self { bar, state: Mutex::new(pace) }
    }

    /// The last loss heard of; NaN before the first.
    #[must_use]
    pub fn loss(&self) -> f32 {
        self.pace().loss
    }

    /// Steps heard of that were skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.pace().skipped
    }

    /// Tokens per second since the first report; 0 before the second.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        let pace = self.pace();
        pace.tokens as f64 / pace.seconds()
    }

    /// A panic in another thread while it held the numbers leaves them usable: they are only shown.
    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How a bar looks.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl LossListener for Progress {
    fn finished(&self, finished: Finished) {
        let mut pace = self.pace();
        pace.loss = finished.loss;
        if pace.started.is_some() {
            pace.steps += 1;
            pace.tokens += finished.tokens;
        } else {
            pace.started = Some(Instant::now());
        }
        let notice = pace.notice(finished);
        let now = *pace;
        drop(pace);
        self.bar.inc(1);
        if let Some(line) = notice {
            self.bar.println(line);
        }
        let mut message = format!("loss {:.4}", finished.loss);
        if now.steps > 0 {
            let to_go = self.bar.length().unwrap_or(0).saturating_sub(self.bar.position());
            let left = to_go as f64 * now.seconds() / now.steps as f64;
            let left = HumanDuration(Duration::from_secs_f64(left.clamp(0.0, 1e9)));
            message = format!("{message}  {:.0} tokens/s  {left} left", now.tokens as f64 / now.seconds());
        }
        if now.skipped > 0 {
            message = format!("{message}  {} skipped", now.skipped);
        }
        self.bar.set_message(message);
        if self.bar.length() == Some(self.bar.position()) {
            self.bar.finish();
        }
    }
}

impl Drop for Progress {
    /// Leaves the last state on the screen, also when a run ends early.
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_last_loss_and_counts_after_the_first_report() {
        let progress = Progress::hidden();
        assert!(progress.loss().is_nan());
        progress.finished(Finished { step: 1, loss: 3.0, tokens: 100, skipped: false });
        progress.finished(Finished { step: 2, loss: 2.5, tokens: 400, skipped: false });
        assert_eq!((progress.loss(), progress.skipped()), (2.5, 0));
        assert_eq!(progress.pace().tokens, 400);
        assert!(progress.tokens_per_second() > 0.0);
    }

    #[test]
    fn skipped_steps_are_told_once_in_a_row_and_counted() {
        let progress = Progress::hidden();
        let mut lines = Vec::new();
        for (step, skipped) in (1..).zip([false, true, true, false, true]) {
            let finished = Finished { step, loss: 1.0, tokens: 1, skipped };
            lines.extend(progress.pace().notice(finished));
            assert_eq!(progress.skipped(), [0, 1, 2, 2, 3][step as usize - 1]);
        }
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("step 2 was skipped") && lines[1].starts_with("step 5 was skipped"));
        progress.finished(Finished { step: 6, loss: 1.0, tokens: 1, skipped: false });
        assert!(progress.bar.message().contains("3 skipped"), "{}", progress.bar.message());
    }
}
