//! Losses of predicted classes.

use seqloom_graph::{CrossEntropyOptions, Lengths, Tensor};

use super::reduction::{LossOptions, Reduction};

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

/// What [`cross_entropy_weighted`] does besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassOptions<'g> {
    /// Targets that do not count, and label smoothing.
    pub entropy: CrossEntropyOptions,
    /// Weight c of each class, \[V\], 0 or above.
    pub classes: Option<Tensor<'g>>,
    /// How the losses are joined, and the weight of each.
    pub loss: LossOptions<'g>,
}

/// Cross-entropy with weights of classes and of single targets (PyTorch's `cross_entropy` with `weight` and `reduction`).
///
/// Formula: l = −c_target·(1 − s)·ln p_target − s/V·Σ_v c_v·ln p_v, with p = softmax(logits) and c = 1 without weights; the mean
/// divides by the sum of c_target over the targets that count, each times its own weight.
///
/// Shapes: logits [.., V], targets \[..\] of u32 → scalar, or the targets' without a reduction.
///
/// Errors: those of [`cross_entropy`]; weights of another number of classes, or an `ignore_index` above V beside them, poison the
/// result.
#[track_caller]
#[must_use]
pub fn cross_entropy_weighted<'g>(
    logits: Tensor<'g>,
    targets: Tensor<'g>,
    options: ClassOptions<'g>,
) -> Tensor<'g> {
    let ClassOptions { entropy, classes, loss } = options;
    let g = logits.graph();
    let size = logits.shape().last().copied().unwrap_or(0);
    let plain = logits.cross_entropy_each(targets, entropy);
    if let Some(classes) = classes.filter(|classes| classes.shape()[..] != [size]) {
        let detail = format!("weights {:?} of {size} classes", classes.shape());
        return plain.refused("cross_entropy", &detail);
    }
    let ignored = entropy.ignore_index.map(|id| usize::try_from(id).unwrap_or(usize::MAX));
    if let Some(id) = ignored.filter(|&id| id > size) {
        let detail = format!("ignore_index {id} beside {size} weights, it may be {size} at most");
        return plain.refused("cross_entropy", &detail);
    }
    // A number of each class, by target; 0 for one that does not count, which is a class or the number behind the last.
    let by_target = |of_classes: Tensor<'g>| {
        let table = match ignored {
            Some(id) if id < size => of_classes * g.literal(&[size], one_but(size, id)),
            Some(_) => of_classes.pad(0, 0, 1),
            None => of_classes,
        };
        table.reshape(&[table.dim(0), 1]).gather_rows(targets).reshape(&targets.shape())
    };
    if !(0.0..=1.0).contains(&entropy.label_smoothing) {
        return plain; // Poisoned.
    }
    let counted = by_target(g.full(&[size], 1.0));
    let (losses, weights) = match (classes, entropy.label_smoothing) {
        (None, _) => (plain, counted),
        (Some(classes), 0.0) => {
            let weights = by_target(classes);
            (plain * weights, weights)
        }
        (Some(classes), smoothing) => {
            let weights = by_target(classes);
            let sharp = logits.cross_entropy_each(targets, entropy.ignore_index) * weights;
            let spread = (logits.log_softmax() * classes).sum(-1) * counted;
            (sharp * (1.0 - smoothing) - spread * (smoothing / size.max(1) as f32), weights)
        }
    };
    match loss.weight {
        Some(weight) => {
            let weight = weight.broadcast_to(&targets.shape());
            loss.joined(losses * weight, weights * weight)
        }
        None => loss.joined(losses, weights),
    }
}

/// What [`bce_with_logits`] does besides. A [`LossOptions`] or a [`Reduction`] stands for itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct BceOptions<'g> {
    /// Weight q of the positive targets, of any shape that stretches to the logits': one for each label \[C\], for example. Above 1
    /// it favours recall.
    pub pos_weight: Option<Tensor<'g>>,
    /// How the losses are joined, and the weight of each.
    pub loss: LossOptions<'g>,
}

impl<'g> From<LossOptions<'g>> for BceOptions<'g> {
    fn from(loss: LossOptions<'g>) -> Self {
        Self { pos_weight: None, loss }
    }
}

impl From<Reduction> for BceOptions<'_> {
    fn from(reduction: Reduction) -> Self {
        LossOptions::from(reduction).into()
    }
}

/// Binary cross-entropy of independent labels (PyTorch's `binary_cross_entropy_with_logits`).
///
/// Formula: l = −q·y·ln σ(x) − (1 − y)·ln(1 − σ(x)) = q·y·softplus(−x) + (1 − y)·softplus(x) of logit x and target y; q = 1
/// without [`BceOptions::pos_weight`]. It is finite for every finite logit, and small losses keep their digits.
///
/// Shapes: logits and targets alike → scalar, or theirs without a reduction. Targets are f32 from 0 to 1; ones between are
/// probabilities.
///
/// Errors: other shapes, and weights that do not stretch to them, poison the result.
#[track_caller]
#[must_use]
pub fn bce_with_logits<'g>(
    logits: Tensor<'g>,
    targets: Tensor<'g>,
    options: impl Into<BceOptions<'g>>,
) -> Tensor<'g> {
    let BceOptions { pos_weight, loss } = options.into();
    let (has, wants) = (logits.shape(), targets.shape());
    if has != wants {
        return logits.refused("bce_with_logits", &format!("logits {has:?} against targets {wants:?}"));
    }
    let positive = match pos_weight {
        Some(weight) => targets * weight.broadcast_to(&wants),
        None => targets,
    };
    loss.reduce(positive * (-logits).softplus() + (1.0 - targets) * logits.softplus())
}

/// 1 for all of `size` classes but `class`.
fn one_but(size: usize, class: usize) -> Vec<f32> {
    (0..size).map(|other| if other == class { 0.0 } else { 1.0 }).collect()
}

/// [`cross_entropy`] over packed rows alone: logits [N, V] of the true steps that `lengths` packs, and `targets`
/// [B, T], which hold V = `size` on padded steps.
///
/// Logits of another vocabulary than the one the targets were padded for are refused, by name of both shapes, instead of
/// ignoring a symbol.
#[track_caller]
pub(crate) fn packed_cross_entropy<'g>(
    logits: Tensor<'g>,
    lengths: Lengths<'g>,
    targets: Tensor<'g>,
    size: usize,
    label_smoothing: f32,
) -> Tensor<'g> {
    let logits = logits.reshape(&[lengths.rows(), size]);
    let ignored = u32::try_from(size).unwrap_or(u32::MAX);
    let options = CrossEntropyOptions { ignore_index: Some(ignored), label_smoothing };
    cross_entropy(logits, lengths.pack_ids(targets, ignored), options)
}
