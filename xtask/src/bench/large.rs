//! The workloads at sizes that fill a GPU. They are not part of `all`, because a software adapter would take hours.

use seqloom::prelude::*;
use seqloom_kernels::tune::trusts_half;

use super::attention::attention;
use super::language::{VOCAB, trainer_of, windows};
use super::matmul;
use super::subject::{Subject, Training};
use super::transformer::adam;
use crate::error::{Result, XtaskError};

pub const CASES: &[&str] = &[
    "n4096",
    "n8192",
    "n4096_half",
    "n8192_half",
    "lstm_h1024",
    "gpt_124m",
    "sdpa_fwd_T4096",
    "sdpa_fwdbwd_T4096",
];

/// Width, rows and steps of the LSTM.
const HIDDEN: usize = 1024;
const ROWS: usize = 128;
const TIME: usize = 256;

/// The small GPT-2 (Radford et al. 2019), 124 million parameters: symbols, channels, heads, blocks, steps; and rows of a batch.
const GPT_VOCAB: usize = 50_257;
const GPT_CHANNELS: usize = 768;
const GPT_HEADS: usize = 12;
const GPT_LAYERS: usize = 12;
const GPT_TIME: usize = 1024;
const GPT_ROWS: usize = 4;

/// Rows and heads of the attention.
const SETS: [usize; 2] = [4, 8];

/// Whether a case multiplies in half precision, which a device must be opened for.
pub fn is_half(case: &str) -> bool {
    case.ends_with("_half")
}

/// One of [`CASES`].
///
/// # Errors
/// [`XtaskError::NoHalf`] for a half-precision case on an adapter that cannot run it; the device's.
pub fn subject(device: &Device, case: &str) -> Result<Box<dyn Subject>> {
    match case {
        "lstm_h1024" => {
            let (trainer, params) = trainer_of("lstm", device, 1, HIDDEN)?;
            Ok(Box::new(Training { trainer, batch: windows(ROWS, TIME, VOCAB)?, params }))
        }
        "gpt_124m" => {
            let mut params = Params::seeded(42);
            let sizes = GptConfig::new(Vocab::ids(GPT_VOCAB), GPT_CHANNELS, GPT_HEADS, GPT_LAYERS, GPT_TIME);
            let model = Gpt::new(&mut params, GptConfig { tied: true, ..sizes });
            let count = params.count();
            let trainer =
                Trainer::new(device, params, adam(), move |g, batch: &LmBatch| model.loss(g, batch))?;
            Ok(Box::new(Training { trainer, batch: windows(GPT_ROWS, GPT_TIME, GPT_VOCAB)?, params: count }))
        }
        _ => match case.rsplit_once("_T").and_then(|(what, time)| Some((what, time.parse().ok()?))) {
            Some((what, time)) => {
                let [rows, heads] = SETS;
                Ok(Box::new(attention(device, [rows, heads, time], true, what.ends_with("fwdbwd"))?))
            }
            None if is_half(case) && !trusts_half(device)? => {
                Err(XtaskError::NoHalf { adapter: device.facts().name.clone() })
            }
            None => matmul::subject(device, case.trim_end_matches("_half")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_of_the_sizes_that_their_names_say() {
        // Of the trainers only the LSTM: the others' parameters would fill half a GiB.
        let device = Device::open(DeviceOptions { no_cache: true, ..DeviceOptions::default() }).unwrap();
        let lstm = subject(&device, "lstm_h1024").unwrap();
        // Embedding, gates with two biases, head.
        let gates = 4 * HIDDEN * (128 + HIDDEN + 2);
        assert_eq!(lstm.about().params, Some(96 * 128 + gates + 96 * (HIDDEN + 1)));
        assert!(is_half("n4096_half") && !is_half("n4096"));
        // What every adapter can bind.
        for case in ["n4096", "sdpa_fwdbwd_T4096"] {
            subject(&device, case).unwrap();
        }
        let refused = subject(&device, "n4096_half").err().unwrap().to_string();
        assert!(refused.contains("half precision"), "{refused}");
    }
}
