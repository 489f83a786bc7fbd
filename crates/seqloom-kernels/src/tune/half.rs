//! Whether half-precision products can be trusted: cooperative matrices compared with the scalar path.
//!
//! They are experimental in wgpu, and orders, roles and mixed types in drivers are little tested. So the first program
//! that wants them multiplies once by both paths, in layouts that together use every kind of load.

use seqloom_device::{Device, Facts};

use super::error::TuneError;
use super::operands::Operands;
use super::report::Outcome;
use super::task::Candidate;
use super::trial::{Limits, compare};
use crate::error::KernelError;
use crate::launch::Lowered;
use crate::matmul::{self, Problem, cooperative};

/// Name of the device's note about the outcome, and its possible values.
const NOTE: &str = "cooperative matrices";
const RIGHT: &str = "right";
const WRONG: &str = "wrong";

/// Whether the device multiplies correctly in half precision: it was opened for that, has cooperative matrices, and
/// their results equal the scalar kernel's. Checked once per device.
///
/// # Errors
/// [`TuneError`] if the device is lost or does not finish; matrices that fail otherwise are just not trusted.
pub fn trusts_half(device: &Device) -> Result<bool, TuneError> {
    let layouts = [(false, false), (true, true)].map(|(trans_a, trans_b)| problem(trans_a, trans_b));
    if !layouts.iter().all(|problem| cooperative::suits(problem, device.facts())) {
        return Ok(false);
    }
    if let Some(noted) = device.notes().get(NOTE) {
        return Ok(noted == RIGHT);
    }
    let limits = Limits { rounds: 1, cost: f64::INFINITY, ..Limits::default() };
    let mut right = true;
    for problem in &layouts {
        let report = compare(device, NOTE, &eighths(problem), &candidates(problem, device.facts()), &limits)?;
        if report.trials.iter().any(|trial| !matches!(trial.outcome, Outcome::Timed(_))) {
            tracing::warn!(adapter = %device.facts(), ?report, "cooperative matrices do not multiply as they should");
            right = false;
        }
    }
    device.note(NOTE, if right { RIGHT } else { WRONG });
    Ok(right)
}

/// Several tiles in each direction, none of them whole.
fn problem(trans_a: bool, trans_b: bool) -> Problem {
    Problem { batch: 2, m: 152, n: 172, k: 92, trans_a, trans_b, a_batched: true, b_batched: true }
}

/// The scalar path first.
fn candidates(problem: &Problem, facts: &Facts) -> [Candidate; 2] {
    let of = |name: &str, lowered: Result<Lowered, KernelError>| Candidate {
        name: name.to_owned(),
        cost: 1.0,
        lowered,
        ended: None,
    };
    [
        of("scalar", matmul::lower(problem, facts, None)),
        of("cooperative", cooperative::lower(problem, facts, None)),
    ]
}

/// Operands are eighths from −1 to 1. 16-bit floats hold them and f32 holds their sums exactly, so both paths must
/// agree exactly.
fn eighths(problem: &Problem) -> Operands {
    let Problem { batch, m, n, k, .. } = *problem;
    let values = |step: usize, count: usize| {
        (0..count).map(|i| ((i * step % 17) as f32 / 8.0 - 1.0).to_bits()).collect::<Vec<_>>()
    };
    let ins = vec![values(7919, batch * m * k), values(104_729, batch * k * n)];
    Operands { ins, leaves: Vec::new(), outs: vec![batch * m * n] }
}
