//! The forms of a recurrence: how the work of its steps is shared out, and which suits.

use std::fmt;

use seqloom_device::Facts;

use super::problem::{LOOP_WORKGROUP, Problem, QUAD};
use crate::launch::prefers_cpu;

/// How the work is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A launch a step, by tiles in the registers of single subgroups. Needs a known subgroup size, and an H that is a
    /// multiple of 4: it loads four values at once.
    Cpu,
    /// A launch a step, by tiles in workgroup memory.
    Step,
    /// Many steps a launch; H is at most 64.
    Loop,
}

impl Form {
    /// The form that suits the device. A CPU adapter takes a step in less time than the loop form's barriers, however
    /// narrow the state.
    #[must_use]
    pub fn suited(problem: &Problem, facts: &Facts) -> Self {
        if prefers_cpu(facts) {
            if problem.hidden.is_multiple_of(QUAD) { Form::Cpu } else { Form::Step }
        } else if problem.hidden <= LOOP_WORKGROUP as usize {
            Form::Loop
        } else {
            Form::Step
        }
    }

    /// Every form that this kind of device may take.
    #[must_use]
    pub fn all(problem: &Problem, facts: &Facts) -> Vec<Self> {
        let narrow = problem.hidden <= LOOP_WORKGROUP as usize;
        let fours = problem.hidden.is_multiple_of(QUAD);
        let all = [(Form::Cpu, prefers_cpu(facts) && fours), (Form::Step, true), (Form::Loop, narrow)];
        all.into_iter().filter(|(_, may)| *may).map(|(form, _)| form).collect()
    }

    /// An estimate of the time of a step, in no unit: good for telling what is hopeless.
    pub(crate) fn cost(self, problem: &Problem, facts: &Facts) -> f64 {
        let terms = (problem.cell.gates() * problem.hidden) as f64;
        match self {
            Form::Cpu => 1.0,
            // Barriers suspend coroutines.
            _ if prefers_cpu(facts) => 10.0,
            // A launch is worth some hundred terms of a sum, of which those of one step are shared by all invocations.
            Form::Step => 400.0 + terms / 8.0,
            Form::Loop => 100.0 + terms,
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Cpu => "a subgroup's step",
            Form::Step => "step",
            Form::Loop => "loop",
        })
    }
}
