//! How far a model sees, and through how many layers and steps: windows, stacked windows, recurrence, attention.
//!
//! A window sees w steps. Layers of windows see layers·w, by convolution or attention. A recurrent network sees all
//! steps, the farthest one through that many state updates. Full attention sees any step directly. The first table
//! shows this without training, by the gradient of the last result with respect to each step's input. The second trains
//! every system to repeat the symbol a period before.

mod echo;
mod gradient;
mod systems;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use seqloom::prelude::*;
use seqloom::train::{Axis, Chart, Line, line_chart};
use seqloom_examples::{advice, exit};

use echo::Echo;
use gradient::Follow;
use systems::{System, Theory};

/// Result of an experiment.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Gradients that are averaged.
const SEEDS: u64 = 4;

/// Shows how far windows, stacked windows, recurrent networks and attention see
#[derive(Parser)]
pub struct Options {
    /// Steps over which gradients are followed, T
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = between(2, 4096))]
    time: usize,
    /// Steps that a window sees, its own included
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = between(1, 256))]
    kernel: usize,
    /// Layers of stacked systems
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = between(1, 16))]
    layers: usize,
    /// Channels of every model, a multiple of 4
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = between(4, 1024))]
    width: usize,
    /// Periods of the task
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [4, 8, 16], value_parser = between(1, 1000))]
    periods: Vec<usize>,
    /// Steps of training for each system and period; 0 leaves the task out
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: u64,
    /// Only systems whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Folder for the plot
    #[arg(long, value_name = "DIR", default_value = "target/interaction_distance")]
    out: PathBuf,
}

fn between(low: u64, high: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(low..=high)
}

fn main() -> ExitCode {
    exit(run(), |error| advice(error.as_ref()))
}

fn run() -> Outcome<()> {
    let options = Options::parse();
    if !options.width.is_multiple_of(4) {
        return Err(format!("4 heads do not divide --width {}", options.width).into());
    }
    std::fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let device = Device::open(DeviceOptions::default())?;
    println!("{}", device.facts().name);
    gradients(&device, &options)?;
    if options.steps > 0 { task(&device, &options) } else { Ok(()) }
}

/// Prints how far each system sees, and plots the gradient at every distance.
fn gradients(device: &Device, options: &Options) -> Outcome<()> {
    let time = options.time;
    println!("\n{:<32}{:>10}{:>10}{:>10}{:>20}", "system", "reach", "theory", "path", "norm there / at 0");
    let mut lines = Vec::new();
    let systems = System::all(options, time, time);
    for (name, system) in systems.iter().filter(|(name, _)| name.contains(&options.only)) {
        let mut norms = vec![0.0; time];
        for seed in 1..=SEEDS {
            let one = system.visit(Follow { device, time, seed })?;
            norms.iter_mut().zip(one).for_each(|(sum, norm)| *sum += norm / SEEDS as f64);
        }
        let reach = gradient::reach(&norms);
        let Theory { reach: expected, path } = system.theory(time);
        println!("{name:<32}{reach:>10}{expected:>10}{path:>10}{:>20.1e}", norms[reach] / norms[0]);
        let points = norms.iter().enumerate().map(|(back, norm)| (back as f64, norm / norms[0])).collect();
        lines.push(Line { label: name, points });
    }
    if lines.is_empty() {
        return Ok(());
    }
    let path = options.out.join("gradients.svg");
    let (x, y) = (
        Axis { label: "steps before the result", log: false },
        Axis { label: "‖gradient of the input‖, over that of the last step", log: true },
    );
    line_chart(&path, &Chart { title: "How far a result sees", x, y, lines })?;
    println!("Written: {}", path.display());
    Ok(())
}

/// Trains each system on each period and prints the remaining loss.
fn task(device: &Device, options: &Options) -> Outcome<()> {
    println!(
        "\nLoss of repeating what stood p steps before, nats, after {} steps (guessing: {:.2})",
        options.steps,
        (echo::SYMBOLS as f64).ln()
    );
    print!("{:<32}", "system");
    options.periods.iter().for_each(|period| print!("{:>10}", format!("p = {period}")));
    println!();
    let names = System::all(options, echo::SYMBOLS, 2).into_iter().map(|(name, _)| name).enumerate();
    for (i, name) in names.filter(|(_, name)| name.contains(&options.only)) {
        print!("{name:<32}");
        for &period in &options.periods {
            let time = echo::time(period);
            let (_, system) = &System::all(options, echo::SYMBOLS, time)[i];
            let loss = system.visit(Echo { device, options, period })?;
            // It can only guess what is beyond its reach.
            let within = system.theory(time).reach >= period - 1;
            print!("{:>10}", if within { format!("{loss:.2}") } else { format!("({loss:.2})") });
            std::io::Write::flush(&mut std::io::stdout())?;
        }
        println!();
    }
    println!("In brackets: beyond what the system sees.");
    Ok(())
}
