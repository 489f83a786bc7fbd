//! The forms of a recurrence: how the work of its steps is distributed, and which form suits.

use std::fmt;

use seqloom_device::Facts;

use super::problem::{LOOP_WORKGROUP, Problem, QUAD};
use crate::launch::prefers_cpu;

/// How the work is distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A launch per step, by tiles in the registers of single subgroups. Needs a known subgroup size, and an H that is
    /// a multiple of 4, because it loads four values at once.
    Cpu,
    /// A launch per step, by tiles in workgroup memory.
    Step,
    /// Many steps per launch; H is at most 64.
    Loop,
}

impl Form {
    /// The form that suits the device. A CPU adapter launches a step in less time than the loop form's barriers take,
    /// however narrow the state.
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

    /// Every form that this kind of device can run.
    #[must_use]
    pub fn all(problem: &Problem, facts: &Facts) -> Vec<Self> {
        let narrow = problem.hidden <= LOOP_WORKGROUP as usize;
        let fours = problem.hidden.is_multiple_of(QUAD);
        let all = [(Form::Cpu, prefers_cpu(facts) && fours), (Form::Step, true), (Form::Loop, narrow)];
        all.into_iter().filter(|(_, may)| *may).map(|(form, _)| form).collect()
    }

    /// An estimate of a step's time, without a unit; it only serves to rule out slow forms.
    pub(crate) fn cost(self, problem: &Problem, facts: &Facts) -> f64 {
        let terms = (problem.cell.gates() * problem.hidden) as f64;
        match self {
            Form::Cpu => 1.0,
            // Barriers suspend coroutines.
            _ if prefers_cpu(facts) => 10.0,
            // A launch costs as much as some hundred terms of a sum; all invocations share the terms of one step.
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
