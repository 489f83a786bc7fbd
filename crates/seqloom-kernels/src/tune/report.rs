//! Tuning's report for a bucket: each candidate with its time, or why it has none.

use std::fmt;

use seqloom_device::DeviceError;

use crate::error::KernelError;

/// How much faster than the heuristic's a candidate must be to be chosen. Less is noise, and not worth a pipeline.
const WORTH: f64 = 0.97;

/// The candidates of one bucket; the heuristic's is the first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was tuned.
    pub bucket: String,
    /// The outcome of each candidate.
    pub trials: Vec<Trial>,
}

/// One candidate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trial {
    /// Its name.
    pub candidate: String,
    /// Its modelled cost over that of the heuristic's.
    pub cost: f64,
    /// Its time, or why it has none.
    pub outcome: Outcome,
}

/// The outcome of a candidate.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is right, and takes this many nanoseconds.
    Timed(f64),
    /// It was not measured.
    Skipped(Skip),
}

/// Why a candidate was not measured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Skip {
    /// The cost model rules it out.
    Dear,
    /// It does not take this problem.
    Refused(KernelError),
    /// The device failed to run it: out of memory, or a kernel that does not compile.
    Failed(DeviceError),
    /// Its result differs from the heuristic's variant.
    Wrong {
        /// The first result that differs, as `Out(output)[element]`.
        output: usize,
        /// Its place in that output.
        element: usize,
        /// What the candidate computes.
        has: f32,
        /// What the heuristic's variant computes.
        needs: f32,
    },
    /// An earlier tuning ended with it, by this error.
    Ended(String),
    /// There is nothing to compare it with: the heuristic's own variant failed.
    Alone,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dear => f.write_str("too dear by the model"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Wrong { output, element, has, needs } => {
                write!(f, "wrong: element {element} of result {output} is {has:e} and not {needs:e}")
            }
            Self::Ended(error) => write!(f, "ended an earlier tuning: {error}"),
            Self::Alone => f.write_str("nothing to compare it with"),
        }
    }
}

impl Trial {
    /// Nanoseconds, if it was measured.
    #[must_use]
    pub fn time(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Timed(time) => Some(time),
            Outcome::Skipped(_) => None,
        }
    }
}

impl Report {
    /// The heuristic's variant.
    #[must_use]
    pub fn heuristic(&self) -> Option<&Trial> {
        self.trials.first()
    }

    /// The fastest, or the heuristic's if that is as good as the fastest. None if the heuristic's has no time.
    #[must_use]
    pub fn chosen(&self) -> Option<&Trial> {
        let heuristic = self.heuristic()?;
        let limit = WORTH * heuristic.time()?;
        let timed = self.trials.iter().filter_map(|trial| Some((trial, trial.time()?)));
        let fastest = timed.filter(|(_, time)| *time < limit).min_by(|a, b| a.1.total_cmp(&b.1));
        Some(fastest.map_or(heuristic, |(trial, _)| trial))
    }

    /// The heuristic's time over that of the chosen.
    #[must_use]
    pub fn gain(&self) -> Option<f64> {
        Some(self.heuristic()?.time()? / self.chosen()?.time()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<Outcome>) -> Report {
        let named = outcomes.into_iter().enumerate();
        let trials = named.map(|(i, outcome)| Trial { candidate: i.to_string(), cost: 1.0, outcome });
        Report { bucket: "b".into(), trials: trials.collect() }
    }

    #[test]
    fn the_fastest_is_chosen_if_it_is_worth_it() {
        let chosen =
            |outcomes| report(outcomes).chosen().map(|trial| trial.candidate.clone()).unwrap_or_default();
        let (timed, dear) = (Outcome::Timed, Outcome::Skipped(Skip::Dear));
        assert_eq!(chosen(vec![timed(10.0), timed(8.0), timed(7.0), timed(9.0)]), "2");
        assert_eq!(chosen(vec![timed(10.0), timed(9.9)]), "0");
        assert_eq!(chosen(vec![timed(10.0), dear.clone()]), "0");
        assert_eq!(chosen(vec![dear, timed(1.0)]), "");
        assert_eq!(chosen(Vec::new()), "");
        assert_eq!(report(vec![timed(10.0), timed(8.0)]).gain(), Some(1.25));
    }
}
