//! The meaning of CTC over a batch; as in `operations.rs`.

use super::{array::Array, ctc as one};

/// Losses of chances [B, T, V] and targets [B, S], each with its length.
pub fn ctc(
    log_probs: &Array,
    targets: &[u32],
    input_lengths: &[u32],
    target_lengths: &[u32],
    blank: usize,
) -> Array {
    let (batch, time, classes) = (log_probs.shape[0], log_probs.shape[1], log_probs.shape[2]);
    let labels = targets.len() / batch.max(1);
    Array::from_fn(&[batch], |at| {
        let b = at[0];
        let rows = &log_probs.data[b * time * classes..][..input_lengths[b] as usize * classes];
        let target: Vec<usize> =
            targets[b * labels..][..target_lengths[b] as usize].iter().map(|&label| label as usize).collect();
        one::loss(classes, blank, rows, &target)
    })
}
