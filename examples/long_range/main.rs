//! How far back a recurrent network can look: vanishing and exploding gradients, and what gates and clipping change.
//!
//! There are two experiments. The first needs no training: it follows the gradient of a loss at the last step back to
//! the input of every earlier step, through freshly initialised cells (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov
//! & Bengio 2013). The second trains the cells to recall the first symbol of a sequence after T − 1 meaningless ones.

mod cells;
mod gradient_norms;
mod recall;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use seqloom::prelude::*;
use seqloom_examples::{advice, exit};

/// Result of an experiment.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Shows vanishing and exploding gradients, and which cells learn to recall over long distances
#[derive(Parser)]
pub struct Options {
    /// Width of the hidden state, H
    #[arg(long, value_name = "N", default_value_t = 32)]
    hidden: usize,
    /// Rows of a batch, B
    #[arg(long, value_name = "N", default_value_t = 16)]
    rows: usize,
    /// Steps over which gradients are followed
    #[arg(long, value_name = "N", default_value_t = 100)]
    distance: usize,
    /// Lengths T of the recall task
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [50, 200, 800])]
    times: Vec<usize>,
    /// Most steps of training for a cell at a length; one that has learnt stops earlier
    #[arg(long, value_name = "N", default_value_t = 600)]
    steps: u64,
    /// Number of symbols to draw the steps between cue and recall from; 1 is silence
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    fillers: u32,
    /// Learning rate
    #[arg(long, value_name = "X", default_value_t = 2e-2)]
    lr: f64,
    /// Only cells whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Folder for the plots
    #[arg(long, value_name = "DIR", default_value = "target/long_range")]
    out: PathBuf,
}

fn main() -> ExitCode {
    exit(run(), |error| advice(error.as_ref()))
}

fn run() -> Outcome<()> {
    let options = Options::parse();
    if options.distance < 2 || options.times.iter().any(|&time| time < 2) {
        return Err("a distance and every length must be at least 2 steps".into());
    }
    std::fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let device = Device::open(DeviceOptions::default())?;
    println!("{}", device.facts().name);
    gradient_norms::study(&device, &options)?;
    recall::study(&device, &options)
}
