//! W6: causal attention, by the fused operation or composed of products and a softmax, forward or with gradients.

use seqloom::graph::AttentionOptions;
use seqloom::prelude::custom::*;

use super::subject::{Calculation, Subject};
use crate::error::Result;

/// Rows, heads and the width of a head.
const ROWS: usize = 4;
const HEADS: usize = 8;
const WIDTH: usize = 64;

/// Masks a score out. It is finite, so no row of a softmax is all infinities.
const MASKED: f32 = -1e9;

/// A case of W6, as `sdpa_fwd_T512` or `naive_fwdbwd_T1024`.
///
/// # Errors
/// The device's.
pub fn subject(device: &Device, case: &str) -> Result<Box<dyn Subject>> {
    let fused = case.starts_with("sdpa");
    let backward = case.contains("fwdbwd");
    let time = case.rsplit_once('T').and_then(|(_, time)| time.parse().ok()).unwrap_or(512);
    Ok(Box::new(attention(device, [ROWS, HEADS, time], fused, backward)?))
}

/// Causal attention of these rows, heads and steps.
///
/// # Errors
/// The device's.
pub fn attention(
    device: &Device,
    [rows, heads, time]: [usize; 3],
    fused: bool,
    backward: bool,
) -> Result<Calculation> {
    if fused {
        let shape = [rows, time, heads, WIDTH];
        return Calculation::new(device, &[&shape[..]; 3], backward, Box::new(fused_causal));
    }
    // Heads before time, as composed attention has them, and as the peers do.
    let shape = [rows * heads, time, WIDTH];
    Calculation::new(device, &[&shape[..]; 3], backward, Box::new(composed))
}

/// The operation that never stores its weights.
fn fused_causal<'g>(x: &[Tensor<'g>]) -> Tensor<'g> {
    x[0].attention(x[1], x[2], AttentionOptions { causal: true, ..AttentionOptions::default() })
}

/// softmax(q·kᵀ/√D + mask)·v, the weights in memory.
fn composed<'g>(x: &[Tensor<'g>]) -> Tensor<'g> {
    let time = x[0].dim(1);
    let mask = (0..time * time).map(|at| if at % time > at / time { MASKED } else { 0.0 }).collect();
    let mask = x[0].graph().literal(&[time, time], mask);
    let scores = x[0].matmul_t(x[1]) * (1.0 / (WIDTH as f32).sqrt()) + mask;
    scores.softmax().matmul(x[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result, or with `backward` the loss.
    fn result(device: &Device, fused: bool, backward: bool) -> Vec<f32> {
        // With one row and one head both layouts are the same, and equal seeds give equal operands.
        let mut subject = attention(device, [1, 1, 33], fused, backward).unwrap();
        subject.step().unwrap();
        let output = if backward { "loss" } else { "result" };
        subject.program().unwrap().read(output).unwrap().wait().unwrap()
    }

    #[test]
    fn both_ways_compute_the_same() {
        let device = Device::open(DeviceOptions { no_cache: true, ..DeviceOptions::default() }).unwrap();
        for backward in [false, true] {
            let (fused, composed) = (result(&device, true, backward), result(&device, false, backward));
            assert_eq!(fused.len(), if backward { 1 } else { 33 * WIDTH });
            // Averages of numbers below 0.5, and a weighted sum of 2112 of them: about a hundred roundings.
            let tolerance = if backward { 1e-3 } else { 1e-5 };
            let far = fused.iter().zip(&composed).find(|(a, b)| (*a - *b).abs() > tolerance);
            assert_eq!(far, None);
        }
    }
}
