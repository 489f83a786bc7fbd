//! Losses.
//!
//! A loss is a scalar tensor that [`seqloom_graph::Objective`] differentiates. Means are over the positions that count,
//! so a padded batch has the same loss as its rows without padding.

use seqloom_graph::{CrossEntropyOptions, Lengths, Tensor};

/// Cross-entropy of next-token prediction, in nats per token.
///
/// Formula: the mean over positions of −ln softmax(logits)\[target\] = ln Σ_v e^(logits_v) − logits_target; with label smoothing
/// s of −Σ_v w_v·ln softmax(logits)_v, w_v = (1 − s)·\[v = target\] + s/V (PyTorch's `CrossEntropyLoss`).
///
/// Shapes: logits [.., V], targets \[..\] of u32 → scalar.
///
/// Positions whose target is to be ignored count neither in the sum nor in the mean; if none counts, the loss is 0.
///
/// Errors: targets of another shape than the logits' without the last axis, or not u32, or a smoothing outside 0 to 1, poison the result.
#[track_caller]
#[must_use]
pub fn cross_entropy<'g>(
    logits: Tensor<'g>,
    targets: Tensor<'g>,
    options: impl Into<CrossEntropyOptions>,
) -> Tensor<'g> {
    logits.cross_entropy(targets, options)
}

/// [`cross_entropy`] over packed rows alone: logits [N, V] of the true steps that `lengths` packs, and as targets the input
/// `name` [B, T], which holds V = `size` on padded steps.
///
/// Logits of another vocabulary than the one the targets were padded for are refused, by name of both shapes, instead of
/// ignoring a symbol.
#[track_caller]
pub(crate) fn packed_cross_entropy<'g>(
    logits: Tensor<'g>,
    lengths: Lengths<'g>,
    name: &str,
    size: usize,
    label_smoothing: f32,
) -> Tensor<'g> {
    let logits = logits.reshape(&[lengths.rows(), size]);
    let ignored = u32::try_from(size).unwrap_or(u32::MAX);
    let targets = logits.graph().ids(name, &[lengths.batch(), lengths.time()], size.saturating_add(1));
    let options = CrossEntropyOptions { ignore_index: Some(ignored), label_smoothing };
    cross_entropy(logits, lengths.pack_ids(targets, ignored), options)
}
