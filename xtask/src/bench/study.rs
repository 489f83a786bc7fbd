//! Studies of how time or memory follows one size: the sequences' true lengths, T, the batch, the layers.
//!
//! The sizes are measured in turn, one step each, so the machine's other work affects all equally. The minimum time of
//! each counts, because it is the least disturbed.

use std::time::Instant;

use seqloom::prelude::*;

use super::attention::attention;
use super::language::{VOCAB, ragged as ragged_batch, trainer_of, windows};
use super::stats::{exponent, least};
use super::subject::{Subject, Training};
use super::table::{Table, number};
use crate::error::Result;

/// Rows, steps and hidden units of the ragged study.
const RAGGED: (usize, usize, usize) = (32, 64, 256);
/// Rows, steps and hidden units of the growth studies when they do not vary, and how each varies.
const GROWTH: (usize, usize, usize) = (16, 64, 128);
const TIMES: [usize; 5] = [64, 128, 256, 512, 1024];
const BATCHES: [usize; 4] = [16, 32, 64, 128];
const LAYERS: [usize; 4] = [1, 2, 4, 8];
/// Rows and heads of attention, and its steps.
const ATTENTION: [usize; 2] = [1, 2];
const ATTENTION_TIMES: [usize; 5] = [256, 512, 1024, 2048, 4096];
/// Default number of turns; the first is not counted.
const TURNS: u32 = 6;

/// A quantity by size, and the resulting number.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Study {
    pub workload: String,
    pub case: String,
    /// What the sizes are.
    pub sizes_are: String,
    pub sizes: Vec<f64>,
    /// Unit of the values.
    pub unit: String,
    pub values: Vec<f64>,
    /// What the result is.
    pub result_is: String,
    pub result: f64,
    /// Its upper limit.
    pub limit: f64,
    pub adapter: String,
}

/// The table of several.
pub fn print(studies: &[Study]) {
    let mut table = Table::new(&["study", "by", "values", "result", "at most", ""]);
    for study in studies {
        let each: Vec<_> = study.values.iter().map(|value| number(*value)).collect();
        let sizes: Vec<_> = study.sizes.iter().map(|size| format!("{size}")).collect();
        table.row(vec![
            format!("{} {}", study.workload, study.case),
            format!("{} {}", study.sizes_are, sizes.join(" ")),
            format!("{} {}", each.join(" "), study.unit),
            format!("{} {:.3}", study.result_is, study.result),
            format!("{}", study.limit),
            if study.result <= study.limit { String::new() } else { "missed".to_owned() },
        ]);
    }
    table.print();
}

/// The study of that workload and case.
///
/// # Errors
/// The device's or the trainer's.
pub fn study(device: &Device, workload: &str, case: &str, turns: Option<u32>) -> Result<Study> {
    let (what, by) = case.split_once('_').unwrap_or((case, ""));
    let measured = match (workload, what, by) {
        ("ragged", ..) => ragged(device, case, turns)?,
        (_, "attention", "memory") => Curve::of_attention_memory(device)?,
        (_, "attention", _) => Curve::of_attention_time(device, turns)?,
        _ => Curve::of_training(device, what, by, turns)?,
    };
    let Curve { sizes_are, sizes, unit, values, result_is, limit } = measured;
    let result = match result_is {
        "ratio" => values[1] / values[0],
        _ => exponent(&sizes, &values),
    };
    Ok(Study {
        workload: workload.to_owned(),
        case: case.to_owned(),
        sizes_are: sizes_are.to_owned(),
        sizes,
        unit: unit.to_owned(),
        values,
        result_is: result_is.to_owned(),
        result,
        limit,
        adapter: device.facts().name.clone(),
    })
}

/// What was measured.
struct Curve {
    sizes_are: &'static str,
    sizes: Vec<f64>,
    unit: &'static str,
    values: Vec<f64>,
    result_is: &'static str,
    limit: f64,
}

impl Curve {
    /// The exponent p of time ~ sizeᵖ of a language model's step.
    fn of_training(device: &Device, cell: &str, by: &str, turns: Option<u32>) -> Result<Self> {
        let (rows, time, hidden) = GROWTH;
        // Rows, time, layers.
        let with = |size: &usize| match by {
            "batch" => (*size, time, 1),
            "layers" => (rows, time, *size),
            _ => (rows, *size, 1),
        };
        let (sizes_are, sizes, limit): (_, &[usize], _) = match by {
            "batch" => ("batch", &BATCHES, 1.0),
            "layers" => ("layers", &LAYERS, 1.05),
            _ => ("T", &TIMES, 1.05),
        };
        let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
        for (rows, time, layers) in sizes.iter().map(with) {
            let (trainer, params) = trainer_of(cell, device, layers, hidden)?;
            subjects.push(Box::new(Training { trainer, batch: windows(rows, time, VOCAB)?, params }));
        }
        let values = in_turns(&mut subjects, turns)?;
        Ok(Self { sizes_are, sizes: floats(sizes), unit: "ms", values, result_is: "exponent", limit })
    }

    /// The same of causal attention, forward and backward.
    fn of_attention_time(device: &Device, turns: Option<u32>) -> Result<Self> {
        let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
        for time in ATTENTION_TIMES {
            let [rows, heads] = ATTENTION;
            subjects.push(Box::new(attention(device, [rows, heads, time], true, true)?));
        }
        let values = in_turns(&mut subjects, turns)?;
        let sizes = floats(&ATTENTION_TIMES);
        Ok(Self { sizes_are: "T", sizes, unit: "ms", values, result_is: "exponent", limit: 2.05 })
    }

    /// The exponent of the memory that attention's programs plan, without the parameters, which are its operands here.
    fn of_attention_memory(device: &Device) -> Result<Self> {
        let mut values = Vec::new();
        for time in ATTENTION_TIMES {
            let [rows, heads] = ATTENTION;
            let mut subject = attention(device, [rows, heads, time], true, true)?;
            // Known before anything runs.
            let own = subject.compiled()?.memory().own();
            values.push(own as f64 / f64::from(1 << 20));
        }
        let sizes = floats(&ATTENTION_TIMES);
        Ok(Self { sizes_are: "T", sizes, unit: "MiB", values, result_is: "exponent", limit: 1.1 })
    }
}

/// A batch whose rows are half as long on average, against full rows: the ratio of their times.
fn ragged(device: &Device, cell: &str, turns: Option<u32>) -> Result<Curve> {
    let (rows, time, hidden) = RAGGED;
    let batches = [windows(rows, time, VOCAB)?, ragged_batch(rows, time)?];
    let sizes = batches.iter().map(|b| b.token_count() as f64 / rows as f64).collect();
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    for batch in batches {
        let (trainer, params) = trainer_of(cell, device, 1, hidden)?;
        subjects.push(Box::new(Training { trainer, batch, params }));
    }
    let values = in_turns(&mut subjects, turns)?;
    Ok(Curve { sizes_are: "mean length", sizes, unit: "ms", values, result_is: "ratio", limit: 0.65 })
}

/// The minimum time of a step of each, in milliseconds.
fn in_turns(subjects: &mut [Box<dyn Subject>], turns: Option<u32>) -> Result<Vec<f64>> {
    let mut millis = vec![Vec::new(); subjects.len()];
    for turn in 0..=turns.unwrap_or(TURNS) {
        for (millis, subject) in millis.iter_mut().zip(subjects.iter_mut()) {
            let begin = Instant::now();
            subject.step()?;
            // The first turn compiles.
            if turn > 0 {
                millis.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok(millis.iter().map(|millis| least(millis)).collect())
}

fn floats(sizes: &[usize]) -> Vec<f64> {
    sizes.iter().map(|&size| size as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_attention_grows_with_its_sequences() {
        let device = Device::open(DeviceOptions { no_cache: true, ..DeviceOptions::default() }).unwrap();
        let study = study(&device, "growth", "attention_memory", None).unwrap();
        assert_eq!((study.sizes.len(), &*study.unit), (ATTENTION_TIMES.len(), "MiB"));
        assert!(study.result > 0.5 && study.result <= study.limit, "{}", study.result);
    }
}
