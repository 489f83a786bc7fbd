//! The cost of a training step by sequence length: an LSTM, full attention, attention within a window.
//!
//! Each layer runs forward and backward over sequences of doubling length. Time is the minimum of several runs in turn;
//! memory is what the compiled step plans beside its parameters. The exponent of T in either is the slope of a line
//! through the logarithms, over the upper half of the lengths, where constant costs matter least. Theory is printed
//! beside it.

mod layers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use seqloom::prelude::*;
use seqloom::train::{Axis, Chart, Line, line_chart};
use seqloom_examples::{advice, exit};

use layers::Layer;

/// Result of a part of the study.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measures time and memory of a training step of recurrent and attention layers against the length of the sequence
#[derive(Parser)]
pub struct Options {
    /// Lengths of the sequences, T, rising
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [256, 512, 1024, 2048, 4096], value_parser = between(1, 1 << 16))]
    times: Vec<usize>,
    /// Longest sequence whose attention weights are stored
    #[arg(long, value_name = "N", default_value_t = 1024)]
    stored: usize,
    /// Rows of a batch, B
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = between(1, 4096))]
    rows: usize,
    /// Channels, d
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = between(1, 4096))]
    width: usize,
    /// Heads of attention; they divide the channels
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = between(1, 256))]
    heads: usize,
    /// Steps back that windowed attention sees, w
    #[arg(long, value_name = "N", default_value_t = 64)]
    window: usize,
    /// Steps whose minimum time counts, all layers and lengths in turn
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = between(1, 10_000))]
    rounds: usize,
    /// Only layers whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Folder for the plots and the figures
    #[arg(long, value_name = "DIR", default_value = "target/cost_study")]
    out: PathBuf,
}

fn between(low: u64, high: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(low..=high)
}

/// A layer's costs: (T, ms, MiB).
struct Costs {
    layer: Layer,
    name: String,
    points: Vec<(f64, f64, f64)>,
}

impl Costs {
    /// Exponents of T in time and in memory, over the upper half of the lengths; `None` for fewer than two.
    fn exponents(&self) -> Option<(f64, f64)> {
        let from = (self.points.len() / 2).min(self.points.len().saturating_sub(2));
        let upper = &self.points[from..];
        let of = |cost: fn(&(f64, f64, f64)) -> f64| {
            exponent(&upper.iter().map(|point| (point.0, cost(point))).collect::<Vec<_>>())
        };
        Some((of(|point| point.1)?, of(|point| point.2)?))
    }
}

fn main() -> ExitCode {
    exit(run(), |error| advice(error.as_ref()))
}

fn run() -> Outcome<()> {
    let options = Options::parse();
    if !options.times.is_sorted_by(|a, b| a < b) {
        return Err("--times have to rise".into());
    }
    std::fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let device = Device::open(DeviceOptions::default())?;
    let Options { rows, width, heads, .. } = options;
    println!("{}: B = {rows}, d = {width}, {heads} heads", device.facts().name);
    let mut steps = Vec::new();
    let mut all = Vec::new();
    let layers = Layer::ALL.into_iter().map(|layer| (layer, layer.name(&options)));
    for (layer, name) in layers.filter(|(_, name)| name.contains(&options.only)) {
        let mut points = Vec::new();
        for &time in options.times.iter().filter(|&&time| layer != Layer::Stored || time <= options.stored) {
            let step = layer.compile(&device, &options, time)?;
            points.push((time as f64, f64::MAX, step.bytes() as f64 / f64::from(1 << 20)));
            steps.push((all.len(), points.len() - 1, step));
        }
        all.push(Costs { layer, name, points });
    }
    // In turn, so the machine's other work affects all equally.
    for _ in 0..options.rounds {
        for (costs, point, step) in &steps {
            let begin = Instant::now();
            step.run()?;
            let least = &mut all[*costs].points[*point].1;
            *least = least.min(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("\n{:<28}{:>8}{:>14}{:>14}", "layer", "T", "ms a step", "MiB a step");
    for Costs { name, points, .. } in &all {
        points.iter().for_each(|(time, ms, mib)| println!("{name:<28}{time:>8}{ms:>14.2}{mib:>14.2}"));
    }
    report(&options, &all)
}

/// Prints the exponents beside theory's; writes plots and figures.
fn report(options: &Options, all: &[Costs]) -> Outcome<()> {
    println!("\n{:<28}{:>10}{:>18}{:>18}", "exponent of T", "theory", "time (theory)", "memory (theory)");
    let mut json = Vec::new();
    for costs in all {
        let Costs { layer, name, points } = costs;
        let (theory, found) = (layer.theory(), costs.exponents());
        let beside = |found: Option<f64>, theory: f64| match found {
            Some(found) => format!("{found:.2} ({theory:.0})"),
            None => format!("({theory:.0})"),
        };
        println!(
            "{name:<28}{:>10}{:>18}{:>18}",
            theory.growth,
            beside(found.map(|f| f.0), theory.time),
            beside(found.map(|f| f.1), theory.memory)
        );
        let points: Vec<_> =
            points.iter().map(|(t, ms, mib)| serde_json::json!({"time": t, "ms": ms, "mib": mib})).collect();
        json.push(serde_json::json!({"layer": name, "growth": theory.growth, "points": points,
            "time_exponent": found.map(|f| f.0), "memory_exponent": found.map(|f| f.1)}));
    }
    let file = options.out.join("costs.json");
    std::fs::write(&file, serde_json::to_string_pretty(&json)? + "\n")
        .map_err(|e| format!("{}: {e}", file.display()))?;
    let mut written = vec![file];
    let draw = |file: &str, title: &str, unit: &str, cost: fn(&(f64, f64, f64)) -> f64| -> Outcome<PathBuf> {
        let lines = all.iter().filter(|costs| !costs.points.is_empty());
        let points = |costs: &Costs| costs.points.iter().map(|p| (p.0, cost(p))).collect();
        let lines = lines.map(|costs| Line { label: &costs.name, points: points(costs) }).collect();
        let path = options.out.join(file);
        let (x, y) = (Axis { label: "steps of the sequence, T", log: true }, Axis { label: unit, log: true });
        line_chart(&path, &Chart { title, x, y, lines })?;
        Ok(path)
    };
    if all.iter().any(|costs| !costs.points.is_empty()) {
        written.push(draw("time.svg", "Time of a training step", "ms", |p| p.1)?);
        written.push(draw("memory.svg", "Memory of a training step", "MiB", |p| p.2)?);
    }
    let written: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
    println!("\nWritten: {}", written.join(", "));
    Ok(())
}

/// The slope of ln y over ln x by least squares: the p of y ~ xᵖ. `None` for fewer than two points.
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 2 {
        return None;
    }
    let logs: Vec<_> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / logs.len() as f64;
    let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    Some(covariance / logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test stops at the first surprise.

    use super::*;

    fn costs(points: Vec<(f64, f64, f64)>) -> Costs {
        Costs { layer: Layer::Full, name: String::new(), points }
    }

    #[test]
    fn exponents_are_those_of_the_upper_half() {
        // Constant costs hide the power at short lengths; the two longest of five show it.
        let power = |t: f64| (t, if t < 16.0 { 256.0 } else { t * t }, 3.0 * t);
        let (time, memory) = costs([2.0, 4.0, 16.0, 32.0, 64.0].map(power).to_vec()).exponents().unwrap();
        assert!((time - 2.0).abs() < 1e-12 && (memory - 1.0).abs() < 1e-12);
        let (time, _) = costs(vec![power(16.0), power(32.0)]).exponents().unwrap();
        assert!((time - 2.0).abs() < 1e-12);
        assert!(costs(vec![power(16.0)]).exponents().is_none() && costs(vec![]).exponents().is_none());
    }
}
